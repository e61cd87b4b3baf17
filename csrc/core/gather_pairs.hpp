// The contractions of gather.hpp with nine multiplications where those have sixteen, for kernels of two taps a stride.
//
// There every target is joined to two sources of one phase of the stride, d(p) and d(p + 1), and its neighbour to
// d(p + 1) and d(p + 2). With weights a and b the two are m1 + m2 and m2 + m3 (Winograd, 1980: F(2, 2)), where
//
//   m1 = a (d(p) - d(p + 1))      m2 = (a + b) d(p + 1)      m3 = b (d(p + 2) - d(p + 1))
//
// are sums over everything else: source channels, phases, and the other axis, where it is the same again. Of three
// points of each axis, m1, m2 and m3, columns are taken in registers side by side, rows one after the other.
//
// Sources are read from a copy with zeros around them. Reduction order, the same in every run and for every number of
// threads: points of the rows (m2, then m1 or m3), phases of the rows, of the columns, source channels; then the points
// of the columns, and the bias.
#pragma once

#include <algorithm>
#include <cstdint>

#include "core/gather.hpp"

// Keeps loads behind it from being moved before it.
#define GRADCON_KEEP_ORDER asm volatile("" ::: "memory")

namespace gradcon {

// One axis of a contraction whose targets have two taps a phase.
struct PairAxis {
  // Of targets `target_shift` apart; their sources are `source_shift` apart.
  int64_t target_phases;
  int64_t target_shift;
  int64_t source_shift;
  // Phases of the sources that a target sums over.
  int64_t source_phases;
  int64_t stride;
  int64_t padding;
  int64_t targets;
  bool inward;
  // The grid position of the first source in the copy, and how many there are.
  int64_t first_source;
  int64_t sources;

  GRADCON_INLINE int64_t targets_of(int64_t phase) const {
    return (targets - phase + target_phases - 1) / target_phases;
  }
  // Where in the copy the sources of the first target of a phase begin.
  GRADCON_INLINE int64_t source_of(int64_t target_phase, int64_t source_phase) const {
    return inward ? source_phase : (target_phase + padding) / stride;
  }
  // The taps of a target's two sources; the second is `source_shift` from the first.
  GRADCON_INLINE int64_t first_tap(int64_t target_phase, int64_t source_phase) const {
    return inward ? source_phase : (target_phase + padding) % stride + stride;
  }
  GRADCON_INLINE int64_t second_tap(int64_t target_phase, int64_t source_phase) const {
    return inward ? source_phase + stride : (target_phase + padding) % stride;
  }
};

GRADCON_INLINE PairAxis pair_axis(const Axis& axis, bool inward) {
  PairAxis pairs = {};
  pairs.inward = inward;
  pairs.stride = axis.stride;
  pairs.padding = axis.padding;
  pairs.targets = inward ? axis.inner : axis.outer;
  pairs.target_phases = inward ? 1 : axis.stride;
  pairs.target_shift = pairs.target_phases;
  pairs.source_shift = inward ? axis.stride : 1;
  pairs.source_phases = inward ? axis.stride : 1;
  pairs.first_source = inward ? -axis.padding : -1;
  for (int64_t phase = 0; phase < pairs.target_phases; ++phase) {
    // Of an odd number of targets, the last one still makes a pair.
    const int64_t even = (pairs.targets_of(phase) + 1) / 2 * 2;
    const int64_t last = pairs.source_of(phase, pairs.source_phases - 1) + even * pairs.source_shift;
    if (last + 1 > pairs.sources) pairs.sources = last + 1;
  }
  return pairs;
}

// Multiply-adds of an axis, for each of the other one; of an odd row the last point is left out.
GRADCON_INLINE int64_t products_of(const PairAxis& axis, bool are_rows) {
  int64_t products = 0;
  for (int64_t phase = 0; phase < axis.target_phases; ++phase) {
    const int64_t targets = axis.targets_of(phase);
    products += axis.source_phases * (are_rows ? targets / 2 * 3 + targets % 2 * 2 : (targets + 1) / 2 * 3);
  }
  return products;
}

GRADCON_INLINE bool has_pairs(const Axis& axis) { return axis.kernel == 2 * axis.stride && axis.dilation == 1; }

GRADCON_INLINE bool has_pairs(const Geometry& geometry) {
  return has_pairs(geometry.height) && has_pairs(geometry.width);
}

// Both axes of a contraction.
struct PairContraction {
  PairAxis rows;
  PairAxis columns;
  int64_t groups;
  int64_t sources_per_group;
  int64_t targets_per_group;

