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
#include <type_traits>

#include "core/contraction.hpp"
#include "core/parts.hpp"
#include "core/prefetch.hpp"
#include "core/tiles.hpp"

namespace gradcon {

namespace GRADCON_CORE_NAMESPACE {

// Where one weight of a Contraction lies among the packed ones, [group][tile][tap][source channel][target channel of
// the tile]: a tile reads its weights in one go.
struct PackedWeights {
  int64_t sources;
  int64_t taps;

  explicit GRADCON_INLINE PackedWeights(const Contraction& contraction)
      : sources(contraction.sources_per_group()), taps(contraction.geometry.taps()) {}
  GRADCON_INLINE int64_t tile(int64_t target_channel) const { return target_channel * taps * sources; }
  GRADCON_INLINE int64_t tap(int64_t index, int64_t extent) const { return index * sources * extent; }
};

// What a tile reads: sources moved to the first channel of its group, weights packed for it, biases or none. Where it
// accumulates, the sum begins with what the targets hold.
template <class T>
struct GatherOperands {
  const T* source;
  const T* weights;
  const T* bias;
  bool accumulates = false;
  // Positions from one source channel to the next, where those are more than a channel has.
  int64_t source_pitch = 0;
  // In lanes of channels, from one position to the next.
  int64_t source_step = 0;
  int64_t target_step = 0;

  GRADCON_INLINE int64_t pitch_of_sources(const Contraction& contraction) const {
    return source_pitch == 0 ? contraction.source_positions() : source_pitch;
  }
};

// Which phases of some target columns are in the row: all but the first one of its first column, and the last one of
// its last, where it begins or ends between two.
struct PhasesInRow {
  int64_t phases;
  bool all_but_first = false;
  int64_t short_column = -1;

  GRADCON_INLINE PhasesInRow(const ContractionForm& contraction, const TargetColumns& columns)
      : phases(contraction.interleaving.phases) {
    if (phases == 1) return;
    all_but_first = columns.first == 0 && contraction.interleaving.lacks_first();
    const int64_t positions = contraction.target_columns();
    if (contraction.interleaving.lacks_last(positions)) short_column = positions - 1 - columns.first;
  }

