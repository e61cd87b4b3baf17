// L1 norm of per-sample convolution weight gradients, without storing a gradient.
//
// The tiles are those of core/conv_alignment.hpp, in the same order; of each, the magnitudes are added up instead.
#pragma once

#include <cstdint>
#include <vector>

#include "core/conv_alignment.hpp"
#include "core/geometry.hpp"
#include "core/parallel_for.hpp"
#include "core/sum.hpp"
#include "core/tile_sum.hpp"
#include "core/weight_gradient.hpp"

namespace gradcon::GRADCON_CORE_NAMESPACE {

// Takes the tiles of one place at every tap.
template <class LaneType, class Join>
struct TapNorm {
  const Join& join;
  Sum<LaneType>& norm;

  template <int InnerTile, int OuterTile>
  GRADCON_INLINE void operator()(const LaneType (&gradient)[InnerTile][OuterTile], int64_t /*tap*/) const {
    norm.add_within_tile(join.template sum_of_tile<Magnitude>(gradient));
  }
};

// One of `chunks` pieces of the norm of a layer.
template <class LaneType, class Shape, class Join = NothingToJoin, class T = typename LaneType::Scalar>
inline void conv_l1_norm(const Geometry& layer_geometry, const TileOperands<T>& layer, Sum<LaneType>& norm,
                         const Join& join = {}, int64_t chunk = 0, int64_t chunks = 1) {
  with_form_of<Shape>(layer_geometry, [&](const GeometryForm& geometry, auto shape) {
    using Tiles = decltype(shape);
    const std::vector<Tap> taps = taps_by_phase(geometry);
    visit_tiles<Tiles>(geometry, chunk, chunks, [&](auto inner, auto outer, const TilePlace& place) {
      form_at_taps<LaneType, Tiles::phases, inner(), outer()>(geometry, taps, place.operands<LaneType>(geometry, layer),
                                                              TapNorm<LaneType, Join>{join, norm});
      norm.end_tile();
    });
  });
}

// All pieces.
template <class LaneType, class Shape, class Join, class T = typename LaneType::Scalar>
inline Sum<LaneType> conv_l1_norm_in_chunks(const Geometry& geometry, const TileOperands<T>& layer, const Join& join,
                                            const ParallelFor& parallel_for) {
  Sum<LaneType> norms[alignment_chunks];
  parallel_for(alignment_chunks, [&](int64_t chunk) {
    conv_l1_norm<LaneType, Shape>(geometry, layer, norms[chunk], join, chunk, alignment_chunks);
  });
  for (int64_t chunk = 1; chunk < alignment_chunks; ++chunk) norms[0].add_values(norms[chunk]);
  join.join(norms[0]);
  return norms[0];
}

}  // namespace gradcon::GRADCON_CORE_NAMESPACE
