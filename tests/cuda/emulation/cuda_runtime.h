// What csrc/cuda uses of CUDA, on a CPU: for tests of the very sources where there is no GPU.
//
// The threads of a block are fibers of one thread, run one at a time and in a shuffled order, so that a missing barrier
// shows as other bits. Blocks run one after the other. See emulation.hpp for what tests may ask of it.
#pragma once

#include <math.h>  // also puts the overloads of float into the global namespace, where device code finds them

#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <functional>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
// One block at a time, so one memory for all of them.
#define __shared__ static

struct EmulatedIndex {
  unsigned x = 0;
};

// Of the fiber that runs.
extern EmulatedIndex threadIdx;
extern EmulatedIndex blockIdx;

void __syncthreads();
double __shfl_down_sync(unsigned mask, double value, int offset);

using cudaStream_t = void*;
enum cudaError_t { cudaSuccess };
enum cudaDeviceAttr { cudaDevAttrMultiProcessorCount };

struct cudaLaunchConfig_t {
  unsigned gridDim = 0;
  unsigned blockDim = 0;
  size_t dynamicSmemBytes = 0;
  cudaStream_t stream = nullptr;
};

inline const char* cudaGetErrorString(cudaError_t) { return "no error"; }

inline cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr, int) {
  *value = 2;
  return cudaSuccess;
}

inline cudaError_t cudaMemsetAsync(void* data, int byte, size_t count, cudaStream_t) {
  std::memset(data, byte, count);
  return cudaSuccess;
}

void emulated_launch(unsigned blocks, unsigned threads, const std::function<void()>& thread);

template <class... Parameters, class... Arguments>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(Parameters...),
                               Arguments&&... arguments) {
  emulated_launch(config->gridDim, config->blockDim, [&] { kernel(arguments...); });
  return cudaSuccess;
}
