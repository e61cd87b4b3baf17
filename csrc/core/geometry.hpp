// The bilinear map shared by convolution and transposed convolution, and where its two grids touch.
//
// Both maps walk a dense *inner* grid and stride over an *outer* one; the weight is
// (inner channels, outer channels / groups, kernel height, kernel width) for either of them.
//
//                  inner         outer
//   convolution    grad_output   input
//   transposed     input         grad_output
#pragma once

#include <cstdint>

#include "core/variant.hpp"

namespace gradcon {

// One spatial axis: inner position i and kernel tap k meet at outer position i * stride - padding + k * dilation.
struct Axis {
  int64_t inner = 1;
  int64_t outer = 1;
  int64_t kernel = 1;
  int64_t stride = 1;
  int64_t padding = 0;
  int64_t dilation = 1;
};

// Of the contractions that make values: which of the two grids is the target.
enum class Direction { to_inner, to_outer };

struct Geometry {
  int64_t inner_channels = 1;
  int64_t outer_channels = 1;
  int64_t groups = 1;
  Axis height;
  Axis width;

  GRADCON_INLINE int64_t inner_channels_per_group() const { return inner_channels / groups; }
  GRADCON_INLINE int64_t outer_channels_per_group() const { return outer_channels / groups; }
  GRADCON_INLINE int64_t inner_positions() const { return height.inner * width.inner; }
  GRADCON_INLINE int64_t outer_positions() const { return height.outer * width.outer; }
  GRADCON_INLINE int64_t inner_size() const { return inner_channels * inner_positions(); }
  GRADCON_INLINE int64_t outer_size() const { return outer_channels * outer_positions(); }
  GRADCON_INLINE int64_t taps() const { return height.kernel * width.kernel; }
  GRADCON_INLINE int64_t weights() const { return inner_channels * outer_channels_per_group() * taps(); }
};

namespace GRADCON_CORE_NAMESPACE {

// Inner positions [begin, end) that one tap joins to the outer grid, and the outer position that `begin` meets.
// Clipping here is what makes padding free: no halo is stored and no multiply-add is spent on zeros.
struct Span {
  int64_t begin;
  int64_t end;
  int64_t outer_begin;

  GRADCON_INLINE bool empty() const { return begin >= end; }
};

GRADCON_INLINE Span span_of_tap(const Axis& axis, int64_t tap) {
  const int64_t offset = tap * axis.dilation - axis.padding;
  const int64_t begin = offset >= 0 ? 0 : (-offset + axis.stride - 1) / axis.stride;
  const int64_t room = axis.outer - 1 - offset;
  const int64_t reach = room < 0 ? 0 : room / axis.stride + 1;
  const int64_t end = reach < axis.inner ? reach : axis.inner;
  return {begin, end, begin * axis.stride + offset};
}

// Those of a span's positions that are in [begin, end).
GRADCON_INLINE Span part_of(const Span& span, int64_t begin, int64_t end, int64_t stride) {
  const int64_t first = span.begin > begin ? span.begin : begin;
  return {first, span.end < end ? span.end : end, span.outer_begin + (first - span.begin) * stride};
}

}  // namespace GRADCON_CORE_NAMESPACE
}  // namespace gradcon
