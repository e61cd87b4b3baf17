// Alignment of per-sample convolution weight gradients with references, without storing a gradient.
//
// For every sample the weight gradient is the contraction of the inner with the outer array over positions. A tile of
// it (InnerTile x OuterTile channels at one kernel tap) is formed in registers, multiplied with each reference and with
// itself, and forgotten. Reduction order, the same in every run and for every number of threads: positions in row-major
// order in the lane's own precision, then tiles in double (inner channel tiles, outer channel tiles, taps).
#pragma once

#include <cstdint>

#include "core/geometry.hpp"
#include "core/sum.hpp"
#include "core/tiles.hpp"

namespace gradcon::GRADCON_CORE_NAMESPACE {

// Several references of the shape of the weight, one behind the other.
template <class T>
struct References {
  const T* data;
  int64_t count;
};

// One dot product for each reference, and the squared norm. `dots` starts at zero.
template <class LaneType>
struct Alignment {
  Sum<LaneType>* dots;
  Sum<LaneType> sq_norm;
};

// The two arrays in lanes and the references, all moved to the first channels of one tile.
template <class T>
struct TileOperands {
  const T* inner;
  const T* outer;
  References<T> references;
};

template <class LaneType, int InnerTile, int OuterTile, class T = typename LaneType::Scalar>
GRADCON_INLINE void form_tile(const Geometry& geometry, const TileOperands<T>& tile, const Span& rows,
                              const Span& columns, LaneType (&gradient)[InnerTile][OuterTile]) {
  constexpr int samples = LaneType::samples;
  const int64_t inner_channel = geometry.inner_positions() * samples;
  const int64_t outer_channel = geometry.outer_positions() * samples;
  const int64_t outer_step = geometry.width.stride * samples;
  for (int64_t row = rows.begin; row < rows.end; ++row) {
    const int64_t outer_row = rows.outer_begin + (row - rows.begin) * geometry.height.stride;
    const T* inner = tile.inner + (row * geometry.width.inner + columns.begin) * samples;
    const T* outer = tile.outer + (outer_row * geometry.width.outer + columns.outer_begin) * samples;
    for (int64_t column = columns.begin; column < columns.end; ++column) {
      LaneType inner_lanes[InnerTile];
      GRADCON_UNROLL for (int i = 0; i < InnerTile; ++i) inner_lanes[i] = LaneType::load(inner + i * inner_channel);
      GRADCON_UNROLL for (int o = 0; o < OuterTile; ++o) {
        const LaneType outer_lane = LaneType::load(outer + o * outer_channel);
        GRADCON_UNROLL for (int i = 0; i < InnerTile; ++i) gradient[i][o].add_product(inner_lanes[i], outer_lane);
      }
      inner += samples;
      outer += outer_step;
    }
  }
}

// How far the weights of a tile lie apart in a reference: from one inner channel to the next, and one outer channel.
struct WeightStrides {
  int64_t inner;
  int64_t outer;