  explicit GRADCON_INLINE PairContraction(const Contraction& contraction)
      : rows(pair_axis(contraction.geometry.height, contraction.inward())),
        columns(pair_axis(contraction.geometry.width, contraction.inward())),
        groups(contraction.geometry.groups),
        sources_per_group(contraction.sources_per_group()),
        targets_per_group(contraction.targets_per_group()) {}

  GRADCON_INLINE int64_t target_positions() const { return rows.targets * columns.targets; }
  // Of one channel in the copy, and of all.
  GRADCON_INLINE int64_t source_positions() const { return rows.sources * columns.sources; }
  GRADCON_INLINE int64_t source_size() const { return groups * sources_per_group * source_positions(); }
  // Packed weights of one target, of all phases and points.
  GRADCON_INLINE int64_t weights_of_target() const { return 9 * rows.stride * columns.stride * sources_per_group; }
  GRADCON_INLINE int64_t weights() const { return groups * targets_per_group * weights_of_target(); }
  // The most pairs of rows that a phase has.
  GRADCON_INLINE int64_t pairs_of_rows() const { return (rows.targets_of(0) + 1) / 2; }
  GRADCON_INLINE double products() const {
    return static_cast<double>(gradcon::products_of(rows, true)) *
           static_cast<double>(gradcon::products_of(columns, false)) * static_cast<double>(groups * sources_per_group) *
           static_cast<double>(targets_per_group);
  }
};

// How much of an axis of the copy lies before, in, and behind the grid.
struct Border {
  int64_t before;
  int64_t inside;
  int64_t after;

  GRADCON_INLINE Border(const PairAxis& axis, int64_t grid_size)
      : before(-axis.first_source),
        inside(axis.sources - before < grid_size ? axis.sources - before : grid_size),
        after(axis.sources - before - inside) {}
};

// The same of some columns of the copy. `first` is the first one inside, counted in the grid.
struct BorderedRange {
  int64_t before;
  int64_t inside;
  int64_t after;
  int64_t first;

