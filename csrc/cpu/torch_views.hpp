// The threads of torch, and its tensors as the engines take them.
#pragma once

#include <torch/csrc/stable/ops.h>

#include <cstdint>
#include <vector>

#include "cpu/kernels.hpp"
#include "cpu/threads.hpp"
#include "problems.hpp"

namespace gradcon::cpu {

inline Threads torch_threads() {
  const auto run = [](const void*, int64_t parts, void (*body)(void*, int64_t), void* state) {
    torch::stable::parallel_for(0, parts, 1, [&](int64_t begin, int64_t end) {
      for (int64_t part = begin; part < end; ++part) body(state, part);
    });
  };
  return {{run, nullptr}, static_cast<int64_t>(torch::stable::get_num_threads())};
}

template <class T>
std::vector<ArrayView<T>> views_of(const std::vector<Tensor>& tensors) {
  std::vector<ArrayView<T>> views;
  for (const Tensor& tensor : tensors) views.push_back({tensor.const_data_ptr<T>(), shape_of(tensor)});
  return views;
}

template <class T>
ImagesView<T> view_of_pixels(const Tensor& images) {
  if (images.scalar_type() == ScalarType::Byte) return {{}, view_of_images<uint8_t>(images)};
  return {view_of_images<T>(images), {}};
}

}  // namespace gradcon::cpu
