#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>

#include "cuda/running_mean.cuh"
#include "torch/checks.hpp"
#include "torch/cuda/launcher.cuh"
#include "torch/dispatch.hpp"

namespace gradcon::cuda {
namespace {

Tensor running_mean_cosine_(Tensor mean, const Tensor& grad, int64_t count) {
  check_running_mean(mean, grad, count);
  const Tensor gradient = torch::stable::contiguous(grad);
  Tensor cosine = torch::stable::new_empty(mean, {});
  dispatch_floating(mean, [&](auto zero) {
    using T = decltype(zero);
    running_mean(TorchLauncher(mean), data_of<T>(mean), static_cast<const T*>(gradient.data_ptr()), mean.numel(), count,
                 data_of<T>(cosine));
  });
  return cosine;
}

}  // namespace
}  // namespace gradcon::cuda

STABLE_TORCH_LIBRARY_IMPL(gradcon_ext, GRADCON_DISPATCH_KEY, library) {
  library.impl("running_mean_cosine_", TORCH_BOX(&gradcon::cuda::running_mean_cosine_));
}
