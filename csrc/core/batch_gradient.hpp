// The weight gradient of a batch: that of every sample, summed.
#pragma once

#include <cstdint>
#include <vector>

#include "core/lane_array.hpp"
#include "core/to_lanes.hpp"
#include "core/weight_gradient.hpp"

namespace gradcon::GRADCON_CORE_NAMESPACE {

// The sum over samples of each of `Count` lanes, in the order of the samples.
template <class LaneType, int Count, class T = typename LaneType::Scalar>
GRADCON_INLINE void sum_samples(const LaneType* lanes, T* sums) {
  constexpr int samples = LaneType::samples;
  GRADCON_UNROLL for (int begin = 0; begin < Count; begin += samples) {
    LaneType square[samples];
    GRADCON_UNROLL for (int i = 0; i < samples; ++i) square[i] =
        begin + i < Count ? lanes[begin + i] : LaneType::zero();
    transpose(square);
    GRADCON_UNROLL for (int i = 1; i < samples; ++i) square[0].value += square[i].value;
    square[0].store(sums + begin);
  }
}

// Writes a tile's sums over samples to its place in the weight gradient.
template <class LaneType, int InnerTile, int OuterTile, class T = typename LaneType::Scalar>
GRADCON_INLINE void write_sums(const GradientTile<LaneType, InnerTile, OuterTile>& tile, const WeightStrides& strides,
                               T* weight) {
  constexpr int count = InnerTile * OuterTile;
  alignas(sizeof(LaneType)) T sums[(count + LaneType::samples - 1) / LaneType::samples * LaneType::samples];
  sum_samples<LaneType, count>(&tile.lanes[0][0], sums);
  for (int i = 0; i < InnerTile; ++i) {
    for (int o = 0; o < OuterTile; ++o) weight[i * strides.inner + o * strides.outer] = sums[i * OuterTile + o];
  }
}

// A weight gradient, summed over the samples of several pairs of arrays in their order: the blocks of a batch, say. One
// of `chunks` pieces of it.
template <class LaneType, class Shape, class T = typename LaneType::Scalar>
inline void weight_gradient(const Geometry& geometry, const std::vector<TileOperands<T>>& pairs, int64_t chunk,
                            int64_t chunks, T* gradient) {
  const TapSpans spans(geometry);
  const WeightStrides strides(geometry);
  visit_tiles<Shape>(geometry, chunk, chunks, [&](auto inner_extent, auto outer_extent, const TilePlace& place) {
    constexpr int inner = decltype(inner_extent)::value;
    constexpr int outer = decltype(outer_extent)::value;
    T* weight = gradient + place.weight;
    if (geometry.taps() == 1) {
      // Nothing is read twice, so the one tile of a linear layer or of a 1x1 kernel stays in registers.
      GradientTile<LaneType, inner, outer> tile;
      for (const TileOperands<T>& pair : pairs) {
        form_tile<LaneType, inner, outer>(geometry, place.operands<LaneType>(geometry, pair), spans.rows[0],
                                          spans.columns[0], tile.lanes);
      }
      write_sums(tile, strides, weight);
      return;
    }
    LaneArray<GradientTile<LaneType, inner, outer>> tiles(geometry.taps());
    for (const TileOperands<T>& pair : pairs) {
      form_tiles(geometry, spans, place.operands<LaneType>(geometry, pair), tiles);
    }
    for (const auto& tile : tiles) write_sums(tile, strides, weight++);
  });
}

}  // namespace gradcon::GRADCON_CORE_NAMESPACE
