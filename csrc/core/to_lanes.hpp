// From a strided batch of samples to lanes.
#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>

#include "core/batch_view.hpp"
#include "core/lane.hpp"
#include "core/parts.hpp"
#include "core/strip_lanes.hpp"

namespace gradcon {

namespace GRADCON_CORE_NAMESPACE {

template <class LaneType, int... Index>
GRADCON_INLINE void interleave(const LaneType& left, const LaneType& right, LaneType& low, LaneType& high,
                               std::integer_sequence<int, Index...>) {
  constexpr int samples = LaneType::samples;
  low.value = __builtin_shufflevector(left.value, right.value, (Index / 2 + (Index % 2) * samples)...);
  high.value = __builtin_shufflevector(left.value, right.value, (samples / 2 + Index / 2 + (Index % 2) * samples)...);
}

// Transposes a square of lanes: log2(samples) perfect shuffles of its rows.
template <class LaneType>
GRADCON_INLINE void transpose(LaneType (&square)[LaneType::samples]) {
  constexpr int samples = LaneType::samples;
  GRADCON_UNROLL for (int shuffle = 1; shuffle < samples; shuffle *= 2) {
    LaneType shuffled[samples];
    GRADCON_UNROLL for (int i = 0; i < samples / 2; ++i) {
      interleave(square[i], square[i + samples / 2], shuffled[2 * i], shuffled[2 * i + 1],
                 std::make_integer_sequence<int, samples>{});
    }
    GRADCON_UNROLL for (int i = 0; i < samples; ++i) square[i] = shuffled[i];
  }
}

// `length` elements of every sample, `stride` apart, to lanes that are `step` apart. A unit stride goes through
// registers, a square at a time.
template <class LaneType, class T = typename LaneType::Scalar>
GRADCON_INLINE void line_to_lanes(const T* const (&sample_data)[LaneType::samples], int64_t offset, int64_t length,
                                  int64_t stride, T* lanes, int64_t step) {
  constexpr int samples = LaneType::samples;
  int64_t position = 0;
  if (stride == 1) {
    for (; position + samples <= length; position += samples) {
      LaneType square[samples];
      GRADCON_UNROLL for (int i = 0; i < samples; ++i) square[i] =
          LaneType::load_unaligned(sample_data[i] + offset + position);
      transpose(square);
      GRADCON_UNROLL for (int i = 0; i < samples; ++i) square[i].store(lanes + (position + i) * step);
    }
  }
  for (; position < length; ++position) {
    for (int i = 0; i < samples; ++i) lanes[position * step + i] = sample_data[i][offset + position * stride];
  }
}

// Writes samples [first, first + count) as lanes [channel][row][column][sample]. Lanes past `count` repeat the last
// sample: they are computed like the others, so they must hold ordinary numbers, and nobody reads their results.
template <class LaneType, class T = typename LaneType::Scalar>
inline void to_lanes(const BatchView<T>& batch, Extents extents, int64_t first, int64_t count, T* lanes) {
  constexpr int samples = LaneType::samples;
  const T* sample_data[samples];
  for (int sample = 0; sample < samples; ++sample) {
    const int64_t index = first + (sample < count ? sample : count - 1);
    sample_data[sample] = batch.data + index * batch.sample_stride;
  }
  // Where channels are neighbours in memory, a line is the channels of one position.
  const int64_t positions = extents.rows * extents.columns;
  if (batch.channel_stride == 1 && positions > 1) {
    for (int64_t position = 0; position < positions; ++position) {
      const int64_t offset =
          position / extents.columns * batch.row_stride + position % extents.columns * batch.column_stride;
      line_to_lanes<LaneType>(sample_data, offset, extents.channels, 1, lanes + position * samples,
                              positions * samples);
    }
    return;
  }
  // Contiguous rows, then contiguous channels, join into longer lines.
  if (batch.column_stride == 1 && (extents.rows == 1 || batch.row_stride == extents.columns)) {
    extents = {extents.channels, 1, extents.rows * extents.columns};
    if (batch.channel_stride == extents.columns) extents = {1, 1, extents.channels * extents.columns};
  }
  for (int64_t channel = 0; channel < extents.channels; ++channel) {
    for (int64_t row = 0; row < extents.rows; ++row) {
      const int64_t offset = channel * batch.channel_stride + row * batch.row_stride;
      line_to_lanes<LaneType>(sample_data, offset, extents.columns, batch.column_stride, lanes, samples);
      lanes += extents.columns * samples;
    }
  }
}

// The same for pixels of one byte, 0 to 255, which become numbers from 0 to 1.
template <class LaneType, class T = typename LaneType::Scalar>
inline void to_lanes(const BatchView<uint8_t>& batch, const Extents& extents, int64_t first, int64_t count, T* lanes) {
  constexpr int samples = LaneType::samples;
  for (int64_t line = 0; line < extents.channels * extents.rows; ++line) {
    const uint8_t* pixels = batch.data + first * batch.sample_stride + line / extents.rows * batch.channel_stride +
                            line % extents.rows * batch.row_stride;
    for (int64_t column = 0; column < extents.columns; ++column) {
      for (int64_t sample = 0; sample < samples; ++sample) {
        const int64_t index = sample < count ? sample : count - 1;
        *lanes++ = static_cast<T>(pixels[index * batch.sample_stride + column * batch.column_stride]) / 255;
      }
    }
  }
}

// The same of bytes.
template <class LaneType, class T = typename LaneType::Scalar>
GRADCON_INLINE void line_to_lanes(const uint8_t* const (&sample_data)[LaneType::samples], int64_t offset,
                                  int64_t length, int64_t stride, T* lanes, int64_t step) {
  for (int64_t position = 0; position < length; ++position, lanes += step) {
    for (int i = 0; i < LaneType::samples; ++i) {
      lanes[i] = static_cast<T>(sample_data[i][offset + position * stride]) / 255;
    }
  }
}

// Writes a part of rows of samples that are cut into strips; `lanes` is where the whole begins. Rows beyond the grid
// are zeros.
template <class LaneType, class Source, class T = typename LaneType::Scalar>
inline void rows_to_lanes(const BatchView<Source>& batch, const CutRows& cut, const SourceRows& rows,
                          const ArrayPart& part, int64_t first, int64_t count, T* lanes) {
  constexpr int most = LaneType::samples;
  const int64_t samples = most / cut.strips;
  const int64_t row_size = cut.columns * most;
  const int64_t channel_size = rows.count * row_size;
  for (int64_t row = 0; row < rows.count; ++row) {
    const Source* lines[most];
    for (int64_t lane = 0; lane < most; ++lane) {
      const int64_t grid_row = lane / samples * rows.step + rows.first + row;
      const int64_t inside = std::min(std::max<int64_t>(grid_row, 0), cut.grid_rows - 1);
      lines[lane] =
          batch.data + (first + std::min(lane % samples, count - 1)) * batch.sample_stride + inside * batch.row_stride;
    }
    const Range& channels = part.channels;
    const Range& columns = part.columns;
    T* target = lanes + row * row_size;
    if (batch.channel_stride == 1 && cut.columns > 1) {
      for (int64_t column = columns.begin; column < columns.end; ++column) {
        line_to_lanes<LaneType>(lines, channels.begin + column * batch.column_stride, channels.size(), 1,
                                target + channels.begin * channel_size + column * most, channel_size);
      }
    } else {
      for (int64_t channel = channels.begin; channel < channels.end; ++channel) {
        line_to_lanes<LaneType>(lines, channel * batch.channel_stride + columns.begin * batch.column_stride,
                                columns.size(), batch.column_stride,
                                target + channel * channel_size + columns.begin * most, most);
      }
    }
    for (int64_t strip = 0; strip < cut.strips; ++strip) {
      const int64_t grid_row = strip * rows.step + rows.first + row;
      if (grid_row >= 0 && grid_row < cut.grid_rows) continue;
      for (int64_t channel = channels.begin; channel < channels.end; ++channel) {
        clear_row<LaneType>(target + channel * channel_size + columns.begin * most + strip * samples, columns.size(),
                            samples);
      }
    }
  }
}

// Writes a part of samples that are cut into strips. Rows that do not count are zeros.
template <class LaneType, class Source, class T = typename LaneType::Scalar>
inline void strips_to_lanes(const BatchView<Source>& batch, const CutRows& cut, const ArrayPart& part, int64_t first,
                            int64_t count, T* lanes) {
  rows_to_lanes<LaneType>(batch, cut, {cut.step, 0, cut.strip_rows}, part, first, count, lanes);
  for (int64_t channel = part.channels.begin; channel < part.channels.end; ++channel) {
    clear_rows<LaneType>(cut, part.columns, lanes + channel * cut.strip_rows * cut.columns * LaneType::samples);
  }
}

}  // namespace GRADCON_CORE_NAMESPACE
}  // namespace gradcon
