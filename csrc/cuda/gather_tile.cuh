// A tile of the contractions of core/gather.hpp in the registers of a thread, which has one sample.
//
// The taps of a kernel's row join neighbouring targets to overlapping sources. A window of sources is read once and
// serves all of them: for eight columns of four taps two apart, 18 numbers for 256 multiply-adds with eight channels.
// Reduction order, on every device: tap rows, groups of taps of a row, source channels, taps of a group; after the
// bias.
#pragma once

#include <cstdint>

#include "core/contraction.hpp"
#include "core/tiles.hpp"
#include "cuda/row_window.cuh"
#include "cuda/thread_lane.cuh"

namespace gradcon::cuda {

// What a thread computes at a time: `taps` of a row, of columns whose sources are `shift` apart; 0 for any shift, which
// goes with one tap.
template <int Channels, int Columns, int Taps, int Shift>
struct GatherShape {
  static constexpr int channels = Channels;
  static constexpr int columns = Columns;
  static constexpr int taps = Taps;
  static constexpr int shift = Shift;
};

// Numbers that are read at once.
template <class T, int Count>
struct alignas(Count % 4 == 0 && sizeof(T) == 4 ? 16 : sizeof(T)) Pack {
  T numbers[Count];
};

// Where weights lie once they are packed, [group][tile][tap row][source channel][tap column][target channel of a tile].
struct GatherWeights {
  int32_t sources;
  int32_t channel;  // numbers from one source channel to the next
  int64_t row;      // and from one tap row to the next
  int64_t tile;

  __host__ __device__ GatherWeights(const Contraction& contraction, int64_t channels)
      : sources(static_cast<int32_t>(contraction.sources_per_group())),
        channel(static_cast<int32_t>(contraction.geometry.width.kernel * channels)),
        row(int64_t{sources} * channel),
        tile(contraction.geometry.height.kernel * row) {}
};

// The place of weight `index` of (inner channels, outer channels / groups, taps), for tiles of `channels` that divide
// the target channels of a group.
__device__ inline int64_t packed_place(const Contraction& contraction, int64_t channels, int64_t index) {
  const Geometry& geometry = contraction.geometry;
  const GatherWeights weights(contraction, channels);
  const int64_t column = index % geometry.width.kernel;
  const int64_t row = index / geometry.width.kernel % geometry.height.kernel;
  const int64_t outer = index / geometry.taps() % geometry.outer_channels_per_group();
  const int64_t inner = index / geometry.taps() / geometry.outer_channels_per_group();
  const int64_t inner_of_group = inner % geometry.inner_channels_per_group();
  const int64_t group = inner / geometry.inner_channels_per_group();
  const int64_t source = contraction.inward() ? outer : inner_of_group;
  const int64_t target = group * contraction.targets_per_group() + (contraction.inward() ? inner_of_group : outer);
  return target / channels * weights.tile + row * weights.row + source * weights.channel + column * channels +
         target % channels;
}

// The sources and weights of a group of taps at the first source channel. `first` may lie outside the row.
template <class T>
struct Window {
  const T* row;
  int32_t first;
  int32_t weight_step;  // to the tap one source further on
  const T* weights;     // of the tap that joins the first column to `first`
};

// Adds the products of a group of taps, from all source channels.
template <class Shape, int Taps, class T>
__device__ __forceinline__ void add_window(const Contraction& contraction, const GatherWeights& packed,
                                           const Window<T>& window, T (&sum)[Shape::columns][Shape::channels]) {
  constexpr int step = Shape::shift == 0 || Taps == 1 ? 1 : Shape::shift;  // in numbers read
  constexpr int size = (Shape::columns - 1) * step + Taps;
  const int64_t between = Taps == 1 ? contraction.source_shift(contraction.geometry.width) : 1;
  const uint32_t in_row = inside<size>(window.first, between, contraction.source_columns());
  if (in_row == 0) return;
  const T* source = window.row + int64_t{window.first} * warp_size;
  const T* weights = window.weights;
  const int64_t source_channel = contraction.source_positions() * warp_size;
  GRADCON_KEEP_ROLLED for (int32_t channel = 0; channel < packed.sources; ++channel) {
    T value[size];
    read(source, between, in_row, value);
    GRADCON_UNROLL for (int tap = 0; tap < Taps; ++tap) {
      const auto weight = *reinterpret_cast<const Pack<T, Shape::channels>*>(weights + tap * window.weight_step);
      GRADCON_UNROLL for (int column = 0; column < Shape::columns; ++column) {
        GRADCON_UNROLL for (int target = 0; target < Shape::channels; ++target) {
          sum[column][target] = fma(weight.numbers[target], value[column * step + tap], sum[column][target]);
        }
      }
    }
    source += source_channel;
    weights += packed.channel;
  }
}

// core/gather.hpp's TapRun in half the registers.
struct Taps {
  int32_t count;
  int32_t first_tap;
  int32_t tap_step;
  int32_t first_source;
  int32_t source_step;

