// From tensors to the bilinear map between them, with the checks that keep the kernels inside their memory.
#pragma once

#include <torch/csrc/stable/tensor.h>

#include <cstdint>
#include <vector>

#include "core/geometry.hpp"
#include "core/require.hpp"
#include "torch/views.hpp"

namespace gradcon {

inline Axis make_axis(int64_t inner, int64_t outer, int64_t kernel, int64_t stride, int64_t padding, int64_t dilation) {
  require(kernel > 0 && stride > 0 && dilation > 0 && padding >= 0, "kernel, stride and dilation must be positive");
  for (const int64_t number : {inner, outer, kernel, stride, padding, dilation}) {
    require(number < largest_extent, "sizes, kernel, stride, padding and dilation must be below 2^31");
  }
  return {inner, outer, kernel, stride, padding, dilation};
}

// Expanded tensors can claim more than there is.
inline void check_sizes(const Geometry& geometry) {
  checked_product({geometry.inner_channels, geometry.height.inner, geometry.width.inner}, largest_sample, "a sample");
  checked_product({geometry.outer_channels, geometry.height.outer, geometry.width.outer}, largest_sample, "a sample");
  checked_product(
      {geometry.inner_channels, geometry.outer_channels_per_group(), geometry.height.kernel, geometry.width.kernel},
      largest_array, "a weight");
}

inline void check_sizes(const Geometry& geometry, const Tensor& input, const Tensor& references) {
  check_sizes(geometry);
  checked_product({references.size(0), geometry.weights()}, largest_array, "references");
  checked_product({input.size(0), references.size(0)}, largest_array, "the result");
}

// (N, C, L) and (N, C, H, W) alike; a missing height is a height of one.
inline Geometry make_geometry(const Tensor& input, const Tensor& grad_output, const Integers& kernel,
                              const Integers& stride, const Integers& padding, const Integers& dilation, int64_t groups,
                              bool transposed) {
  const size_t axes = kernel.size();
  require(axes == 1 || axes == 2, "expected one axis or two");
  require(input.dim() == static_cast<int64_t>(axes) + 2 && grad_output.dim() == input.dim(), "dimensions differ");
  require(stride.size() == axes && padding.size() == axes && dilation.size() == axes, "one number an axis");
  require(input.size(0) == grad_output.size(0), "numbers of samples differ");
  const Tensor& inner = transposed ? input : grad_output;
  const Tensor& outer = transposed ? grad_output : input;
  require(groups > 0 && inner.size(1) % groups == 0 && outer.size(1) % groups == 0, "groups must divide the channels");
  Geometry geometry;
  geometry.groups = groups;
  geometry.inner_channels = inner.size(1);
  geometry.outer_channels = outer.size(1);
  const auto axis = [&](size_t index) {
    const auto dim = static_cast<int64_t>(index) + 2;
    return make_axis(inner.size(dim), outer.size(dim), kernel[index], stride[index], padding[index], dilation[index]);
  };
  geometry.width = axis(axes - 1);
  if (axes == 2) geometry.height = axis(0);
  check_sizes(geometry);
  return geometry;
}

// The kernel is that of the references (K, *weight).
inline Geometry make_geometry(const Tensor& input, const Tensor& grad_output, const Tensor& references,
                              const Integers& stride, const Integers& padding, const Integers& dilation, int64_t groups,
                              bool transposed) {
  require(references.dim() == 4 || references.dim() == 5, "references must be 4- or 5-dimensional");
  Integers kernel;
  for (int64_t dim = 3; dim < references.dim(); ++dim) kernel.push_back(references.size(dim));
  const Geometry geometry = make_geometry(input, grad_output, kernel, stride, padding, dilation, groups, transposed);
  require(references.size(1) == geometry.inner_channels && references.size(2) == geometry.outer_channels_per_group(),
          "references do not fit the channels");
  check_sizes(geometry, input, references);
  return geometry;
}

// input (N, positions, I), grad_output (N, positions, O), references (K, O, I): a 1x1 convolution of one-row images.
inline Geometry make_linear_geometry(const Tensor& input, const Tensor& grad_output, const Tensor& references) {
  require(input.dim() == 3 && grad_output.dim() == 3 && references.dim() == 3,
          "expected (N, T, I), (N, T, O) and (K, O, I)");
  require(input.size(0) == grad_output.size(0) && input.size(1) == grad_output.size(1), "samples or positions differ");
  require(references.size(1) == grad_output.size(2) && references.size(2) == input.size(2), "references do not fit");
  Geometry geometry;
  geometry.inner_channels = grad_output.size(2);
  geometry.outer_channels = input.size(2);
  geometry.width = make_axis(input.size(1), input.size(1), 1, 1, 0, 1);
  check_sizes(geometry, input, references);
  return geometry;
}

}  // namespace gradcon
