// The contraction that makes weight gradients: the inner with the outer array, over positions.
//
// A tile of the gradient (InnerTile x OuterTile channels at one kernel tap) is formed in registers, one for each sample
// of a lane.
#pragma once

#include <algorithm>
#include <cstdint>
#include <tuple>
#include <vector>

#include "core/geometry.hpp"
#include "core/interleaving.hpp"
#include "core/lane_array.hpp"

namespace gradcon::GRADCON_CORE_NAMESPACE {

// The two arrays in lanes, of a layer or moved to the first channels of one tile. In lanes of channels the inner
// channels are counted in vectors, and the outer ones are single numbers.
template <class T>
struct TileOperands {
  const T* inner;
  const T* outer;
  // Positions from one outer channel to the next, where those are more than a channel has.
  int64_t outer_pitch = 0;
  // How many channels are before the first one in its vector.
  int64_t outer_before = 0;
  // In lanes of channels, from one outer position to the next.
  int64_t outer_step = 0;

  GRADCON_INLINE int64_t pitch_of_outer(const GeometryForm& geometry) const {
    return outer_pitch == 0 ? geometry.outer_channel() : outer_pitch;
  }
};

// From one channel to the next, in numbers; and from one outer vector of channels to the next.
template <class LaneType, int Phases, int OuterTile>
struct ChannelSteps {
  int64_t inner;
  int64_t outer;
  int64_t outer_of_channels[LaneType::channels == 1 ? 1 : OuterTile];

  template <class T>
  GRADCON_INLINE ChannelSteps(int64_t inner_step, int64_t outer_step, const TileOperands<T>& tile)
      : inner(inner_step), outer(outer_step) {
    if constexpr (LaneType::channels > 1) {
      GRADCON_UNROLL for (int channel = 0; channel < OuterTile; ++channel) {
        const int64_t in_vector = tile.outer_before + channel / Phases;
        outer_of_channels[channel] = in_vector / LaneType::channels * outer_step + in_vector % LaneType::channels -
                                     tile.outer_before + channel % Phases * tile.outer_step;
      }
    }
  }

  template <class T>
  GRADCON_INLINE LaneType load_outer(const T* numbers, int channel) const {
    if constexpr (LaneType::channels > 1) {
      return LaneType::load_source(numbers + outer_of_channels[channel]);
    } else {
      return LaneType::load_to_register(numbers + outer_offset(channel, Phases, outer, LaneType::samples));
    }
  }
};

// Adds the products of one position: of all outer channels, or of one phase in each Step.
template <class LaneType, int Phases, int First, int Step, int InnerTile, int OuterTile,
          class T = typename LaneType::Scalar>
GRADCON_INLINE void add_position(const T* inner, const T* outer, const ChannelSteps<LaneType, Phases, OuterTile>& steps,
                                 LaneType (&gradient)[InnerTile][OuterTile]) {
  const auto load_inner = [&](int channel) { return LaneType::load_to_register(inner + channel * steps.inner); };
  const auto load_outer = [&](int channel) { return steps.load_outer(outer, channel); };
  // The fewer channels stay in registers, the others come one by one.
  if constexpr (InnerTile <= OuterTile) {
    LaneType inner_lanes[InnerTile];
    GRADCON_UNROLL for (int i = 0; i < InnerTile; ++i) inner_lanes[i] = load_inner(i);
    GRADCON_UNROLL for (int o = First; o < OuterTile; o += Step) {
      const LaneType outer_lane = load_outer(o);
      GRADCON_UNROLL for (int i = 0; i < InnerTile; ++i) gradient[i][o].add_product(inner_lanes[i], outer_lane);
    }
  } else {
    LaneType outer_lanes[OuterTile];
    GRADCON_UNROLL for (int o = First; o < OuterTile; o += Step) outer_lanes[o] = load_outer(o);
    GRADCON_UNROLL for (int i = 0; i < InnerTile; ++i) {
      const LaneType inner_lane = load_inner(i);
      GRADCON_UNROLL for (int o = First; o < OuterTile; o += Step) gradient[i][o].add_product(inner_lane,
                                                                                              outer_lanes[o]);
    }
  }
}

// Of a geometry with so many phases.
template <class LaneType, int Phases, int InnerTile, int OuterTile, class T = typename LaneType::Scalar>
GRADCON_INLINE void form_tile(const GeometryForm& geometry, const TileOperands<T>& tile, const Span& rows,
                              const Span& columns, LaneType (&gradient)[InnerTile][OuterTile]) {
  constexpr int samples = LaneType::samples;
  const ChannelSteps<LaneType, Phases, OuterTile> steps(geometry.inner_positions() * samples,
                                                        tile.pitch_of_outer(geometry) * samples, tile);
  const int64_t outer_position = LaneType::channels == 1 ? samples : tile.outer_step;
  const int64_t outer_step = geometry.width.stride * Phases * outer_position;
  const int64_t outer_column = columns.outer_begin * Phases - (Phases == 1 ? 0 : geometry.interleaving.margin);
  const int64_t count = columns.end - columns.begin;
  const bool begins_late = Phases > 1 && count > 0 && columns.outer_begin == 0 && geometry.interleaving.lacks_first();
  const bool ends_early = Phases > 1 && count > 0 && columns.outer_begin + count == geometry.width.outer &&
                          geometry.interleaving.lacks_last(geometry.width.outer);
  const int64_t begin = columns.begin + (begins_late ? 1 : 0);
  const int64_t end = columns.end - (ends_early ? 1 : 0);
  for (int64_t row = rows.begin; row < rows.end; ++row) {
    const int64_t outer_row = rows.outer_begin + (row - rows.begin) * geometry.height.stride;
    const T* inner = tile.inner + (row * geometry.width.inner + columns.begin) * samples;
    const T* outer = tile.outer + (outer_row * geometry.outer_columns() + outer_column) * outer_position;
    if constexpr (Phases > 1) {
      if (begins_late) {
        add_position<LaneType, Phases, 1, Phases>(inner, outer, steps, gradient);
        inner += samples;
        outer += outer_step;
      }
    }
    for (int64_t column = begin; column < end; ++column) {
      add_position<LaneType, Phases, 0, 1>(inner, outer, steps, gradient);
      inner += samples;
      outer += outer_step;
    }
    if constexpr (Phases > 1) {
      if (ends_early) add_position<LaneType, Phases, 0, Phases>(inner, outer, steps, gradient);
    }
  }
}

// How far the weights of a tile lie apart: from one inner channel to the next, one outer channel, whose phases are next
// to each other, and one tap.
struct WeightStrides {
  int64_t inner;
  int64_t outer;
  int64_t tap;

