// Channels of one sample in lanes, so that a single image fills a vector.
//
// A vector holds as many consecutive channels as it has numbers, and a block one sample; behind the last channel every
// array holds zeros. The target channels of a contraction, and the inner ones of a weight gradient, are then counted in
// vectors, and its sources one by one; unless the targets are so few that the other way takes less.
#pragma once

#include <algorithm>
#include <cstdint>

#include "core/batch_view.hpp"
#include "core/parts.hpp"
#include "core/strips.hpp"
#include "core/sum.hpp"
#include "core/tile_sum.hpp"

namespace gradcon {

// How many vectors so many channels take.
GRADCON_INLINE int64_t vectors_for(int64_t channels, int64_t lanes) { return (channels + lanes - 1) / lanes; }

// Whether a contraction takes a half of the products, or fewer, if sources are counted in vectors. A sum across lanes
// takes about as long as another product or two.
GRADCON_INLINE bool sums_sources(const Contraction& contraction, int64_t lanes) {
  const int64_t sources = contraction.sources_per_group();
  const int64_t targets = contraction.targets_per_group();
  return 2 * targets * vectors_for(sources, lanes) <= vectors_for(targets, lanes) * sources;
}

// Whether no layer mixes channels in another way than a convolution without groups.
bool can_be_in_channels(const Chain& chain);

// A chain whose extents are those of vectors of so many channels, for a backward pass that ends at the output of layer
// `last`.
ChainInStrips in_channels(const Chain& chain, int64_t lanes, int64_t last);

namespace GRADCON_CORE_NAMESPACE {

// Sets the numbers to zero that are behind the last channel of each position, or of a dense array behind all.
template <class LaneType, class T = typename LaneType::Scalar>
inline void clear_behind(const ChannelArray& array, T* lanes) {
  constexpr int64_t samples = LaneType::samples;
  if (array.is_dense()) {
    const int64_t numbers = size_of(array.extents);
    return void(std::fill_n(lanes + numbers, vectors_for(numbers, samples) * samples - numbers, T(0)));
  }
  const int64_t channels = array.extents.channels;
  if (channels % samples == 0) return;
  T* last = lanes + channels / samples * array.positions() * samples;
  for (int64_t position = 0; position < array.positions(); ++position) {
    for (int64_t lane = channels % samples; lane < samples; ++lane) last[position * samples + lane] = 0;
  }
}

// Writes some rows of one sample, and the last ones with the zeros behind them. Bytes, 0 to 255, become numbers from 0
// to 1.
template <class LaneType, class Source, class T = typename LaneType::Scalar>
inline void channels_to_lanes(const BatchView<Source>& batch, const ChannelArray& array, const Range& rows,
                              int64_t sample, T* lanes) {
  constexpr T unit = sizeof(Source) == 1 ? 255 : 1;
  const Extents& extents = array.extents;
  const Source* first = batch.data + sample * batch.sample_stride;
  for (int64_t vector = 0; vector < extents.channels; vector += LaneType::samples) {
    const int64_t count = std::min<int64_t>(extents.channels - vector, LaneType::samples);
    T* target = lanes + vector * array.positions() + rows.begin * extents.columns * array.step;
    for (int64_t row = rows.begin; row < rows.end; ++row) {
      const Source* position = first + vector * batch.channel_stride + row * batch.row_stride;
      for (int64_t column = 0; column < extents.columns; ++column, position += batch.column_stride) {
        for (int64_t channel = 0; channel < count; ++channel) {
          target[channel] = static_cast<T>(position[channel * batch.channel_stride]) / unit;
        }
        std::fill_n(target + count, array.step - count, T(0));
        target += array.step;
      }
    }
  }
  if (array.is_dense() && rows.end == extents.rows) clear_behind<LaneType>(array, lanes);
}

// Writes a sample [channel][row][column].
template <class LaneType, class T = typename LaneType::Scalar>
inline void from_channels(const ChannelArray& array, const T* lanes, T* sample) {
  constexpr int64_t samples = LaneType::samples;
  for (int64_t channel = 0; channel < array.extents.channels; ++channel) {
    const T* numbers = lanes + channel / samples * array.positions() * samples + channel % samples;
    for (int64_t position = 0; position < array.positions(); ++position) *sample++ = numbers[position * array.step];
  }
}

// The sums over the lanes, all of which are one sample's.
template <class LaneType>
struct ChannelSum : NothingToJoin {
  static constexpr int64_t samples = 1;

  GRADCON_INLINE void join(Sum<LaneType>& sum) const {
    for (int64_t lane = 1; lane < LaneType::samples; ++lane) sum.value[0] += sum.value[lane];
  }
};

}  // namespace GRADCON_CORE_NAMESPACE
}  // namespace gradcon
