// From a strided batch to lanes, and to the type of computation; and from lanes to contiguous samples.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>
#include <type_traits>

#include "core/batch_view.hpp"
#include "cuda/lanes.cuh"
#include "cuda/launch.cuh"

namespace gradcon::cuda {

__device__ __forceinline__ float widened(float value) { return value; }
__device__ __forceinline__ double widened(double value) { return value; }
__device__ __forceinline__ float widened(__half value) { return __half2float(value); }
__device__ __forceinline__ float widened(__nv_bfloat16 value) { return __bfloat162float(value); }

template <class Source>
using Computed = decltype(widened(Source{}));

// Pixels of one byte, 0 to 255, become numbers from 0 to 1.
template <class T, class Source>
__device__ __forceinline__ T converted(Source value) {
  if constexpr (std::is_same_v<Source, uint8_t>) {
    return static_cast<T>(value) / 255;
  } else {
    return widened(value);
  }
}

// A square of 32 features x 32 samples a block, turned in shared memory so that both sides are read and written in
// rows.
template <class Source, class T>
__global__ void __launch_bounds__(threads_per_block)
    to_lanes_kernel(BatchView<Source> batch, Extents extents, int64_t first, int64_t samples, Lanes<T> lanes) {
  __shared__ T square[warp_size][warp_size + 1];
  const int64_t features = extents.channels * extents.rows * extents.columns;
  const int64_t feature_tiles = (features + warp_size - 1) / warp_size;
  const int64_t sample_block = blockIdx.x / feature_tiles;
  const int64_t feature_tile = blockIdx.x % feature_tiles;
  const int lane = threadIdx.x % warp_size;
  const int warp = threadIdx.x / warp_size;

  const int64_t feature = feature_tile * warp_size + lane;
  const int64_t row = feature / extents.columns;
  const int64_t offset = row / extents.rows * batch.channel_stride + row % extents.rows * batch.row_stride +
                         feature % extents.columns * batch.column_stride;
  for (int index = warp; index < warp_size; index += warps_per_block) {
    const int64_t sample = sample_block * warp_size + index;
    const bool inside = feature < features && sample < samples;
    // Samples past the last are computed like the others, so they must hold ordinary numbers.
    square[index][lane] = inside ? converted<T>(batch.data[(first + sample) * batch.sample_stride + offset]) : T(0);
  }
  __syncthreads();
  for (int index = warp; index < warp_size; index += warps_per_block) {
    const int64_t written = feature_tile * warp_size + index;
    if (written < features) *lanes.at(sample_block, written, lane) = square[lane][index];
  }
}

// Samples [first, first + samples) of the batch.
template <class Source, class T>
void to_lanes(const Launcher& launcher, const BatchView<Source>& batch, const Extents& extents, int64_t first,
              int64_t samples, Lanes<T> lanes) {
  const int64_t features = extents.channels * extents.rows * extents.columns;
  const int64_t blocks = ceil_div(features, warp_size) * ceil_div(samples, warp_size);
  launcher.run(to_lanes_kernel<Source, T>, blocks, batch, extents, first, samples, lanes);
}

// The other way, to samples that lie one behind the other.
template <class T>
__global__ void __launch_bounds__(threads_per_block)
    from_lanes_kernel(Lanes<T> lanes, int64_t features, int64_t samples, T* target) {
  __shared__ T square[warp_size][warp_size + 1];
  const int64_t feature_tiles = (features + warp_size - 1) / warp_size;
  const int64_t sample_block = blockIdx.x / feature_tiles;
  const int64_t first_feature = blockIdx.x % feature_tiles * warp_size;
  const int lane = threadIdx.x % warp_size;
  const int warp = threadIdx.x / warp_size;
  for (int index = warp; index < warp_size; index += warps_per_block) {
    if (first_feature + index < features) square[index][lane] = *lanes.at(sample_block, first_feature + index, lane);
  }
  __syncthreads();
  for (int index = warp; index < warp_size; index += warps_per_block) {
    const int64_t sample = sample_block * warp_size + index;
    if (sample < samples && first_feature + lane < features) {
      target[sample * features + first_feature + lane] = square[lane][index];
    }
  }
}

template <class T>
void from_lanes(const Launcher& launcher, Lanes<T> lanes, int64_t features, int64_t samples, T* target) {
  const int64_t blocks = ceil_div(features, warp_size) * ceil_div(samples, warp_size);
  launcher.run(from_lanes_kernel<T>, blocks, lanes, features, samples, target);
}

}  // namespace gradcon::cuda
