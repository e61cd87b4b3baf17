// The tiles of a layer's weight gradient: their shapes, and which one comes after which.
#pragma once

#include <cstdint>
#include <type_traits>

#include "core/geometry.hpp"
#include "core/interleaving.hpp"
#include "core/tiles.hpp"
#include "core/weight_gradient.hpp"

namespace gradcon::GRADCON_CORE_NAMESPACE {

// The largest tile whose accumulators, operands and broadcasts fit the registers of the instruction set.
template <int InnerMost, int OuterMost, int Phases = 1>
struct TileShape {
  static constexpr int inner = InnerMost;
  static constexpr int outer = OuterMost / Phases * Phases;
  static constexpr int phases = Phases;
};

// First channels of a tile, and where its weights begin.
struct TilePlace {
  int64_t inner_channel;
  int64_t outer_channel;
  int64_t weight;

  template <class LaneType, class T = typename LaneType::Scalar>
  GRADCON_INLINE TileOperands<T> operands(const GeometryForm& geometry, const TileOperands<T>& layer) const {
    const int64_t outer = outer_channel / geometry.interleaving.phases;
    const int64_t before = outer % LaneType::channels;
    return {layer.inner + inner_channel * geometry.inner_positions() * LaneType::samples,
            layer.outer + outer / LaneType::channels * layer.pitch_of_outer(geometry) * LaneType::samples + before,
            layer.outer_pitch, before, layer.outer_step};
  }
};

// Calls visit(inner extent, outer extent, place) with the extents, 1..InnerTile and Phases..OuterTile, as constants.
template <int Phases, int InnerTile, int OuterTile, class Visit>
inline void visit_tile(int64_t inner_extent, int64_t outer_extent, const TilePlace& place, const Visit& visit) {
  static_assert(OuterTile % Phases == 0);
  if constexpr (InnerTile > 1) {
    if (inner_extent < InnerTile) {
      return visit_tile<Phases, InnerTile - 1, OuterTile>(inner_extent, outer_extent, place, visit);
    }
  }
  if constexpr (OuterTile > Phases) {
    if (outer_extent < OuterTile) {
      return visit_tile<Phases, InnerTile, OuterTile - Phases>(inner_extent, outer_extent, place, visit);
    }
  }
  visit(std::integral_constant<int, InnerTile>{}, std::integral_constant<int, OuterTile>{}, place);
}

// One of `chunks` pieces of the tiles of a shape, those of the same outer channels next to each other: with a stride
// the outer array is the larger one, which is read once so.
template <class Shape, class Visit>
inline void visit_tiles(const Geometry& geometry, int64_t chunk, int64_t chunks, const Visit& visit) {
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
    visit_tile<Shape::phases, Shape::inner, Shape::outer>(inner_tiles.extent(inner_tile),
                                                          outer_tiles.extent(outer_tile), place, visit);
  }
}

// Calls function(geometry, shape) with a layer's geometry in the form in which weight gradients are computed, and the
// shape of its tiles. Where it has few outer channels, they take more of the inner ones instead.
template <class Shape, class Function>
inline void with_form_of(const Geometry& geometry, const Function& function) {
  const auto with_phases = [&](const GeometryForm& form, auto phases) {
    using Narrow = TileShape<Shape::inner * 2, Shape::outer / 2, phases()>;
    if constexpr (Narrow::outer > 0) {
      if (form.outer_channels_per_group() <= Narrow::outer) return function(form, Narrow{});
    }
    function(form, TileShape<Shape::inner, Shape::outer, phases()>{});
  };
  if (can_interleave(geometry, Shape::outer)) {
    with_phases(interleaved(geometry), std::integral_constant<int, most_phases>{});
  } else {
    with_phases(geometry, std::integral_constant<int, 1>{});
  }
}

}  // namespace gradcon::GRADCON_CORE_NAMESPACE
