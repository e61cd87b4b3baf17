// Takes the place of csrc/torch/cuda/launcher.cuh: ops on CPU tensors, whose kernels run on the emulated GPU.
#pragma once

#include <torch/csrc/stable/macros.h>
#include <torch/csrc/stable/ops.h>

#include "emulation.hpp"
#include "torch/dispatch.hpp"

#define GRADCON_DISPATCH_KEY CPU

namespace gradcon::cuda {

class TorchLauncher final : public emulation::Launcher {
 public:
  explicit TorchLauncher(const Tensor&) {}
};

template <class T>
T* data_of(Tensor& tensor) {
  return static_cast<T*>(tensor.data_ptr());
}

}  // namespace gradcon::cuda
