// Tensors as the kernels take them: where the numbers are, and in which shape.
#pragma once

#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <cstdint>
#include <vector>

#include "core/batch_view.hpp"
#include "core/chain.hpp"
#include "torch/dispatch.hpp"

namespace gradcon {

using Integers = std::vector<int64_t>;

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

template <class T>
ImagesView<T> view_of_pixels(const Tensor& images) {
  if (images.scalar_type() == ScalarType::Byte) return {{}, view_of_images<uint8_t>(images)};
  return {view_of_images<T>(images), {}};
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

template <class T>
std::vector<ArrayView<T>> views_of(const std::vector<Tensor>& tensors) {
  std::vector<ArrayView<T>> views;
  for (const Tensor& tensor : tensors) views.push_back({static_cast<const T*>(tensor.data_ptr()), shape_of(tensor)});
  return views;
}

}  // namespace gradcon
