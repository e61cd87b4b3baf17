#include "cuda/running_mean.cuh"

#include "core/cosine.hpp"
#include "core/running_mean.hpp"

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
  for (unsigned half = threads_per_block / 2; half > 0; half /= 2) {
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
    const CosineSums& sum = sums[0];
    const double cosine_to_mean = portable::cosine_of(sum.dot, sqrt(sum.grad_sq_norm), sqrt(sum.mean_sq_norm));
    *cosine = static_cast<T>(has_mean ? cosine_to_mean : 0.0);
  }
}

}  // namespace

template <class T>
void running_mean(const Launcher& launcher, T* mean, const T* grad, int64_t size, int64_t count, T* cosine) {
  const int64_t chunks = ceil_div(size, chunk_size);
  const auto partial = launcher.array<CosineSums>(chunks);
  const T share = static_cast<T>(1.0 / static_cast<double>(count + 1));
  launcher.run(update_kernel<T>, chunks, mean, grad, size, share, partial.data());
  launcher.run(cosine_kernel<T>, 1, static_cast<const CosineSums*>(partial.data()), chunks, count > 0, cosine);
}

template void running_mean(const Launcher&, float*, const float*, int64_t, int64_t, float*);
template void running_mean(const Launcher&, double*, const double*, int64_t, int64_t, double*);

}  // namespace gradcon::cuda