  explicit GRADCON_INLINE WeightStrides(const Geometry& geometry)
      : inner(geometry.outer_channels_per_group() * geometry.taps()), outer(geometry.taps()) {}
};

template <class LaneType, int InnerTile, int OuterTile, class T = typename LaneType::Scalar>
GRADCON_INLINE LaneType dot_of_tile(const LaneType (&gradient)[InnerTile][OuterTile], const T* reference,
                                    const WeightStrides& strides, Counted counted = {}) {
  LaneType dot = LaneType::zero();
  GRADCON_UNROLL for (int i = 0; i < InnerTile; ++i) {
    GRADCON_UNROLL for (int o = 0; o < OuterTile; ++o) {
      if (i < counted.inner || o < counted.outer) continue;
      dot.add_product(gradient[i][o], LaneType::broadcast(reference[i * strides.inner + o * strides.outer]));
    }
  }
  return dot;
}

template <class LaneType, int InnerTile, int OuterTile>
GRADCON_INLINE LaneType sq_norm_of_tile(const LaneType (&gradient)[InnerTile][OuterTile], Counted counted = {}) {
  LaneType sq_norm = LaneType::zero();
  GRADCON_UNROLL for (int i = 0; i < InnerTile; ++i) {
    GRADCON_UNROLL for (int o = 0; o < OuterTile; ++o) {
      if (i < counted.inner || o < counted.outer) continue;
      sq_norm.add_product(gradient[i][o], gradient[i][o]);
    }
  }
  return sq_norm;
}

template <class LaneType, int InnerTile, int OuterTile, class T = typename LaneType::Scalar>
inline void align_tile(const Geometry& geometry, const TileOperands<T>& tile, Alignment<LaneType>& alignment) {
  const WeightStrides strides(geometry);
  for (int64_t tap_row = 0; tap_row < geometry.height.kernel; ++tap_row) {
    const Span rows = span_of_tap(geometry.height, tap_row);
    for (int64_t tap_column = 0; tap_column < geometry.width.kernel; ++tap_column) {
      const Span columns = span_of_tap(geometry.width, tap_column);
      if (rows.empty() || columns.empty()) continue;
      LaneType gradient[InnerTile][OuterTile] = {};
      form_tile<LaneType, InnerTile, OuterTile>(geometry, tile, rows, columns, gradient);
      const T* reference = tile.references.data + tap_row * geometry.width.kernel + tap_column;
      for (int64_t k = 0; k < tile.references.count; ++k, reference += geometry.weights()) {
        alignment.dots[k].add(dot_of_tile(gradient, reference, strides));
      }
      alignment.sq_norm.add(sq_norm_of_tile(gradient));
    }
  }
}

// The largest tile whose accumulators, operands and broadcasts fit the registers of the instruction set.
template <int InnerMost, int OuterMost>
struct TileShape {
  static constexpr int inner = InnerMost;
  static constexpr int outer = OuterMost;
};

// Runs align_tile at run-time extents 1..InnerMost x 1..OuterMost.
template <class LaneType, int InnerTile, int OuterTile, class T = typename LaneType::Scalar>
inline void align_tile_of(int64_t inner_extent, int64_t outer_extent, const Geometry& geometry,
                          const TileOperands<T>& tile, Alignment<LaneType>& alignment) {
  if constexpr (InnerTile > 1) {
    if (inner_extent < InnerTile) {
      return align_tile_of<LaneType, InnerTile - 1, OuterTile>(inner_extent, outer_extent, geometry, tile, alignment);
    }
  }
  if constexpr (OuterTile > 1) {
    if (outer_extent < OuterTile) {
      return align_tile_of<LaneType, InnerTile, OuterTile - 1>(inner_extent, outer_extent, geometry, tile, alignment);
    }
  }
  align_tile<LaneType, InnerTile, OuterTile>(geometry, tile, alignment);
}

// `inner` and `outer` in lanes; each reference (inner channels, outer channels / groups, taps), contiguous.
template <class LaneType, class Shape, class T = typename LaneType::Scalar>
inline void conv_alignment(const Geometry& geometry, const T* inner, const T* outer, const References<T>& references,
                           Alignment<LaneType>& alignment) {
  constexpr int samples = LaneType::samples;
  const EvenTiles inner_tiles(geometry.inner_channels_per_group(), Shape::inner);
  const EvenTiles outer_tiles(geometry.outer_channels_per_group(), Shape::outer);
  for (int64_t group = 0; group < geometry.groups; ++group) {
    const int64_t group_inner = group * geometry.inner_channels_per_group();
    const int64_t group_outer = group * geometry.outer_channels_per_group();
    for (int64_t inner_tile = 0; inner_tile < inner_tiles.tiles; ++inner_tile) {
      const int64_t inner_channel = group_inner + inner_tiles.begin(inner_tile);
      for (int64_t outer_tile = 0; outer_tile < outer_tiles.tiles; ++outer_tile) {
        const int64_t outer_channel = outer_tiles.begin(outer_tile);
        const int64_t weight = inner_channel * geometry.outer_channels_per_group() + outer_channel;
        const TileOperands<T> tile = {
            inner + inner_channel * geometry.inner_positions() * samples,
            outer + (group_outer + outer_channel) * geometry.outer_positions() * samples,
            {references.data + weight * geometry.taps(), references.count},
        };
        align_tile_of<LaneType, Shape::inner, Shape::outer>(inner_tiles.extent(inner_tile),
                                                            outer_tiles.extent(outer_tile), geometry, tile, alignment);
      }
    }
  }
}

}  // namespace gradcon::GRADCON_CORE_NAMESPACE
