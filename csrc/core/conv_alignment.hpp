// Alignment of per-sample convolution weight gradients with references, without storing a gradient.
//
// Every tile of a sample's weight gradient is formed in registers, multiplied with each reference and with itself, and
// forgotten. Reduction order, the same in every run and for every number of threads: positions in row-major order; the
// weights of a tile at one tap in `LaneType::accumulators` sums (outer channels, every so many inner channels), then
// these; the taps of a tile, all in the lane's own precision; then tiles in double (inner channel tiles, outer channel
// tiles).
#pragma once

#include <cstdint>

#include "core/geometry.hpp"
#include "core/lane_array.hpp"
#include "core/parallel_for.hpp"
#include "core/sum.hpp"
#include "core/tiles.hpp"
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

// One chain of additions through a whole tile would take a CPU longer than forming a tile of few positions does.
template <class LaneType>
GRADCON_INLINE LaneType sum_of(const LaneType (&accumulators)[LaneType::accumulators]) {
  LaneType sum = accumulators[0];
  GRADCON_UNROLL for (int index = 1; index < LaneType::accumulators; ++index) sum.value += accumulators[index].value;
  return sum;
}

template <class LaneType, int InnerTile, int OuterTile, class T = typename LaneType::Scalar>
GRADCON_INLINE LaneType dot_of_tile(const LaneType (&gradient)[InnerTile][OuterTile], const T* reference,
                                    const WeightStrides& strides) {
  LaneType accumulators[LaneType::accumulators] = {};
  GRADCON_UNROLL for (int o = 0; o < OuterTile; ++o) {
    GRADCON_UNROLL for (int i = 0; i < InnerTile; ++i) {
      accumulators[i % LaneType::accumulators].add_product(
          gradient[i][o], LaneType::broadcast(reference[i * strides.inner + o * strides.outer]));
    }
  }
  return sum_of(accumulators);
}

template <class LaneType, int InnerTile, int OuterTile>
GRADCON_INLINE LaneType sq_norm_of_tile(const LaneType (&gradient)[InnerTile][OuterTile]) {
  LaneType accumulators[LaneType::accumulators] = {};
  GRADCON_UNROLL for (int o = 0; o < OuterTile; ++o) {
    GRADCON_UNROLL for (int i = 0; i < InnerTile; ++i) {
      accumulators[i % LaneType::accumulators].add_product(gradient[i][o], gradient[i][o]);
    }
  }
  return sum_of(accumulators);
}

// Where each sample has one lane there is nothing to join; core/strip_lanes.hpp has the StripSum of several.
struct NothingToJoin {
  template <class Tile>
  GRADCON_INLINE auto sq_norm(const Tile& tile) const {
    return sq_norm_of_tile(tile);
  }
  template <class LaneType>
  GRADCON_INLINE LaneType joined(const LaneType& number) const {
    return number;
  }
};

// Adds a tile at one tap; `references` moved to its first weight.
template <class LaneType, int InnerTile, int OuterTile, class Join, class T = typename LaneType::Scalar>
GRADCON_INLINE void align_tap(const Geometry& geometry, const WeightStrides& strides,
                              const LaneType (&gradient)[InnerTile][OuterTile], const References<T>& references,
                              const Join& join, Alignment<LaneType>& alignment) {
  const T* reference = references.data;
  for (int64_t k = 0; k < references.count; ++k, reference += geometry.weights()) {
    alignment.dots[k].add_within_tile(dot_of_tile(gradient, reference, strides));
  }
  alignment.sq_norm.add_within_tile(join.sq_norm(gradient));
}

// One tile of channels at every tap; `references` moved to its first weight. A tile never leaves the registers, unless
// its operands have to be taken in parts.
template <class LaneType, int InnerTile, int OuterTile, class Join, class T = typename LaneType::Scalar>
inline void align_tile(const Geometry& geometry, const TapSpans& spans, const TileOperands<T>& operands,
                       References<T> references, const Join& join, Alignment<LaneType>& alignment) {
  const WeightStrides strides(geometry);
  const int64_t count = references.count;
  if (rows_at_a_time<LaneType, InnerTile, OuterTile>(geometry) < geometry.height.inner) {
    LaneArray<GradientTile<LaneType, InnerTile, OuterTile>> tiles(geometry.taps());
    form_tiles(geometry, spans, operands, tiles);
    for (const auto& tile : tiles) {
      align_tap(geometry, strides, tile.lanes, references, join, alignment);
      ++references.data;
    }
  } else {
    for (const Span rows : spans.rows) {
      for (const Span columns : spans.columns) {
        LaneType gradient[InnerTile][OuterTile] = {};
        form_tile<LaneType, InnerTile, OuterTile>(geometry, operands, rows, columns, gradient);
        align_tap(geometry, strides, gradient, references, join, alignment);
        ++references.data;
      }
    }
  }
  for (int64_t k = 0; k < count; ++k) alignment.dots[k].end_tile();
  alignment.sq_norm.end_tile();
}

// One of `chunks` pieces of the alignment of a layer. Each reference is (inner channels, outer channels / groups,
// taps), contiguous.
template <class LaneType, class Shape, class Join = NothingToJoin, class T = typename LaneType::Scalar>
inline void conv_alignment(const Geometry& geometry, const TileOperands<T>& layer, const References<T>& references,
                           Alignment<LaneType>& alignment, const Join& join = {}, int64_t chunk = 0,
                           int64_t chunks = 1) {
  const TapSpans spans(geometry);
  visit_tiles<Shape>(geometry, chunk, chunks, [&](auto inner, auto outer, const TilePlace& place) {
    align_tile<LaneType, decltype(inner)::value, decltype(outer)::value>(
        geometry, spans, place.operands<LaneType>(geometry, layer), {references.data + place.weight, references.count},
        join, alignment);
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
