// Where and how kernels are launched: the tensor's device, torch's current stream, a check after each launch.
#pragma once

#include <cuda_runtime.h>
#include <torch/csrc/inductor/aoti_torch/c/shim.h>
#include <torch/csrc/stable/accelerator.h>
#include <torch/csrc/stable/macros.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <algorithm>
#include <cstdint>

#include "cuda/thread_lane.cuh"

namespace gradcon::cuda {

constexpr int threads_per_block = 128;
constexpr int warps_per_block = threads_per_block / warp_size;

class Launcher {
 public:
  explicit Launcher(const torch::stable::Tensor& tensor)
      : guard_(tensor.get_device_index()), device_(tensor.get_device_index()) {
    void* stream = nullptr;
    TORCH_ERROR_CODE_CHECK(aoti_torch_get_current_cuda_stream(device_, &stream));
    stream_ = static_cast<cudaStream_t>(stream);
  }

  // One block of threads_per_block threads for each of `blocks`; nothing for none.
  template <class... Parameters, class... Arguments>
  void run(void (*kernel)(Parameters...), int64_t blocks, Arguments... arguments) const {
    if (blocks == 0) return;
    STD_TORCH_CHECK(blocks <= INT32_MAX, "too many blocks for one launch");
    kernel<<<static_cast<unsigned>(blocks), threads_per_block, 0, stream_>>>(arguments...);
    STD_CUDA_KERNEL_LAUNCH_CHECK();
  }

  // As many warps as keep the device busy.
  int64_t warps_to_fill() const {
    int processors = 0;
    STD_CUDA_CHECK(cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, device_));
    return int64_t{16} * processors;
  }

 private:
  torch::stable::accelerator::DeviceGuard guard_;
  int32_t device_;
  cudaStream_t stream_ = nullptr;
};

inline int64_t ceil_div(int64_t value, int64_t by) { return (value + by - 1) / by; }

template <class T>
T* data_of(torch::stable::Tensor& tensor) {
  return static_cast<T*>(tensor.data_ptr());
}

}  // namespace gradcon::cuda
