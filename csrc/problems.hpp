// From tensors to what the core computes on. The checks here keep the kernels inside their memory; the Python wrappers
// have already told a user what is wrong in their terms.
#pragma once

#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/core/ScalarType.h>
#include <torch/headeronly/util/Exception.h>

#include <cstdint>
#include <vector>

#include "core/geometry.hpp"
#include "core/to_lanes.hpp"

namespace gradcon {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;
using Integers = std::vector<int64_t>;

inline void check_alike(const Tensor& tensor, const Tensor& like, const char* name) {
  STD_TORCH_CHECK(tensor.scalar_type() == like.scalar_type() && tensor.device() == like.device(), name,
                  " must have the dtype and device of the first tensor");
}

inline Axis make_axis(int64_t inner, int64_t outer, int64_t kernel, int64_t stride, int64_t padding, int64_t dilation) {
  STD_TORCH_CHECK(kernel > 0 && stride > 0 && dilation > 0 && padding >= 0,
                  "kernel, stride and dilation must be positive");
  return {inner, outer, kernel, stride, padding, dilation};
}

// (N, C, L) and (N, C, H, W) alike; a missing height is a height of one.
inline Geometry make_geometry(const Tensor& input, const Tensor& grad_output, const Tensor& reference,
                              const Integers& stride, const Integers& padding, const Integers& dilation, int64_t groups,
                              bool transposed) {
  const auto axes = static_cast<size_t>(reference.dim() - 2);
  STD_TORCH_CHECK(axes == 1 || axes == 2, "reference must be 3- or 4-dimensional");
  STD_TORCH_CHECK(input.dim() == reference.dim() && grad_output.dim() == reference.dim(), "dimensions differ");
  STD_TORCH_CHECK(stride.size() == axes && padding.size() == axes && dilation.size() == axes, "one number an axis");
  STD_TORCH_CHECK(input.size(0) == grad_output.size(0), "numbers of samples differ");
  const Tensor& inner = transposed ? input : grad_output;
  const Tensor& outer = transposed ? grad_output : input;
  STD_TORCH_CHECK(groups > 0 && inner.size(1) % groups == 0 && outer.size(1) % groups == 0,
                  "groups must divide the channels");
  Geometry geometry;
  geometry.groups = groups;
  geometry.inner_channels = inner.size(1);
  geometry.outer_channels = outer.size(1);
  STD_TORCH_CHECK(reference.size(0) == inner.size(1) && reference.size(1) == geometry.outer_channels_per_group(),
                  "reference does not fit the channels");
  const auto axis = [&](size_t index) {
    const auto dim = static_cast<int64_t>(index) + 2;
    return make_axis(inner.size(dim), outer.size(dim), reference.size(dim), stride[index], padding[index],
                     dilation[index]);
  };
  geometry.width = axis(axes - 1);
  if (axes == 2) geometry.height = axis(0);
  return geometry;
}

template <class T>
BatchView<T> view_of(const Tensor& batch) {
  const bool has_rows = batch.dim() == 4;
  const T* data = batch.const_data_ptr<T>();
  return {data, batch.stride(0), batch.stride(1), has_rows ? batch.stride(2) : 0, batch.stride(has_rows ? 3 : 2)};
}

// Calls `function` with a zero of the tensor's C++ type.
template <class Function>
void dispatch_floating(const Tensor& tensor, const Function& function) {
  switch (tensor.scalar_type()) {
    case ScalarType::Float:
      return function(float{});
    case ScalarType::Double:
      return function(double{});
    default:
      STD_TORCH_CHECK(false, "expected float32 or float64");
  }
}

}  // namespace gradcon
