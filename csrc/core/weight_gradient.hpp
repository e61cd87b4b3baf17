// The contraction that makes weight gradients: the inner with the outer array, over positions.
//
// A tile of the gradient (InnerTile x OuterTile channels at one kernel tap) is formed in registers, one for each sample
// of a lane.
#pragma once

#include <algorithm>
#include <cstdint>
#include <tuple>
#include <type_traits>
#include <vector>

#include "core/geometry.hpp"
#include "core/lane_array.hpp"
#include "core/tiles.hpp"

namespace gradcon::GRADCON_CORE_NAMESPACE {

// The two arrays in lanes, of a layer or moved to the first channels of one tile.
template <class T>
struct TileOperands {
  const T* inner;
  const T* outer;
  // Positions from one outer channel to the next, where those are more than a channel has.
  int64_t outer_pitch = 0;

  GRADCON_INLINE int64_t pitch_of_outer(const Geometry& geometry) const {
    return outer_pitch == 0 ? geometry.outer_positions() : outer_pitch;
  }
};

// One position of some channels.
template <int Channels, class LaneType, class T = typename LaneType::Scalar>
GRADCON_INLINE void load_channels(const T* first, int64_t channel, LaneType (&lanes)[Channels]) {
  GRADCON_UNROLL for (int i = 0; i < Channels; ++i) lanes[i] = LaneType::load_to_register(first + i * channel);
}

template <class LaneType, int InnerTile, int OuterTile, class T = typename LaneType::Scalar>
GRADCON_INLINE void form_tile(const Geometry& geometry, const TileOperands<T>& tile, const Span& rows,
                              const Span& columns, LaneType (&gradient)[InnerTile][OuterTile]) {
  constexpr int samples = LaneType::samples;
  const int64_t inner_channel = geometry.inner_positions() * samples;
  const int64_t outer_channel = tile.pitch_of_outer(geometry) * samples;
  const int64_t outer_step = geometry.width.stride * samples;
  for (int64_t row = rows.begin; row < rows.end; ++row) {
    const int64_t outer_row = rows.outer_begin + (row - rows.begin) * geometry.height.stride;
    const T* inner = tile.inner + (row * geometry.width.inner + columns.begin) * samples;
    const T* outer = tile.outer + (outer_row * geometry.width.outer + columns.outer_begin) * samples;
    for (int64_t column = columns.begin; column < columns.end; ++column) {
      // The fewer channels stay in registers, the others come one by one.
      if constexpr (InnerTile <= OuterTile) {
        LaneType inner_lanes[InnerTile];
        load_channels(inner, inner_channel, inner_lanes);
        GRADCON_UNROLL for (int o = 0; o < OuterTile; ++o) {
          const LaneType outer_lane = LaneType::load_to_register(outer + o * outer_channel);
          GRADCON_UNROLL for (int i = 0; i < InnerTile; ++i) gradient[i][o].add_product(inner_lanes[i], outer_lane);
        }
      } else {
        LaneType outer_lanes[OuterTile];
        load_channels(outer, outer_channel, outer_lanes);
        GRADCON_UNROLL for (int i = 0; i < InnerTile; ++i) {
          const LaneType inner_lane = LaneType::load_to_register(inner + i * inner_channel);
          GRADCON_UNROLL for (int o = 0; o < OuterTile; ++o) gradient[i][o].add_product(inner_lane, outer_lanes[o]);
        }
      }
      inner += samples;
      outer += outer_step;
    }
  }
}

// How far the weights of a tile lie apart: from one inner channel to the next, and one outer channel.
struct WeightStrides {
  int64_t inner;
  int64_t outer;

  explicit GRADCON_INLINE WeightStrides(const Geometry& geometry)
      : inner(geometry.outer_channels_per_group() * geometry.taps()), outer(geometry.taps()) {}
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
  const int64_t lanes_of_a_row =
      InnerTile * geometry.width.inner + OuterTile * geometry.height.stride * geometry.width.outer;
  const int64_t bytes_of_a_row = lanes_of_a_row * static_cast<int64_t>(sizeof(LaneType));
  if (geometry.height.inner * bytes_of_a_row <= bytes_at_a_time) return geometry.height.inner;
  const int64_t rows = bytes_at_a_time / bytes_of_a_row;
  return rows < 1 ? 1 : rows;
}

// Adds inner rows [first, end) to the tiles of all taps, whose lanes lie one tile behind the other.
template <class LaneType, int InnerTile, int OuterTile, class T = typename LaneType::Scalar>
GRADCON_INLINE void form_rows(const Geometry& geometry, const std::vector<Tap>& taps, const TileOperands<T>& operands,
                              int64_t first, int64_t end, LaneType* lanes) {
  for (const Tap& tap : taps) {
    LaneType* of_tap = lanes + tap.index * InnerTile * OuterTile;
    LaneType tile[InnerTile][OuterTile];
    GRADCON_UNROLL for (int i = 0; i < InnerTile; ++i) {
      GRADCON_UNROLL for (int o = 0; o < OuterTile; ++o) tile[i][o] = of_tap[i * OuterTile + o];
    }
    form_tile<LaneType, InnerTile, OuterTile>(geometry, operands, part_of(tap.rows, first, end, geometry.height.stride),
                                              tap.columns, tile);
    GRADCON_UNROLL for (int i = 0; i < InnerTile; ++i) {
      GRADCON_UNROLL for (int o = 0; o < OuterTile; ++o) of_tap[i * OuterTile + o] = tile[i][o];
    }
  }
}

// Adds to the tiles of all taps. All of them take some rows before the next ones come.
template <class LaneType, int InnerTile, int OuterTile, class T = typename LaneType::Scalar>
GRADCON_INLINE void form_tiles(const Geometry& geometry, const std::vector<Tap>& taps, const TileOperands<T>& operands,
                               LaneArray<GradientTile<LaneType, InnerTile, OuterTile>>& tiles) {
  const int64_t step = rows_at_a_time<LaneType, InnerTile, OuterTile>(geometry);
  for (int64_t first = 0; first < geometry.height.inner; first += step) {
    form_rows<LaneType, InnerTile, OuterTile>(geometry, taps, operands, first, first + step,
                                              &tiles.begin()->lanes[0][0]);
  }
}

// Calls take(tile, tap) with the tile of each tap in turn. A tile never leaves the registers, unless its operands have
// to be taken in parts.
template <class LaneType, int InnerTile, int OuterTile, class Take, class T = typename LaneType::Scalar>
inline void form_at_taps(const Geometry& geometry, const std::vector<Tap>& taps, const TileOperands<T>& operands,
                         const Take& take) {
  if (rows_at_a_time<LaneType, InnerTile, OuterTile>(geometry) < geometry.height.inner) {
    LaneArray<GradientTile<LaneType, InnerTile, OuterTile>> tiles(geometry.taps());
    form_tiles(geometry, taps, operands, tiles);
    int64_t index = 0;
    for (const auto& tile : tiles) take(tile.lanes, index++);
    return;
  }
  for (const Tap& tap : taps) {
    LaneType gradient[InnerTile][OuterTile] = {};
    form_tile<LaneType, InnerTile, OuterTile>(geometry, operands, tap.rows, tap.columns, gradient);
    take(gradient, tap.index);
  }
}

// The largest tile whose accumulators, operands and broadcasts fit the registers of the instruction set.
template <int InnerMost, int OuterMost>
struct TileShape {
  static constexpr int inner = InnerMost;
  static constexpr int outer = OuterMost;
};

// First channels of a tile, and where its weights begin.
struct TilePlace {
  int64_t inner_channel;
  int64_t outer_channel;
  int64_t weight;

