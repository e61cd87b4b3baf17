// Alignment of per-sample convolution weight gradients with references, without storing a gradient.
//
// Every tile of a sample's weight gradient is formed in registers, multiplied with each reference and with itself, and
// forgotten. Reduction order, the same in every run and for every number of threads: positions in row-major order; the
// weights of a tile at one tap in `LaneType::accumulators` sums (outer channels, which may be phases of a stride, every
// so many inner channels), then these; the taps of a tile, by phases of the stride where its positions are taken all at
// once, all in the lane's own precision; then tiles in double (outer channel tiles, inner channel tiles).
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "core/geometry.hpp"
#include "core/gradient_tiles.hpp"
#include "core/parallel_for.hpp"
#include "core/prefetch.hpp"
#include "core/sum.hpp"
#include "core/tile_sum.hpp"
#include "core/weight_gradient.hpp"

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

template <class LaneType, int Phases, int InnerTile, int OuterTile, class T = typename LaneType::Scalar>
GRADCON_INLINE LaneType dot_of_tile(const LaneType (&gradient)[InnerTile][OuterTile], const T* reference,
                                    const WeightStrides& strides) {
  LaneType accumulators[LaneType::accumulators] = {};
  GRADCON_UNROLL for (int o = 0; o < OuterTile; ++o) {
    GRADCON_UNROLL for (int i = 0; i < InnerTile; ++i) {
      accumulators[i % LaneType::accumulators].add_product(
          gradient[i][o], LaneType::load_weight(reference + strides.at<Phases>(i, o) * LaneType::channels));
    }
  }
  return sum_of(accumulators);
}

// Takes the tiles of one place at every tap; `references` moved to its first weight.
template <class LaneType, int Phases, class Join, class T = typename LaneType::Scalar>
struct TapAlignment {
  const GeometryForm& geometry;
  References<T> references;
  const Join& join;
  Alignment<LaneType>& alignment;

  template <int InnerTile, int OuterTile>
  GRADCON_INLINE void operator()(const LaneType (&gradient)[InnerTile][OuterTile], int64_t tap) const {
    const WeightStrides strides(geometry);
    const T* reference = references.data + tap * strides.tap * LaneType::channels;
    for (int64_t k = 0; k < references.count; ++k, reference += geometry.weights() * LaneType::channels) {
      alignment.dots[k].add_within_tile(dot_of_tile<LaneType, Phases>(gradient, reference, strides));
    }
    alignment.sq_norm.add_within_tile(join.template sum_of_tile<Square>(gradient));
  }

  void end_tile() const {
    for (int64_t k = 0; k < references.count; ++k) alignment.dots[k].end_tile();
    alignment.sq_norm.end_tile();
  }
};

// What the tile behind one of `inner_tile` inner channels reads of each reference, while that one is formed.
template <class LaneType, class T = typename LaneType::Scalar>
GRADCON_INLINE void prefetch_next_tile(const GeometryForm& geometry, const References<T>& references,
                                       const TilePlace& place, int64_t inner_tile, int64_t outer_tile) {
  const int64_t group_end =
      (place.inner_channel / geometry.inner_channels_per_group() + 1) * geometry.inner_channels_per_group();
  constexpr int64_t of_a_vector = LaneType::channels;
  const int64_t of_inner = WeightStrides(geometry).inner * of_a_vector;
  const int64_t first = place.inner_channel + inner_tile;
  const int64_t end = std::min(first + inner_tile, group_end);
  for (int64_t k = 0; k < references.count; ++k) {
    const T* reference =
        references.data + (k * geometry.weights() + place.weight) * of_a_vector + inner_tile * of_inner;
    for (int64_t channel = first; channel < end; ++channel, reference += of_inner) {
      prefetch(reference, outer_tile * geometry.taps() * of_a_vector);
    }
  }
}

// One of `chunks` pieces of the alignment of a layer. Each reference is (inner channels, outer channels / groups,
// taps), contiguous; in lanes of channels, each number is a vector of inner ones.
template <class LaneType, class Shape, class Join = NothingToJoin, class T = typename LaneType::Scalar>
inline void conv_alignment(const Geometry& layer_geometry, const TileOperands<T>& layer,
                           const References<T>& references, Alignment<LaneType>& alignment, const Join& join = {},
                           int64_t chunk = 0, int64_t chunks = 1) {
  with_form_of<Shape>(layer_geometry, [&](const GeometryForm& geometry, auto shape) {
    using Tiles = decltype(shape);
    const std::vector<Tap> taps = taps_by_phase(geometry);
    const int64_t numbers = references.count * geometry.weights() * LaneType::channels;
    const bool are_near = numbers * int64_t{sizeof(T)} <= bytes_kept_near;
    visit_tiles<Tiles>(geometry, chunk, chunks, [&](auto inner, auto outer, const TilePlace& place) {
      if (!are_near) prefetch_next_tile<LaneType>(geometry, references, place, inner(), outer());
      const TapAlignment<LaneType, Tiles::phases, Join> take = {
          geometry, {references.data + place.weight * LaneType::channels, references.count}, join, alignment};
      form_at_taps<LaneType, Tiles::phases, inner(), outer()>(geometry, taps, place.operands<LaneType>(geometry, layer),
                                                              take);
      take.end_tile();
    });
  });
}

// How many pieces a layer is aligned in, whoever takes them: their sums are added in order, so that the bits do not
// depend on the threads.
constexpr int64_t alignment_chunks = 8;

// All pieces. `dots` has room for alignment_chunks times the number of references; the first of them hold the result.
template <class LaneType, class Shape, class Join, class T = typename LaneType::Scalar>
inline Alignment<LaneType> conv_alignment_in_chunks(const Geometry& geometry, const TileOperands<T>& layer,
                                                    const References<T>& references, const Join& join,
                                                    const ParallelFor& parallel_for, Sum<LaneType>* dots) {
  Sum<LaneType> sq_norms[alignment_chunks];
  parallel_for(alignment_chunks, [&](int64_t chunk) {
    Alignment<LaneType> alignment = {dots + chunk * references.count, {}};
    for (int64_t k = 0; k < references.count; ++k) alignment.dots[k] = {};
    conv_alignment<LaneType, Shape>(geometry, layer, references, alignment, join, chunk, alignment_chunks);
    sq_norms[chunk] = alignment.sq_norm;
  });
  for (int64_t chunk = 1; chunk < alignment_chunks; ++chunk) {
    for (int64_t k = 0; k < references.count; ++k) dots[k].add_values(dots[chunk * references.count + k]);
    sq_norms[0].add_values(sq_norms[chunk]);
  }
  for (int64_t k = 0; k < references.count; ++k) join.join(dots[k]);
  join.join(sq_norms[0]);
  return {dots, sq_norms[0]};
}

}  // namespace gradcon::GRADCON_CORE_NAMESPACE
