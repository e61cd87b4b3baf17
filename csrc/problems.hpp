// From tensors to what the core computes on. The checks here keep the kernels inside their memory; the Python wrappers
// have already told a user what is wrong in their terms.
#pragma once

#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/core/ScalarType.h>
#include <torch/headeronly/util/Exception.h>

#include <algorithm>
#include <cstdint>
#include <vector>

#include "core/batch_view.hpp"
#include "core/chain.hpp"
#include "core/geometry.hpp"
#include "core/packed_chain.hpp"

namespace gradcon {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;
using Integers = std::vector<int64_t>;

// What is computed in: float64 for itself, float32 for everything narrower.
inline ScalarType computed_type(const Tensor& tensor) {
  return tensor.scalar_type() == ScalarType::Double ? ScalarType::Double : ScalarType::Float;
}

inline void check_alike(const Tensor& tensor, const Tensor& like, const char* name) {
  STD_TORCH_CHECK(tensor.scalar_type() == like.scalar_type() && tensor.device() == like.device(), name,
                  " must have the dtype and device of the first tensor");
}

inline void check_references(const Tensor& references, const Tensor& input) {
  STD_TORCH_CHECK(references.scalar_type() == computed_type(input) && references.device() == input.device(),
                  "references must be float64 for float64 input and else float32, and on the same device");
}

// An alignment's outputs: dot (samples, references) and sq_norm (samples).
struct AlignmentTensors {
  Tensor dot;
  Tensor sq_norm;