  template <class LaneType, class T = typename LaneType::Scalar>
  GRADCON_INLINE TileOperands<T> operands(const Geometry& geometry, const TileOperands<T>& layer) const {
    return {layer.inner + inner_channel * geometry.inner_positions() * LaneType::samples,
            layer.outer + outer_channel * layer.pitch_of_outer(geometry) * LaneType::samples, layer.outer_pitch};
  }
};

// Calls visit(inner extent, outer extent, place) with the extents, 1..InnerTile and 1..OuterTile, as constants.
template <int InnerTile, int OuterTile, class Visit>
inline void visit_tile(int64_t inner_extent, int64_t outer_extent, const TilePlace& place, const Visit& visit) {
  if constexpr (InnerTile > 1) {
    if (inner_extent < InnerTile) {
      return visit_tile<InnerTile - 1, OuterTile>(inner_extent, outer_extent, place, visit);
    }
  }
  if constexpr (OuterTile > 1) {
    if (outer_extent < OuterTile) {
      return visit_tile<InnerTile, OuterTile - 1>(inner_extent, outer_extent, place, visit);
    }
  }
  visit(std::integral_constant<int, InnerTile>{}, std::integral_constant<int, OuterTile>{}, place);
}

// One of `chunks` pieces of the tiles of a shape, those of the same outer channels next to each other: with a stride
// the outer array is the larger one, which is read once so.
template <class Shape, class Visit>
inline void visit_tiles_of(const Geometry& geometry, int64_t chunk, int64_t chunks, const Visit& visit) {
  const EvenTiles inner_tiles(geometry.inner_channels_per_group(), Shape::inner);
  const EvenTiles outer_tiles(geometry.outer_channels_per_group(), Shape::outer);
  const int64_t tiles = geometry.groups * outer_tiles.tiles * inner_tiles.tiles;
  for (int64_t tile = chunk * tiles / chunks; tile < (chunk + 1) * tiles / chunks; ++tile) {
    const int64_t group = tile / inner_tiles.tiles / outer_tiles.tiles;
    const int64_t outer_tile = tile / inner_tiles.tiles % outer_tiles.tiles;
    const int64_t inner_tile = tile % inner_tiles.tiles;
    const int64_t inner_channel = group * geometry.inner_channels_per_group() + inner_tiles.begin(inner_tile);
    const int64_t outer_of_group = outer_tiles.begin(outer_tile);
    const TilePlace place = {
        inner_channel,
        group * geometry.outer_channels_per_group() + outer_of_group,
        (inner_channel * geometry.outer_channels_per_group() + outer_of_group) * geometry.taps(),
    };
    visit_tile<Shape::inner, Shape::outer>(inner_tiles.extent(inner_tile), outer_tiles.extent(outer_tile), place,
                                           visit);
  }
}

// Calls function(shape) with the shape of a layer's tiles. Where it has few outer channels, they take more of the inner
// ones instead.
template <class Shape, class Function>
inline void with_shape_of_tiles(const Geometry& geometry, const Function& function) {
  using Narrow = TileShape<Shape::inner * 2, Shape::outer / 2>;
  if (geometry.outer_channels_per_group() <= Narrow::outer) {
    function(Narrow{});
  } else {
    function(Shape{});
  }
}

// One of `chunks` pieces of a layer's tiles.
template <class Shape, class Visit>
inline void visit_tiles(const Geometry& geometry, int64_t chunk, int64_t chunks, const Visit& visit) {
  with_shape_of_tiles<Shape>(geometry,
                             [&](auto shape) { visit_tiles_of<decltype(shape)>(geometry, chunk, chunks, visit); });
}

}  // namespace gradcon::GRADCON_CORE_NAMESPACE
