// Samples in lanes on the GPU: where they lie, and which of them a warp works on.
#pragma once

#include <cstdint>

#include "cuda/launch.cuh"
#include "cuda/thread_lane.cuh"

namespace gradcon::cuda {

// Blocks of 32 samples, each [channel][row][column][sample]. They may be parts of larger ones, so they need not lie one
// behind the other.
template <class T>
struct Lanes {
  T* data;
  int64_t block_stride;  // numbers from one block to the next

  __device__ T* at(int64_t block, int64_t position, uint32_t lane) const {
    return data + block * block_stride + position * warp_size + lane;
  }
};

// Numbers in lanes at a time, 256 MiB of float32: enough to fill a GPU, and no more however large the batch.
constexpr int64_t most_numbers_in_lanes = int64_t{1} << 26;

// One of `pieces` of the work on a block of samples, a warp each. In 32 bits, whose divisions take a quarter of the
// time: a launch has no more warps than that.
struct Piece {
  uint32_t block;
  uint32_t index;
  uint32_t lane;

  explicit __device__ Piece(uint32_t pieces) {
    const uint32_t warp = blockIdx.x * warps_per_block + threadIdx.x / warp_size;
    block = warp / pieces;
    index = warp % pieces;
    lane = threadIdx.x % warp_size;
  }
};

}  // namespace gradcon::cuda
