// Where and how kernels are launched, and whose memory they work in. Nothing here knows torch: csrc/torch/cuda/ has a
// launcher of torch's device, stream and memory.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>

#include "cuda/thread_lane.cuh"

namespace gradcon::cuda {

constexpr int threads_per_block = 128;
constexpr int warps_per_block = threads_per_block / warp_size;

inline void check(cudaError_t status) {
  if (status != cudaSuccess) throw std::runtime_error(std::string("CUDA: ") + cudaGetErrorString(status));
}

// Memory of the device, for as long as a copy of this lives.
template <class T>
class Array {
 public:
  explicit Array(std::shared_ptr<void> memory) : memory_(std::move(memory)) {}

  T* data() const { return static_cast<T*>(memory_.get()); }

 private:
  std::shared_ptr<void> memory_;
};

// Launches on a stream of a device, which is the current one.
class Launcher {
 public:
  Launcher(int device, cudaStream_t stream) : device_(device), stream_(stream) {}
  virtual ~Launcher() = default;
  Launcher(const Launcher&) = delete;
  Launcher& operator=(const Launcher&) = delete;

  // One block of threads_per_block threads for each of `blocks`; nothing for none.
  template <class... Parameters, class... Arguments>
  void run(void (*kernel)(Parameters...), int64_t blocks, Arguments... arguments) const {
    if (blocks == 0) return;
    if (blocks > INT32_MAX / warps_per_block) throw std::runtime_error("CUDA: too many blocks for one launch");
    cudaLaunchConfig_t config = {};
    config.gridDim = static_cast<unsigned>(blocks);
    config.blockDim = threads_per_block;
    config.stream = stream_;
    check(cudaLaunchKernelEx(&config, kernel, arguments...));
  }

  template <class T>
  void fill_with_zeros(T* data, int64_t count) const {
    check(cudaMemsetAsync(data, 0, static_cast<size_t>(count) * sizeof(T), stream_));
  }

  // Room for `count` numbers, which hold anything.
  template <class T>
  Array<T> array(int64_t count) const {
    return Array<T>(allocate(count * static_cast<int64_t>(sizeof(T))));
  }

  // As many warps as keep the device busy, in several rounds, so that the last one is short.
  int64_t warps_to_fill() const {
    int processors = 0;
    check(cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, device_));
    return int64_t{48} * processors;
  }

 private:
  // Aligned for every type; free for others once the work that has been launched by then is done.
  virtual std::shared_ptr<void> allocate(int64_t bytes) const = 0;

  int device_;
  cudaStream_t stream_;
};

inline int64_t ceil_div(int64_t value, int64_t by) { return (value + by - 1) / by; }

}  // namespace gradcon::cuda
