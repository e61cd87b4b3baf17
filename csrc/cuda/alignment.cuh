// What the alignment ops share on the GPU: chunks of samples, from tensors to lanes to sums.
#pragma once

#include <torch/csrc/stable/ops.h>

#include <algorithm>
#include <cstdint>

#include "cuda/align_lanes.cuh"
#include "cuda/launch.cuh"
#include "cuda/to_lanes.cuh"
#include "problems.hpp"

namespace gradcon::cuda {

// Scalars in lanes at a time, 256 MiB of float32: enough to fill a GPU, and no more however large the batch.
constexpr int64_t most_scalars_in_lanes = int64_t{1} << 26;

// Calls `function` with a zero of the tensor's element type on the GPU.
template <class Function>
void dispatch_element(const Tensor& tensor, const Function& function) {
  switch (tensor.scalar_type()) {
    case ScalarType::Float:
      return function(float{});
    case ScalarType::Double:
      return function(double{});
    case ScalarType::Half:
      return function(__half{});
    case ScalarType::BFloat16:
      return function(__nv_bfloat16{});
    default:
      STD_TORCH_CHECK(false, "expected float32, float64, float16 or bfloat16");
  }
}

template <class Source>
void align_convolution(const Geometry& geometry, const BatchView<Source>& inner, const BatchView<Source>& outer,
                       const Tensor& references, int64_t batch, AlignmentTensors& outputs) {
  using T = Computed<Source>;
  const Launcher launcher(references);
  const int64_t size = geometry.inner_size() + geometry.outer_size();
  const int64_t blocks_at_once = std::max<int64_t>(1, most_scalars_in_lanes / std::max<int64_t>(1, size * warp_size));
  const int64_t chunk = std::min(blocks_at_once, ceil_div(batch, warp_size)) * warp_size;
  Tensor lanes = torch::stable::new_empty(references, {chunk * size});
  const Lanes<T> inner_lanes = {data_of<T>(lanes), geometry.inner_size() * warp_size};
  const Lanes<T> outer_lanes = {inner_lanes.data + chunk * geometry.inner_size(), geometry.outer_size() * warp_size};
  for (int64_t first = 0; first < batch; first += chunk) {
    const int64_t samples = std::min(chunk, batch - first);
    to_lanes(launcher, inner, {geometry.inner_channels, geometry.height.inner, geometry.width.inner}, first, samples,
             inner_lanes);
    to_lanes(launcher, outer, {geometry.outer_channels, geometry.height.outer, geometry.width.outer}, first, samples,
             outer_lanes);
    align_lanes<T, T>(launcher, geometry, inner_lanes, outer_lanes, references, samples,
                      {data_of<T>(outputs.dot) + first * references.size(0), data_of<T>(outputs.sq_norm) + first});
  }
}

}  // namespace gradcon::cuda
