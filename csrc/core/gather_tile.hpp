// One tile of targets of a contraction, whose sums stay in registers (core/gather.hpp).
#pragma once

#include <algorithm>
#include <cstdint>
#include <type_traits>

#include "core/contraction.hpp"
#include "core/prefetch.hpp"

namespace gradcon::GRADCON_CORE_NAMESPACE {

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
GRADCON_INLINE int64_t step_of_target_channels(const ContractionForm& contraction) {
  return LaneType::sums_sources ? 1 : contraction.target_channel() * LaneType::samples;
}

// From one target position to the next.
template <class LaneType, class T>
GRADCON_INLINE int64_t step_of_target_positions(const GatherOperands<T>& operands) {
  return LaneType::sums_sources ? operands.target_step : LaneType::samples;
}

// Stores targets that are sums of vectors of sources. Those of a position are neighbours; where it takes a whole
// vector, with zeros behind them.
template <class LaneType, int Channels, int Columns, class T>
GRADCON_INLINE void store_sums_of_sources(const LaneType (&sum)[Columns][Channels], int64_t target_step,
                                          int64_t column_step, T* target) {
  T sums[Columns * Channels];
  LaneType::template sum_terms<Columns * Channels>(&sum[0][0], sums);
  for (int column = 0; column < Columns; ++column, target += column_step) {
    if (target_step == LaneType::samples) std::fill_n(target, LaneType::samples, T(0));
    GRADCON_UNROLL for (int channel = 0; channel < Channels; ++channel) {
      target[channel] = sums[column * Channels + channel];
    }
  }
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
  const int64_t target_channel = step_of_target_channels<LaneType>(contraction);
  const int64_t source_step = LaneType::channels == 1 ? samples : operands.source_step;
  const int64_t target_shift = contraction.target_shift(width) * phases * step_of_target_positions<LaneType>(operands);
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
  if constexpr (LaneType::sums_sources) {
    store_sums_of_sources(sum, operands.target_step, target_shift, target);
  } else {
    GRADCON_UNROLL for (int column = 0; column < Columns; ++column) {
      GRADCON_UNROLL for (int channel = 0; channel < Channels; ++channel) {
        if (there.has(channel, column)) sum[column][channel].store(place(channel, column));
      }
    }
  }
}

}  // namespace gradcon::GRADCON_CORE_NAMESPACE
