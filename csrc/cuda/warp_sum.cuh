#pragma once

#include "cuda/thread_lane.cuh"

namespace gradcon::cuda {

// Sums over a warp by a fixed tree, so the order is always the same. The result is in lane 0.
__device__ __forceinline__ double warp_sum(double value) {
  for (int offset = warp_size / 2; offset > 0; offset /= 2) value += __shfl_down_sync(~0u, value, offset);
  return value;
}

}  // namespace gradcon::cuda