  explicit GRADCON_INLINE WeightStrides(const GeometryForm& geometry)
      : inner(geometry.outer_channels_per_group() * geometry.taps()),
        outer(geometry.taps() * geometry.interleaving.phases),
        tap(geometry.interleaving.phases) {}

  template <int Phases>
  GRADCON_INLINE int64_t at(int64_t inner_channel, int64_t outer_channel) const {
    return inner_channel * inner + outer_offset(outer_channel, Phases, outer, 1);
  }
};

// One tap, and where it joins the two grids.
struct Tap {
  int64_t index;
  Span rows;
  Span columns;
};

// A tap of one axis.
struct AxisTap {
  int64_t phase;
  int64_t index;
  Span span;
};

// The taps of an axis, those of one phase of the stride next to each other.
inline std::vector<AxisTap> taps_by_phase(const Axis& axis) {
  std::vector<AxisTap> taps;
  taps.reserve(static_cast<size_t>(axis.kernel));
  for (int64_t index = 0; index < axis.kernel; ++index) {
    taps.push_back({index * axis.dilation % axis.stride, index, span_of_tap(axis, index)});
  }
  std::sort(taps.begin(), taps.end(), [](const AxisTap& left, const AxisTap& right) {
    return std::tie(left.phase, left.index) < std::tie(right.phase, right.index);
  });
  return taps;
}

// Calls function(first, end) for the taps of each phase.
template <class Function>
inline void for_each_phase(const std::vector<AxisTap>& taps, const Function& function) {
  for (auto first = taps.begin(); first != taps.end();) {
    const auto end = std::find_if(first, taps.end(), [&](const AxisTap& tap) { return tap.phase != first->phase; });
    function(first, end);
    first = end;
  }
}

// The taps of a geometry, found once and not for every tile. Those of one phase of both axes, which read the same outer
// positions, are next to each other.
inline std::vector<Tap> taps_by_phase(const Geometry& geometry) {
  const std::vector<AxisTap> rows = taps_by_phase(geometry.height);
  const std::vector<AxisTap> columns = taps_by_phase(geometry.width);
  std::vector<Tap> taps;
  taps.reserve(static_cast<size_t>(geometry.taps()));
  for_each_phase(rows, [&](auto first_row, auto end_row) {
    for_each_phase(columns, [&](auto first_column, auto end_column) {
      for (auto row = first_row; row != end_row; ++row) {
        for (auto column = first_column; column != end_column; ++column) {
          taps.push_back({row->index * geometry.width.kernel + column->index, row->span, column->span});
        }
      }
    });
  });
  return taps;
}

// A tile of a weight gradient at one tap.
template <class LaneType, int InnerTile, int OuterTile>
struct GradientTile {
  LaneType lanes[InnerTile][OuterTile] = {};
};

// What is read again for every tap without leaving the second cache, of which this is a part on any processor. Less
// would fit the nearest one, but then sums go to memory and back for every few rows.
constexpr int64_t bytes_at_a_time = 128 * 1024;

// How many inner rows of a tile's operands are taken at a time, with the outer rows that their taps meet.
template <class LaneType, int InnerTile, int OuterTile>
inline int64_t rows_at_a_time(const Geometry& geometry) {
  constexpr int64_t outer_vectors = (OuterTile + LaneType::channels - 1) / LaneType::channels;
  const int64_t lanes_of_a_row =
      InnerTile * geometry.width.inner + outer_vectors * geometry.height.stride * geometry.width.outer;
  const int64_t bytes_of_a_row = lanes_of_a_row * static_cast<int64_t>(sizeof(LaneType));
  if (geometry.height.inner * bytes_of_a_row <= bytes_at_a_time) return geometry.height.inner;
  const int64_t rows = bytes_at_a_time / bytes_of_a_row;
  return rows < 1 ? 1 : rows;
}

// Adds inner rows [first, end) to the tiles of all taps, whose lanes lie one tile behind the other.
template <class LaneType, int Phases, int InnerTile, int OuterTile, class T = typename LaneType::Scalar>
GRADCON_INLINE void form_rows(const GeometryForm& geometry, const std::vector<Tap>& taps,
                              const TileOperands<T>& operands, int64_t first, int64_t end, LaneType* lanes) {
  for (const Tap& tap : taps) {
    LaneType* of_tap = lanes + tap.index * InnerTile * OuterTile;
    LaneType tile[InnerTile][OuterTile];
    GRADCON_UNROLL for (int i = 0; i < InnerTile; ++i) {
      GRADCON_UNROLL for (int o = 0; o < OuterTile; ++o) tile[i][o] = of_tap[i * OuterTile + o];
    }
    form_tile<LaneType, Phases>(geometry, operands, part_of(tap.rows, first, end, geometry.height.stride), tap.columns,
                                tile);
    GRADCON_UNROLL for (int i = 0; i < InnerTile; ++i) {
      GRADCON_UNROLL for (int o = 0; o < OuterTile; ++o) of_tap[i * OuterTile + o] = tile[i][o];
    }
  }
}

// Adds to the tiles of all taps. All of them take some rows before the next ones come.
template <class LaneType, int Phases, int InnerTile, int OuterTile, class T = typename LaneType::Scalar>
GRADCON_INLINE void form_tiles(const GeometryForm& geometry, const std::vector<Tap>& taps,
                               const TileOperands<T>& operands,
                               LaneArray<GradientTile<LaneType, InnerTile, OuterTile>>& tiles) {
  const int64_t step = rows_at_a_time<LaneType, InnerTile, OuterTile>(geometry);
  for (int64_t first = 0; first < geometry.height.inner; first += step) {
    form_rows<LaneType, Phases, InnerTile, OuterTile>(geometry, taps, operands, first, first + step,
                                                      &tiles.begin()->lanes[0][0]);
  }
}

// Calls take(tile, tap) with the tile of each tap in turn. A tile never leaves the registers, unless its operands have
// to be taken in parts.
template <class LaneType, int Phases, int InnerTile, int OuterTile, class Take, class T = typename LaneType::Scalar>
inline void form_at_taps(const GeometryForm& geometry, const std::vector<Tap>& taps, const TileOperands<T>& operands,
                         const Take& take) {
  if (rows_at_a_time<LaneType, InnerTile, OuterTile>(geometry) < geometry.height.inner) {
    LaneArray<GradientTile<LaneType, InnerTile, OuterTile>> tiles(geometry.taps());
    form_tiles<LaneType, Phases>(geometry, taps, operands, tiles);
    int64_t index = 0;
    for (const auto& tile : tiles) take(tile.lanes, index++);
    return;
  }
  for (const Tap& tap : taps) {
    LaneType gradient[InnerTile][OuterTile] = {};
    form_tile<LaneType, Phases>(geometry, operands, tap.rows, tap.columns, gradient);
    take(gradient, tap.index);
  }
}

}  // namespace gradcon::GRADCON_CORE_NAMESPACE