  GRADCON_INLINE BorderedRange(const Border& border, const Range& columns) {
    const int64_t begin = std::clamp(border.before, columns.begin, columns.end);
    const int64_t end = std::clamp(border.before + border.inside, begin, columns.end);
    before = begin - columns.begin;
    inside = end - begin;
    after = columns.end - end;
    first = inside > 0 ? begin - border.before : 0;
  }
};

// The three points of an axis.
enum class Point { first, both, second };

namespace GRADCON_CORE_NAMESPACE {

// Of how many pairs of columns and how many channels a tile has the sums in registers.
template <int Pairs, int Channels>
struct PairTileShape {
  static constexpr int pairs = Pairs;
  static constexpr int channels = Channels;
};

// Two neighbouring rows of targets, or one of them.
template <class LaneType, int Pairs, int Channels>
struct PairSums {
  LaneType of_point[3][Pairs][Channels] = {};
};

// Adds one point of the columns. The weights must not be brought to registers before, which hold the sums.
template <int ColumnPoint, class LaneType, int Pairs, int Channels, class T = typename LaneType::Scalar>
GRADCON_INLINE void add_products(const LaneType (&values)[Pairs], const T* weights,
                                 PairSums<LaneType, Pairs, Channels>& sums) {
  GRADCON_UNROLL for (int target = 0; target < Channels; ++target) {
    const LaneType weight = LaneType::broadcast(weights[ColumnPoint * Channels + target]);
    GRADCON_UNROLL for (int pair = 0; pair < Pairs; ++pair) {
      sums.of_point[ColumnPoint][pair][target].add_product(weight, values[pair]);
    }
  }
  GRADCON_KEEP_ORDER;
}

// Adds one point of the rows, from the source channels of one phase.
template <Point RowPoint, class LaneType, int Pairs, int Channels, class T = typename LaneType::Scalar>
GRADCON_INLINE void add_channels(const PairContraction& contraction, const T* source, const T* weights,
                                 PairSums<LaneType, Pairs, Channels>& sums) {
  const int64_t step = contraction.columns.source_shift * LaneType::samples;
  const int64_t row = contraction.rows.source_shift * contraction.columns.sources * LaneType::samples;
  const int64_t source_channel = contraction.source_positions() * LaneType::samples;
  const T* middle = source + row;
  const T* other = RowPoint == Point::first ? source : source + 2 * row;
  const auto value = [&](int column) -> LaneType {
    const LaneType of_middle = LaneType::load(middle + column * step);
    if constexpr (RowPoint == Point::both) return of_middle;
    return {LaneType::load(other + column * step).value - of_middle.value};
  };
  for (int64_t channel = 0; channel < contraction.sources_per_group; ++channel) {
    prefetch_ahead_of(weights);
    LaneType shared[Pairs];
    GRADCON_UNROLL for (int pair = 0; pair < Pairs; ++pair) shared[pair] = value(2 * pair + 1);
    add_products<1>(shared, weights, sums);
    GRADCON_UNROLL for (int outer = 0; outer < 2; ++outer) {
      LaneType difference[Pairs];
      GRADCON_UNROLL for (int pair = 0; pair < Pairs; ++pair)
          difference[pair] = {value(2 * pair + 2 * outer).value - shared[pair].value};
      outer == 0 ? add_products<0>(difference, weights, sums) : add_products<2>(difference, weights, sums);
    }
    middle += source_channel;
    other += source_channel;
    weights += 3 * Channels;
  }
}

// One point of the rows, from all phases of the sources.
template <Point RowPoint, class LaneType, int Pairs, int Channels, class T = typename LaneType::Scalar>
GRADCON_INLINE void add_point(const PairContraction& contraction, const T* source, const T* weights,
                              PairSums<LaneType, Pairs, Channels>& sums) {
  const int64_t phases = contraction.columns.source_phases;
  const int64_t of_phase = 3 * Channels * contraction.sources_per_group;
  const T* of_point = weights + static_cast<int>(RowPoint) * contraction.rows.source_phases * phases * of_phase;
  for (int64_t row = 0; row < contraction.rows.source_phases; ++row) {
    for (int64_t column = 0; column < phases; ++column) {
      add_channels<RowPoint>(contraction, source + (row * contraction.columns.sources + column) * LaneType::samples,
                             of_point, sums);
      of_point += of_phase;
    }
  }
}

// Where the targets of one row go. `columns` are how many columns there are from the first one on.
template <class T>
struct PairTargets {
  const T* bias;
  bool accumulates;
  int64_t columns;
  int64_t shift;
  int64_t channel;
};

template <class LaneType, int Pairs, int Channels, class T = typename LaneType::Scalar>
GRADCON_INLINE void store_row(const PairSums<LaneType, Pairs, Channels>& sums, const PairTargets<T>& targets,
                              T* target) {
  GRADCON_UNROLL for (int channel = 0; channel < Channels; ++channel) {
    GRADCON_UNROLL for (int column = 0; column < 2 * Pairs; ++column) {
      if (column >= targets.columns) continue;
      T* place = target + channel * targets.channel + column * targets.shift;
      LaneType sum = {sums.of_point[column % 2][column / 2][channel].value +
                      sums.of_point[column % 2 + 1][column / 2][channel].value};
      if (targets.bias != nullptr) sum.value += LaneType::broadcast(targets.bias[channel]).value;
      if (targets.accumulates) sum.value += LaneType::load(place).value;
      sum.store(place);
    }
  }
}

// Channels x (2 Pairs) targets of one row, or of it and its neighbour.
template <class LaneType, int Pairs, int Channels, class T = typename LaneType::Scalar>
inline void gather_pair_tile(const PairContraction& contraction, const T* source, const T* weights,
                             const PairTargets<T>& targets, bool two_rows, T* target) {
  PairSums<LaneType, Pairs, Channels> sums;
  add_point<Point::both>(contraction, source, weights, sums);
  const PairSums<LaneType, Pairs, Channels> of_both = sums;
  add_point<Point::first>(contraction, source, weights, sums);
  store_row(sums, targets, target);
  if (!two_rows) return;
  sums = of_both;
  add_point<Point::second>(contraction, source, weights, sums);
  store_row(sums, targets, target + contraction.rows.target_shift * contraction.columns.targets * LaneType::samples);
}

// The targets of a tile of channels in some pairs of rows, and some columns, of each phase.
template <class LaneType, int Pairs, int Channels, class T = typename LaneType::Scalar>
inline void gather_pair_channels(const PairContraction& contraction, const TargetRanges& ranges, const T* source,
                                 const T* weights, PairTargets<T> targets, T* target) {
  constexpr int samples = LaneType::samples;
  const PairAxis& rows = contraction.rows;
  const PairAxis& columns = contraction.columns;
  targets.shift = columns.target_shift * samples;
  targets.channel = contraction.target_positions() * samples;
  const int64_t of_phase = contraction.weights_of_target() / rows.target_phases / columns.target_phases * Channels;
  for (int64_t row_phase = 0; row_phase < rows.target_phases; ++row_phase) {
    const int64_t row_targets = rows.targets_of(row_phase);
    for (int64_t column_phase = 0; column_phase < columns.target_phases; ++column_phase, weights += of_phase) {
      const int64_t column_targets = columns.targets_of(column_phase);
      const int64_t end = std::min(ranges.columns.end, column_targets);
      for (int64_t column = ranges.columns.begin; column < end; column += 2 * Pairs) {
        targets.columns = column_targets - column;
        for (int64_t pair = ranges.rows.begin; pair < ranges.rows.end && 2 * pair < row_targets; ++pair) {
          const int64_t source_row = rows.source_of(row_phase, 0) + 2 * pair * rows.source_shift;
          const int64_t source_column = columns.source_of(column_phase, 0) + column * columns.source_shift;
          const int64_t target_row = row_phase + 2 * pair * rows.target_shift;
          const int64_t target_column = column_phase + column * columns.target_shift;
          const T* from = source + (source_row * columns.sources + source_column) * samples;
          T* to = target + (target_row * columns.targets + target_column) * samples;
          const bool two_rows = 2 * pair + 1 < row_targets;
          if (Pairs > 1 && targets.columns <= 2) {
            gather_pair_tile<LaneType, 1, Channels>(contraction, from, weights, targets, two_rows, to);
          } else {
            gather_pair_tile<LaneType, Pairs, Channels>(contraction, from, weights, targets, two_rows, to);
          }
        }
      }
    }
  }
}

// Sets positions to zero.
template <class LaneType, class T = typename LaneType::Scalar>
GRADCON_INLINE void fill_zeros(T* target, int64_t positions) {
  for (int64_t i = 0; i < positions * LaneType::samples; i += LaneType::samples) LaneType::zero().store(target + i);
}

// Runs gather_pair_channels at run-time extents 1..MostChannels.
template <class LaneType, int Pairs, int MostChannels, class T = typename LaneType::Scalar>
inline void gather_pair_channels_of(int64_t extent, const PairContraction& contraction, const TargetRanges& ranges,
                                    const T* source, const T* weights, const PairTargets<T>& targets, T* target) {
  if constexpr (MostChannels > 1) {
    if (extent < MostChannels) {
      return gather_pair_channels_of<LaneType, Pairs, MostChannels - 1>(extent, contraction, ranges, source, weights,
                                                                        targets, target);
    }
  }
  gather_pair_channels<LaneType, Pairs, MostChannels>(contraction, ranges, source, weights, targets, target);
}

// Some ranges of one tile of target channels of one group. The operands and `target` are those of the whole
// layer, the source the copy, the weights packed in pairs.
template <class LaneType, int Pairs, int MostChannels, class T = typename LaneType::Scalar>
inline void gather_pairs(const PairContraction& contraction, int64_t group, int64_t tile, const TargetRanges& ranges,
                         const GatherOperands<T>& operands, T* target) {
  const EvenTiles tiles(contraction.targets_per_group, MostChannels);
  const int64_t channel = group * contraction.targets_per_group + tiles.begin(tile);
  const int64_t source = group * contraction.sources_per_group * contraction.source_positions() * LaneType::samples;
  const T* bias = operands.bias == nullptr ? nullptr : operands.bias + channel;
  gather_pair_channels_of<LaneType, Pairs, MostChannels>(
      tiles.extent(tile), contraction, ranges, operands.source + source,
      operands.weights + channel * contraction.weights_of_target(), {bias, operands.accumulates, 0, 0, 0},
      target + channel * contraction.target_positions() * LaneType::samples);
}

}  // namespace GRADCON_CORE_NAMESPACE
}  // namespace gradcon
