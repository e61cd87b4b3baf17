// Launches where a tensor is, on torch's current stream, in memory of torch's.
#pragma once

#include <torch/csrc/inductor/aoti_torch/c/shim.h>
#include <torch/csrc/stable/accelerator.h>
#include <torch/csrc/stable/macros.h>
#include <torch/csrc/stable/ops.h>

#include <memory>

#include "cuda/launch.cuh"
#include "torch/dispatch.hpp"

// Which tensors the ops take; tests have a launcher of the same name for others.
#define GRADCON_DISPATCH_KEY CUDA

namespace gradcon::cuda {

class TorchLauncher final : public Launcher {
 public:
  explicit TorchLauncher(const Tensor& like)
      : Launcher(like.get_device_index(), current_stream(like)), guard_(like.get_device_index()), like_(like) {}

 private:
  static cudaStream_t current_stream(const Tensor& tensor) {
    void* stream = nullptr;
    TORCH_ERROR_CODE_CHECK(aoti_torch_get_current_cuda_stream(tensor.get_device_index(), &stream));
    return static_cast<cudaStream_t>(stream);
  }

  std::shared_ptr<void> allocate(int64_t bytes) const override {
    const auto tensor = std::make_shared<Tensor>(torch::stable::new_empty(like_, {bytes}, ScalarType::Byte));
    return {tensor, tensor->data_ptr()};
  }

  torch::stable::accelerator::DeviceGuard guard_;
  Tensor like_;
};

template <class T>
T* data_of(Tensor& tensor) {
  return static_cast<T*>(tensor.data_ptr());
}

}  // namespace gradcon::cuda