  GRADCON_INLINE bool has(int channel, int column) const {
    if (phases == 1) return true;
    const bool is_first = channel % most_phases == 0;
    return is_first ? column > 0 || !all_but_first : column != short_column;
  }
};

// Adds the products of one tap and one source channel.
template <int Begin, int End, class LaneType, int Columns, int Channels, class T = typename LaneType::Scalar>
GRADCON_INLINE void add_source(LaneType (&sum)[Columns][Channels], const T* source, int64_t source_shift,
                               const T* weights) {
  const auto load_value = [&](int column) { return LaneType::load_source(source + column * source_shift); };
  const auto load_weight = [&](int channel) { return LaneType::load_weight(weights + channel * LaneType::weights); };
  if constexpr (LaneType::channels == 1) {
    LaneType value[Columns];
    GRADCON_UNROLL for (int column = Begin; column < End; ++column) value[column] = load_value(column);
    GRADCON_UNROLL for (int channel = 0; channel < Channels; ++channel) {
      const LaneType weight = load_weight(channel);
      GRADCON_UNROLL for (int column = Begin; column < End; ++column) {
        sum[column][channel].add_product(weight, value[column]);
      }
    }
  } else {
    LaneType weight[Channels];
    GRADCON_UNROLL for (int channel = 0; channel < Channels; ++channel) weight[channel] = load_weight(channel);
    GRADCON_UNROLL for (int column = Begin; column < End; ++column) {
      const LaneType value = load_value(column);
      GRADCON_UNROLL for (int channel = 0; channel < Channels; ++channel) {
        sum[column][channel].add_product(weight[channel], value);
      }
    }
  }
}

// Adds one tap's products, from all source channels, to the columns [Begin, End) of a tile.
template <int Begin, int End, class LaneType, int Columns, int Channels, class T = typename LaneType::Scalar>
GRADCON_INLINE void add_tap(LaneType (&sum)[Columns][Channels], const T* source, int64_t source_shift,
                            int64_t source_channel, const T* weights, int64_t channels) {
  constexpr int64_t of_a_vector = LaneType::channels;
  for (int64_t first = 0; first < channels; first += of_a_vector, source += source_channel) {
    const int64_t count = of_a_vector == 1 ? 1 : std::min(of_a_vector, channels - first);
    for (int64_t channel = 0; channel < count; ++channel, weights += Channels * LaneType::weights) {
      prefetch_ahead_of(weights);
      add_source<Begin, End>(sum, source + channel, source_shift, weights);
    }
  }
}

// Columns of the largest tile that may have all channels of the registers, and of one that has at most half of them.
// Every loaded weight serves so many multiply-adds, and every loaded value as many as the tile has channels: fewer
// loads than multiply-adds, which is what a processor can issue.
constexpr int most_columns = 3;
constexpr int most_columns_of_few_channels = 2 * most_columns;

// In lanes of channels a tile has that many vectors of them, and as many accumulators.
constexpr int vectors_of_a_tile = 2;

template <class LaneType, int MostChannels>
constexpr int channels_of_a_tile = LaneType::channels == 1 ? MostChannels : vectors_of_a_tile;

template <int MostChannels>
constexpr int columns_of_vectors = most_columns * MostChannels / vectors_of_a_tile;

template <class LaneType, int MostChannels>
GRADCON_INLINE int columns_of_a_tile(const Contraction& contraction) {
  if (LaneType::channels > 1) return columns_of_vectors<MostChannels>;
  return 2 * contraction.targets_per_group() <= MostChannels ? most_columns_of_few_channels : most_columns;
}

// In numbers, from a target channel to the next.
template <class LaneType>
GRADCON_INLINE int64_t step_of_targets(const ContractionForm& contraction) {
  return LaneType::sums_sources ? 1 : contraction.target_channel() * LaneType::samples;
}

// From one target position to the next.
template <class LaneType, class T>
GRADCON_INLINE int64_t step_of_target(const GatherOperands<T>& operands) {
  return LaneType::sums_sources ? operands.target_step : LaneType::samples;
}

// Of more columns than `most_columns`: how many at either end may have sources outside of the grid.
template <class LaneType>
constexpr int columns_that_may_lie_outside = LaneType::channels == 1 ? 0 : 1;

// Channels x Columns targets of one row, `target` moved to the first. Each tap serves those columns whose source lies
// inside the grid: padding costs nothing. More than `most_columns` must all lie inside, but for the above.
template <class LaneType, int Channels, int Columns, class T = typename LaneType::Scalar>
GRADCON_INLINE void gather_tile(const ContractionForm& contraction, const GatherOperands<T>& operands,
                                const TapRun& rows, const TapRun& columns, const PhasesInRow& there, T* target) {
  constexpr int samples = LaneType::samples;
  const Axis& width = contraction.geometry.width;
  const PackedWeights packed(contraction);
  const int64_t source_channel = operands.pitch_of_sources(contraction) * samples;
  const int64_t source_columns = contraction.source_columns();
  const int64_t shift = contraction.source_shift(width);
  const int64_t phases = contraction.interleaving.phases;
  const int64_t target_channel = step_of_targets<LaneType>(contraction);
  const int64_t source_step = LaneType::channels == 1 ? samples : operands.source_step;
  const int64_t target_shift = contraction.target_shift(width) * phases * step_of_target<LaneType>(operands);
  const auto place = [&](int channel, int column) {
    return target + outer_offset(channel, phases, target_channel, samples) + column * target_shift;
  };
  LaneType sum[Columns][Channels];
  GRADCON_UNROLL for (int channel = 0; channel < Channels; ++channel) {
    const LaneType bias =
        operands.bias == nullptr
            ? LaneType::zero()
            : LaneType::load_bias(operands.bias + outer_offset(channel, phases, LaneType::channels, 0));
    GRADCON_UNROLL for (int column = 0; column < Columns; ++column) {
      sum[column][channel] =
          operands.accumulates && there.has(channel, column) ? LaneType::load(place(channel, column)) : bias;
    }
  }
  for (int64_t i = 0; i < rows.count; ++i) {
    const int64_t row = rows.first_source + i * rows.source_step;
    if (row < 0 || row >= contraction.source_rows()) continue;
    const int64_t tap_row = (rows.first_tap + i * rows.tap_step) * width.kernel;
    for (int64_t j = 0; j < columns.count; ++j) {
      const int64_t column = columns.first_source + j * columns.source_step;
      const T* source = operands.source + (row * source_columns + column) * source_step;
      const T* weights = operands.weights +
                         packed.tap(tap_row + columns.first_tap + j * columns.tap_step, Channels * LaneType::weights);
      const auto inside = [&](int target_column) {
        const int64_t at = column + target_column * shift;
        return at >= 0 && at < source_columns;
      };
      const auto add = [&](auto begin, auto end) {
        add_tap<begin(), end()>(sum, source, shift * source_step, source_channel, weights, packed.sources);
      };
      using std::integral_constant;
      constexpr integral_constant<int, 0> zero{};
      constexpr integral_constant<int, 1> one{};
      constexpr integral_constant<int, 2> two{};
      constexpr integral_constant<int, 3> three{};
      if constexpr (Columns > most_columns) {
        constexpr integral_constant<int, Columns> all{};
        constexpr integral_constant<int, Columns - 1> all_but_last{};
        if constexpr (columns_that_may_lie_outside<LaneType> == 0) {
          add(zero, all);
        } else if (inside(0)) {
          inside(Columns - 1) ? add(zero, all) : add(zero, all_but_last);
        } else {
          inside(Columns - 1) ? add(one, all) : add(one, all_but_last);
        }
      } else if constexpr (Columns == 1) {
        if (inside(0)) add(zero, one);
      } else if constexpr (Columns == 2) {
        if (inside(0)) {
          inside(1) ? add(zero, two) : add(zero, one);
        } else if (inside(1)) {
          add(one, two);
        }
      } else {
        if (inside(0)) {
          inside(2) ? add(zero, three) : inside(1) ? add(zero, two) : add(zero, one);
        } else if (inside(1)) {
          inside(2) ? add(one, three) : add(one, two);
        } else if (inside(2)) {
          add(two, three);
        }
      }
    }
  }
  GRADCON_UNROLL for (int column = 0; column < Columns; ++column) {
    GRADCON_UNROLL for (int channel = 0; channel < Channels; ++channel) {
      if (!there.has(channel, column)) continue;
      if constexpr (LaneType::sums_sources) {
        if (channel == 0 && operands.target_step == samples) {
          sum[column][channel].store_with_zeros(place(channel, column));
          continue;
        }
      }
      sum[column][channel].store(place(channel, column));
    }
  }
}

// Runs gather_tile for some rows.
template <class LaneType, int Channels, int Columns, class T = typename LaneType::Scalar>
GRADCON_INLINE void gather_rows(const ContractionForm& contraction, const Range& rows, const TargetColumns& columns,
                                const GatherOperands<T>& operands, T* target) {
  const PhasesInRow there(contraction, columns);
  for (int64_t row = rows.begin; row < rows.end; ++row) {
    const int64_t first = contraction.target_begin(row, columns.first);
    gather_tile<LaneType, Channels, Columns>(contraction, operands, contraction.taps(contraction.geometry.height, row),
                                             columns.taps, there, target + first * step_of_target<LaneType>(operands));
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
  T* targets = target + channel / contraction.interleaving.phases * step_of_targets<LaneType>(contraction);
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

}  // namespace GRADCON_CORE_NAMESPACE
}  // namespace gradcon