  explicit __device__ Taps(const TapRun& run)
      : count(static_cast<int32_t>(run.count)),
        first_tap(static_cast<int32_t>(run.first_tap)),
        tap_step(static_cast<int32_t>(run.tap_step)),
        first_source(static_cast<int32_t>(run.first_source)),
        source_step(static_cast<int32_t>(run.source_step)) {}
};

// What a tile reads and writes: sources of its group, weights and biases (or none) of its target channels, targets of
// its first column and channel. Where it accumulates, the sum begins with what the targets hold.
template <class T>
struct GatherTile {
  const T* source;
  const T* weights;
  const T* bias;
  T* target;
  bool accumulates;
  Taps rows;
  Taps columns;
  int32_t extent;  // columns that there are, of those of the shape
};

// The taps of one row, in groups of as many as the shape has; what is left goes singly, which a shape with columns two
// apart has no registers for: it takes rows of whole groups. Where sources run backwards, a window begins with the last
// tap of a group.
template <class Shape, class T>
__device__ __forceinline__ void add_row(const Contraction& contraction, const GatherWeights& packed, const Taps& taps,
                                        const T* source, const T* weights, T (&sum)[Shape::columns][Shape::channels]) {
  const bool backwards = taps.source_step < 0;
  const auto window = [&](int32_t first, int32_t last) -> Window<T> {
    const int32_t tap = backwards ? last : first;
    const int32_t tap_step = backwards ? -taps.tap_step : taps.tap_step;
    return {source, taps.first_source + tap * taps.source_step, tap_step * Shape::channels,
            weights + (taps.first_tap + tap * taps.tap_step) * Shape::channels};
  };
  int32_t tap = 0;
  if constexpr (Shape::taps > 1) {
    GRADCON_KEEP_ROLLED for (; tap + Shape::taps <= taps.count; tap += Shape::taps) {
      add_window<Shape, Shape::taps>(contraction, packed, window(tap, tap + Shape::taps - 1), sum);
    }
  }
  if constexpr (Shape::shift < 2) {
    GRADCON_KEEP_ROLLED for (; tap < taps.count; ++tap) {
      add_window<Shape, 1>(contraction, packed, window(tap, tap), sum);
    }
  }
}

template <class Shape, class T>
__device__ __forceinline__ void gather_tile(const Contraction& contraction, const GatherTile<T>& tile) {
  const GatherWeights packed(contraction, Shape::channels);
  const int64_t target_channel = contraction.target_positions() * warp_size;
  const int64_t target_column = contraction.target_shift(contraction.geometry.width) * warp_size;
  T sum[Shape::columns][Shape::channels];
  GRADCON_UNROLL for (int channel = 0; channel < Shape::channels; ++channel) {
    const T bias = tile.bias == nullptr ? T(0) : tile.bias[channel];
    GRADCON_UNROLL for (int column = 0; column < Shape::columns; ++column) {
      const bool begun = tile.accumulates && column < tile.extent;
      sum[column][channel] = begun ? tile.target[channel * target_channel + column * target_column] : bias;
    }
  }
  GRADCON_KEEP_ROLLED for (int32_t i = 0; i < tile.rows.count; ++i) {
    const int32_t row = tile.rows.first_source + i * tile.rows.source_step;
    if (row < 0 || row >= contraction.source_rows()) continue;
    add_row<Shape>(contraction, packed, tile.columns,
                   tile.source + int64_t{row} * contraction.source_columns() * warp_size,
                   tile.weights + int64_t{tile.rows.first_tap + i * tile.rows.tap_step} * packed.row, sum);
  }
  GRADCON_UNROLL for (int column = 0; column < Shape::columns; ++column) {
    if (column >= tile.extent) break;
    GRADCON_UNROLL for (int channel = 0; channel < Shape::channels; ++channel) {
      tile.target[channel * target_channel + column * target_column] = sum[column][channel];
    }
  }
}

}  // namespace gradcon::cuda
