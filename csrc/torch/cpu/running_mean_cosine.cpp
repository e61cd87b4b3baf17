#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/cosine.hpp"
#include "cpu/kernels.hpp"
#include "torch/checks.hpp"
#include "torch/dispatch.hpp"

namespace gradcon::cpu {
namespace {

// Chunks are of fixed size and their sums are added in order, so the bits do not depend on the number of threads.
constexpr int64_t chunk_size = 1 << 15;

template <class T>
CosineSums update(T* mean, const T* grad, int64_t size, int64_t count) {
  const int64_t chunks = (size + chunk_size - 1) / chunk_size;
  std::vector<CosineSums> partial(static_cast<size_t>(chunks));
  torch::stable::parallel_for(0, chunks, 8, [&](int64_t begin, int64_t end) {
    for (int64_t chunk = begin; chunk < end; ++chunk) {
      const int64_t first = chunk * chunk_size;
      const int64_t length = std::min(chunk_size, size - first);
      partial[static_cast<size_t>(chunk)] = kernels().of<T>().running_mean(mean + first, grad + first, length, count);
    }
  });
  CosineSums total;
  for (const CosineSums& sums : partial) {
    total.dot += sums.dot;
    total.mean_sq_norm += sums.mean_sq_norm;
    total.grad_sq_norm += sums.grad_sq_norm;
  }
  return total;
}

Tensor running_mean_cosine_(Tensor mean, const Tensor& grad, int64_t count) {
  check_running_mean(mean, grad, count);
  const Tensor gradient = torch::stable::contiguous(grad);
  Tensor cosine = torch::stable::new_empty(mean, {});
  dispatch_floating(mean, [&](auto zero) {
    using T = decltype(zero);
    const CosineSums sums = update(mean.mutable_data_ptr<T>(), gradient.const_data_ptr<T>(), mean.numel(), count);
    const double cosine_to_mean =
        portable::cosine_of(sums.dot, std::sqrt(sums.grad_sq_norm), std::sqrt(sums.mean_sq_norm));
    *cosine.mutable_data_ptr<T>() = static_cast<T>(count > 0 ? cosine_to_mean : 0.0);
  });
  return cosine;
}

}  // namespace
}  // namespace gradcon::cpu

STABLE_TORCH_LIBRARY_IMPL(gradcon_ext, CPU, library) {
  library.impl("running_mean_cosine_", TORCH_BOX(&gradcon::cpu::running_mean_cosine_));
}
