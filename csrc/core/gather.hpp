// The two contractions that make values: each target position gathers the source positions that kernel taps join it to.
//
//                  source        target
//   to_inner       outer         inner     forward of a convolution, input gradient of a transposed one
//   to_outer       inner         outer     forward of a transposed convolution, input gradient of a convolution
//
// Reduction order, the same in every run and for every number of threads: taps in row-major order, source channels
// within a tap, in the lane's own precision, after the bias.
//
// In lanes of channels the target channels of a contraction are counted in vectors (core/channel_lanes.hpp).
#pragma once

#include <algorithm>
#include <cstdint>

#include "core/contraction.hpp"
#include "core/gather_tile.hpp"
#include "core/parts.hpp"
#include "core/tiles.hpp"

namespace gradcon::GRADCON_CORE_NAMESPACE {

// Runs gather_tile for some rows.
template <class LaneType, int Channels, int Columns, class T = typename LaneType::Scalar>
GRADCON_INLINE void gather_rows(const ContractionForm& contraction, const Range& rows, const TargetColumns& columns,
                                const GatherOperands<T>& operands, T* target) {
  const PhasesInRow there(contraction, columns);
  for (int64_t row = rows.begin; row < rows.end; ++row) {
    const int64_t first = contraction.target_begin(row, columns.first);
    gather_tile<LaneType, Channels, Columns>(contraction, operands, contraction.taps(contraction.geometry.height, row),
                                             columns.taps, there,
                                             target + first * step_of_target_positions<LaneType>(operands));
  }
}

// The same in a function of its own: in one for all of many extents, GCC keeps no accumulators in registers.
template <class LaneType, int Channels, int Columns, class T = typename LaneType::Scalar>
[[gnu::noinline]] inline void gather_rows_apart(const ContractionForm& contraction, const Range& rows,
                                                const TargetColumns& columns, const GatherOperands<T>& operands,
                                                T* target) {
  gather_rows<LaneType, Channels, Columns>(contraction, rows, columns, operands, target);
}

// Runs gather_rows at run-time extents 1..MostColumns.
template <class LaneType, int Channels, int MostColumns, class T = typename LaneType::Scalar>
GRADCON_INLINE void gather_rows_of(const ContractionForm& contraction, const Range& rows, const TargetColumns& columns,
                                   const GatherOperands<T>& operands, T* target) {
  if constexpr (MostColumns > 1) {
    if (columns.size < MostColumns) {
      return gather_rows_of<LaneType, Channels, MostColumns - 1>(contraction, rows, columns, operands, target);
    }
  }
  if constexpr (LaneType::channels == 1) {
    gather_rows<LaneType, Channels, MostColumns>(contraction, rows, columns, operands, target);
  } else {
    gather_rows_apart<LaneType, Channels, MostColumns>(contraction, rows, columns, operands, target);
  }
}

// The same of columns that may lie outside in part: then they come in smaller tiles, which can be clipped.
template <class LaneType, int Channels, int MostColumns, class T = typename LaneType::Scalar>
GRADCON_INLINE void gather_columns(const ContractionForm& contraction, const Range& rows, const TargetColumns& columns,
                                   const GatherOperands<T>& operands, T* target) {
  if constexpr (MostColumns > most_columns) {
    if (columns.size > most_columns && columns.lie_inside(contraction, columns_that_may_lie_outside<LaneType>)) {
      return gather_rows_of<LaneType, Channels, MostColumns>(contraction, rows, columns, operands, target);
    }
  }
  const int64_t shift = contraction.target_shift(contraction.geometry.width);
  const EvenTiles parts(columns.size, most_columns);
  for (int64_t part = 0; part < parts.tiles; ++part) {
    const TargetColumns some(contraction, columns.first + parts.begin(part) * shift, parts.extent(part));
    gather_rows_of<LaneType, Channels, most_columns>(contraction, rows, some, operands, target);
  }
}

// The targets of a tile of channels in some ranges; `target` moved to its first channel.
template <class LaneType, int Channels, int MostColumns, class T = typename LaneType::Scalar>
inline void gather_channels(const ContractionForm& contraction, const TargetRanges& ranges,
                            const GatherOperands<T>& operands, T* target) {
  const int64_t shift = contraction.target_shift(contraction.geometry.width);
  for (int64_t phase = 0; phase < shift; ++phase) {
    const int64_t end = std::min(ranges.columns.end, contraction.target_columns_of(phase));
    if (ranges.columns.begin >= end) continue;
    const EvenTiles tiles(end - ranges.columns.begin, MostColumns);
    for (int64_t tile = 0; tile < tiles.tiles; ++tile) {
      const int64_t first = phase + (ranges.columns.begin + tiles.begin(tile)) * shift;
      gather_columns<LaneType, Channels, MostColumns>(contraction, ranges.rows,
                                                      {contraction, first, tiles.extent(tile)}, operands, target);
    }
  }
}

// Runs gather_channels at run-time extents 1..MostChannels.
template <class LaneType, int MostChannels, int MostColumns, class T = typename LaneType::Scalar>
inline void gather_channels_of(int64_t extent, const ContractionForm& contraction, const TargetRanges& ranges,
                               const GatherOperands<T>& operands, T* target) {
  if constexpr (MostChannels > 1) {
    if (extent < MostChannels) {
      return gather_channels_of<LaneType, MostChannels - 1, MostColumns>(extent, contraction, ranges, operands, target);
    }
  }
  gather_channels<LaneType, MostChannels, MostColumns>(contraction, ranges, operands, target);
}

// From those of a layer to those of a tile, whose first target channel is `channel`.
template <class LaneType, class T = typename LaneType::Scalar>
GRADCON_INLINE GatherOperands<T> operands_of_tile(const ContractionForm& contraction, int64_t group, int64_t channel,
                                                  const GatherOperands<T>& layer) {
  const PackedWeights packed(contraction);
  return {
      layer.source + group * packed.sources * layer.pitch_of_sources(contraction) * LaneType::samples,
      layer.weights + packed.tile(channel) * LaneType::weights,
      layer.bias == nullptr ? nullptr : layer.bias + channel / contraction.interleaving.phases * LaneType::channels,
      layer.accumulates,
      layer.source_pitch,
      layer.source_step,
      layer.target_step,
  };
}

// Some ranges of one tile of target channels of one group. `source`, `bias` (or none) and `target` are those
// of the whole layer, `weights` packed.
template <class LaneType, int MostChannels, class T = typename LaneType::Scalar>
inline void gather(const ContractionForm& contraction, int64_t group, int64_t tile, const TargetRanges& ranges,
                   const GatherOperands<T>& operands, T* target) {
  constexpr int most_channels = channels_of_a_tile<LaneType, MostChannels>;
  const EvenTiles tiles(contraction.targets_per_group(), most_channels);
  const int64_t channel = group * contraction.targets_per_group() + tiles.begin(tile);
  const GatherOperands<T> of_tile = operands_of_tile<LaneType>(contraction, group, channel, operands);
  T* targets = target + channel / contraction.interleaving.phases * step_of_target_channels<LaneType>(contraction);
  if constexpr (LaneType::channels > 1) {
    gather_channels_of<LaneType, most_channels, columns_of_vectors<MostChannels>>(tiles.extent(tile), contraction,
                                                                                  ranges, of_tile, targets);
  } else if (columns_of_a_tile<LaneType, MostChannels>(contraction) > most_columns) {
    gather_channels_of<LaneType, MostChannels / 2, most_columns_of_few_channels>(tiles.extent(tile), contraction,
                                                                                 ranges, of_tile, targets);
  } else {
    gather_channels_of<LaneType, MostChannels, most_columns>(tiles.extent(tile), contraction, ranges, of_tile, targets);
  }
}

}  // namespace gradcon::GRADCON_CORE_NAMESPACE
