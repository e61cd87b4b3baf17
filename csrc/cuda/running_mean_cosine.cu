#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>

#include "core/running_mean.hpp"
#include "cuda/launch.cuh"
#include "problems.hpp"

namespace gradcon::cuda {
namespace {

// A block's share of the elements. Fixed, so that the order of the sums does not depend on the device.
constexpr int64_t chunk_size = 1 << 13;

__device__ CosineSums& operator+=(CosineSums& total, const CosineSums& other) {
  total.dot += other.dot;
  total.mean_sq_norm += other.mean_sq_norm;
  total.grad_sq_norm += other.grad_sq_norm;
  return total;
}

// Adds up the block's sums by a fixed tree; the result is in the first of `sums`.
__device__ void add_up(CosineSums (&sums)[threads_per_block]) {
  for (int half = threads_per_block / 2; half > 0; half /= 2) {
    __syncthreads();
    if (threadIdx.x < half) sums[threadIdx.x] += sums[threadIdx.x + half];
  }
}

// First pass: each block updates its chunk of the mean and adds up what the cosine needs, before the update.
template <class T>
__global__ void __launch_bounds__(threads_per_block)
    update_kernel(T* mean, const T* grad, int64_t size, T share, CosineSums* partial) {
  __shared__ CosineSums sums[threads_per_block];
  const int64_t first = blockIdx.x * chunk_size;
  const int64_t end = first + chunk_size < size ? first + chunk_size : size;
  CosineSums own;
  for (int64_t index = first + threadIdx.x; index < end; index += threads_per_block) {
    const double m = mean[index];
    const double g = grad[index];
    own += CosineSums{m * g, m * m, g * g};
    mean[index] += (grad[index] - mean[index]) * share;
  }
  sums[threadIdx.x] = own;
  add_up(sums);
  if (threadIdx.x == 0) partial[blockIdx.x] = sums[0];
}

// Second pass, one block: the chunks in order a thread, then the threads by a fixed tree.
template <class T>
__global__ void __launch_bounds__(threads_per_block)
    cosine_kernel(const CosineSums* partial, int64_t chunks, bool has_mean, T* cosine) {
  __shared__ CosineSums sums[threads_per_block];
  CosineSums own;
  for (int64_t chunk = threadIdx.x; chunk < chunks; chunk += threads_per_block) own += partial[chunk];
  sums[threadIdx.x] = own;
  add_up(sums);
  if (threadIdx.x == 0) {
    // Square roots first: the product of two squared norms underflows long before either norm does.
    const double norms = sqrt(sums[0].mean_sq_norm) * sqrt(sums[0].grad_sq_norm);
    *cosine = static_cast<T>(has_mean && norms > 0 ? sums[0].dot / norms : 0.0);
  }
}

Tensor running_mean_cosine_(Tensor mean, const Tensor& grad, int64_t count) {
  check_running_mean(mean, grad, count);
  const Tensor gradient = torch::stable::contiguous(grad);
  Tensor cosine = torch::stable::new_empty(mean, {});
  const int64_t chunks = ceil_div(mean.numel(), chunk_size);
  Tensor partial = torch::stable::new_empty(mean, {chunks, 3}, ScalarType::Double);
  dispatch_floating(mean, [&](auto zero) {
    using T = decltype(zero);
    const Launcher launcher(mean);
    auto* sums = static_cast<CosineSums*>(partial.data_ptr());
    const T share = static_cast<T>(1.0 / static_cast<double>(count + 1));
    launcher.run(update_kernel<T>, chunks, data_of<T>(mean), static_cast<const T*>(gradient.data_ptr()), mean.numel(),
                 share, sums);
    launcher.run(cosine_kernel<T>, 1, static_cast<const CosineSums*>(sums), chunks, count > 0, data_of<T>(cosine));
  });
  return cosine;
}

}  // namespace
}  // namespace gradcon::cuda

STABLE_TORCH_LIBRARY_IMPL(gradcon_ext, CUDA, library) {
  library.impl("running_mean_cosine_", TORCH_BOX(&gradcon::cuda::running_mean_cosine_));
}