  AlignmentTensors(const Tensor& input, const Tensor& references)
      : dot(torch::stable::new_empty(input, {input.size(0), references.size(0)}, computed_type(input))),
        sq_norm(torch::stable::new_empty(input, {input.size(0)}, computed_type(input))) {}
};

// Up to here a product of two numbers, plus a third, stays within 64 bits.
constexpr int64_t largest_extent = int64_t{1} << 31;

inline Axis make_axis(int64_t inner, int64_t outer, int64_t kernel, int64_t stride, int64_t padding, int64_t dilation) {
  STD_TORCH_CHECK(kernel > 0 && stride > 0 && dilation > 0 && padding >= 0,
                  "kernel, stride and dilation must be positive");
  for (const int64_t number : {inner, outer, kernel, stride, padding, dilation}) {
    STD_TORCH_CHECK(number < largest_extent, "sizes, kernel, stride, padding and dilation must be below 2^31");
  }
  return {inner, outer, kernel, stride, padding, dilation};
}

// A sample's numbers, times the samples of a block and their bytes, stay within 64 bits. Expanded tensors can claim
// more.
inline void check_size(const Geometry& geometry) {
  constexpr int64_t most = int64_t{1} << 40;
  const auto fits = [](int64_t channels, int64_t positions) {
    return channels < largest_extent && positions <= most / std::max<int64_t>(channels, 1);
  };
  STD_TORCH_CHECK(fits(geometry.inner_channels, geometry.inner_positions()) &&
                      fits(geometry.outer_channels, geometry.outer_positions()),
                  "a sample of more than 2^40 numbers is too large");
}

// (N, C, L) and (N, C, H, W) alike; a missing height is a height of one. `references` is (K, *weight).
inline Geometry make_geometry(const Tensor& input, const Tensor& grad_output, const Tensor& references,
                              const Integers& stride, const Integers& padding, const Integers& dilation, int64_t groups,
                              bool transposed) {
  STD_TORCH_CHECK(references.dim() == 4 || references.dim() == 5, "references must be 4- or 5-dimensional");
  const auto axes = static_cast<size_t>(references.dim() - 3);
  STD_TORCH_CHECK(input.dim() == references.dim() - 1 && grad_output.dim() == input.dim(), "dimensions differ");
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
  STD_TORCH_CHECK(references.size(1) == inner.size(1) && references.size(2) == geometry.outer_channels_per_group(),
                  "references do not fit the channels");
  const auto axis = [&](size_t index) {
    const auto dim = static_cast<int64_t>(index) + 2;
    return make_axis(inner.size(dim), outer.size(dim), references.size(dim + 1), stride[index], padding[index],
                     dilation[index]);
  };
  geometry.width = axis(axes - 1);
  if (axes == 2) geometry.height = axis(0);
  check_size(geometry);
  return geometry;
}

template <class T>
BatchView<T> view_of_images(const Tensor& batch) {
  const bool has_rows = batch.dim() == 4;
  const T* data = static_cast<const T*>(batch.data_ptr());
  return {data, batch.stride(0), batch.stride(1), has_rows ? batch.stride(2) : 0, batch.stride(has_rows ? 3 : 2)};
}

// (N, positions, channels) as a batch of one-row images (N, channels, 1, positions).
template <class T>
BatchView<T> view_of_positions(const Tensor& batch) {
  return {static_cast<const T*>(batch.data_ptr()), batch.stride(0), batch.stride(2), 0, batch.stride(1)};
}

// input (N, positions, I), grad_output (N, positions, O), references (K, O, I): a 1x1 convolution of one-row images.
inline Geometry make_linear_geometry(const Tensor& input, const Tensor& grad_output, const Tensor& references) {
  STD_TORCH_CHECK(input.dim() == 3 && grad_output.dim() == 3 && references.dim() == 3,
                  "expected (N, T, I), (N, T, O) and (K, O, I)");
  STD_TORCH_CHECK(input.size(0) == grad_output.size(0) && input.size(1) == grad_output.size(1),
                  "samples or positions differ");
  STD_TORCH_CHECK(references.size(1) == grad_output.size(2) && references.size(2) == input.size(2),
                  "references do not fit");
  Geometry geometry;
  geometry.inner_channels = grad_output.size(2);
  geometry.outer_channels = input.size(2);
  geometry.width = make_axis(input.size(1), input.size(1), 1, 1, 0, 1);
  check_size(geometry);
  return geometry;
}

inline Integers shape_of(const Tensor& tensor) {
  Integers shape;
  for (int64_t dim = 0; dim < tensor.dim(); ++dim) shape.push_back(tensor.size(dim));
  return shape;
}

inline Shapes shapes_of(const std::vector<Tensor>& tensors) {
  Shapes shapes;
  for (const Tensor& tensor : tensors) shapes.push_back(shape_of(tensor));
  return shapes;
}

inline std::vector<Tensor> contiguous(const std::vector<Tensor>& tensors) {
  std::vector<Tensor> result;
  for (const Tensor& tensor : tensors) result.push_back(torch::stable::contiguous(tensor));
  return result;
}

inline Extents extents_of(const Tensor& images) { return {images.size(1), images.size(2), images.size(3)}; }

inline void check_chain_tensors(const Tensor& images, const std::vector<Tensor>& parameters,
                                const std::vector<Tensor>& references) {
  STD_TORCH_CHECK(!references.empty(), "expected one or more references");
  STD_TORCH_CHECK(images.dim() == 4, "images must be (N, C, H, W)");
  for (const Tensor& tensor : parameters) check_alike(tensor, references[0], "a parameter");
  for (const Tensor& tensor : references) check_alike(tensor, references[0], "a reference");
  STD_TORCH_CHECK(images.device() == references[0].device(), "images and references must be on the same device");
  STD_TORCH_CHECK(images.scalar_type() == ScalarType::Byte || images.scalar_type() == references[0].scalar_type(),
                  "images must be bytes or of the dtype of the references");
}

// Scores of a batch: reconstruction (samples), latent (samples) and cosine (samples, references).
struct ScoreTensors {
  Tensor reconstruction;
  Tensor latent;
  Tensor cosine;

  ScoreTensors(const Tensor& images, const std::vector<Tensor>& references)
      : reconstruction(torch::stable::new_empty(references[0], {images.size(0)})),
        latent(torch::stable::new_empty(references[0], {images.size(0)})),
        cosine(torch::stable::new_empty(references[0], {images.size(0), static_cast<int64_t>(references.size())})) {}

  template <class T>
  ScoreOutputs<T> pointers() {
    return {reconstruction.mutable_data_ptr<T>(), latent.mutable_data_ptr<T>(), cosine.mutable_data_ptr<T>(),
            cosine.size(1)};
  }
};

inline void check_running_mean(const Tensor& mean, const Tensor& grad, int64_t count) {
  check_alike(grad, mean, "grad");
  STD_TORCH_CHECK(mean.is_contiguous(), "mean must be contiguous");
  STD_TORCH_CHECK(mean.sizes().equals(grad.sizes()), "mean and grad must have the same shape");
  STD_TORCH_CHECK(count >= 0, "count must not be negative");
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
