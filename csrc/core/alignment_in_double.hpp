// The alignment of samples whose products leave the range of float32: every product in double.
//
// Sums of products in float32 lose what is smaller than its smallest number, and are not finite above its largest. The
// gradients themselves keep within it far longer than their squares, so for these few samples each weight is formed
// once more, in float32 as ever, and multiplied in double.
#pragma once

#include <cstdint>

#include "core/conv_alignment.hpp"
#include "core/cosine.hpp"
#include "core/geometry.hpp"
#include "core/gradient_tiles.hpp"
#include "core/weight_gradient.hpp"

namespace gradcon::GRADCON_CORE_NAMESPACE {

// Whether sums of float32 products hold the cosine to float32's precision. What 2^24 weights lose, 2^-126 each where
// small numbers are flushed to zero, is 2^-102 of a squared norm of 2^-76 or of a product of norms of as much.
template <class T>
GRADCON_INLINE bool products_in_range(double dot, double sq_norm, double reference_norm) {
  if constexpr (sizeof(T) > sizeof(float)) return true;
  constexpr double smallest = 0x1p-76;
  const bool finite = dot - dot == 0 && sq_norm - sq_norm == 0;
  // Without a reference there is no cosine to lose; what is not finite stays so.
  if (reference_norm <= smallest_norm || reference_norm - reference_norm != 0) return true;
  return finite && sq_norm >= smallest && sq_norm * reference_norm * reference_norm >= smallest * smallest;
}

// Whether one sample's numbers are all zero, `samples` scalars from one to the next: then so is its gradient.
template <class T>
GRADCON_INLINE bool all_zero(const T* numbers, int64_t count, int64_t samples) {
  for (int64_t index = 0; index < count; ++index) {
    if (numbers[index * samples] != 0) return false;
  }
  return true;
}

// Adds the dots with one reference and the squared norms of every sample of a lane. Also for a linear layer, which is a
// convolution of one position.
template <class LaneType, class Join = NothingToJoin, class T = typename LaneType::Scalar>
GRADCON_INLINE void align_in_double(const Geometry& geometry, const TileOperands<T>& layer, const T* reference,
                                    Sum<LaneType>& dot, Sum<LaneType>& sq_norm, const Join& join = {}) {
  const GeometryForm form = geometry;
  const int64_t outer_channels = geometry.outer_channels_per_group();
  const int64_t taps = geometry.taps();
  for (int64_t weight = 0; weight < geometry.weights(); ++weight) {
    const int64_t tap = weight % taps;
    const int64_t inner_channel = weight / taps / outer_channels;
    const int64_t group = inner_channel / geometry.inner_channels_per_group();
    const TilePlace place = {inner_channel, group * outer_channels + weight / taps % outer_channels, weight};
    LaneType gradient[1][1] = {};
    form_tile<LaneType, 1>(form, place.operands<LaneType>(form, layer),
                           span_of_tap(geometry.height, tap / geometry.width.kernel),
                           span_of_tap(geometry.width, tap % geometry.width.kernel), gradient);
    dot.add_product(gradient[0][0], LaneType::load_weight(reference + weight * LaneType::channels));
    const LaneType joined = join.joined(gradient[0][0]);
    sq_norm.add_product(joined, joined);
  }
}

}  // namespace gradcon::GRADCON_CORE_NAMESPACE
