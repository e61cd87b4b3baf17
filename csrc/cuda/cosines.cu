#include "cuda/cosines.cuh"

#include "core/cosine.hpp"
#include "cuda/warp_sum.cuh"

namespace gradcon::cuda {
namespace {

// A warp's share of the elements. Fixed, so that the order of the sums does not depend on the device.
constexpr int64_t chunk_size = 1 << 10;

// First pass: each warp adds up the squares of its chunk, each thread in order, then the threads by a fixed tree.
template <class T>
__global__ void __launch_bounds__(threads_per_block)
    sum_squares_kernel(const T* data, int64_t size, int64_t chunks, double* partial) {
  const int64_t chunk = static_cast<int64_t>(blockIdx.x) * warps_per_block + threadIdx.x / warp_size;
  const int lane = threadIdx.x % warp_size;
  if (chunk >= chunks) return;
  const int64_t first = chunk * chunk_size;
  const int64_t end = first + chunk_size < size ? first + chunk_size : size;
  double sum = 0;
  for (int64_t index = first + lane; index < end; index += warp_size) {
    const double value = data[index];
    sum += value * value;
  }
  sum = warp_sum(sum);
  if (lane == 0) partial[chunk] = sum;
}

// Second pass, one warp: the chunks likewise.
__global__ void __launch_bounds__(threads_per_block) norm_kernel(const double* partial, int64_t chunks, double* norm) {
  if (threadIdx.x >= warp_size) return;
  double sum = 0;
  for (int64_t chunk = threadIdx.x; chunk < chunks; chunk += warp_size) sum += partial[chunk];
  sum = warp_sum(sum);
  if (threadIdx.x == 0) *norm = sqrt(sum);
}

template <class T>
__global__ void __launch_bounds__(threads_per_block)
    cosine_kernel(AlignmentOutput<double> alignment, const double* reference_norm, int64_t samples, T* result,
                  int64_t stride) {
  const int64_t sample = static_cast<int64_t>(blockIdx.x) * threads_per_block + threadIdx.x;
  if (sample >= samples) return;
  result[sample * stride] =
      static_cast<T>(portable::cosine_of(alignment.dot[sample], sqrt(alignment.sq_norm[sample]), *reference_norm));
}

}  // namespace

template <class T>
void norm(const Launcher& launcher, const T* data, int64_t size, double* result) {
  const int64_t chunks = ceil_div(size, chunk_size);
  const auto partial = launcher.array<double>(chunks);
  launcher.run(sum_squares_kernel<T>, ceil_div(chunks, warps_per_block), data, size, chunks, partial.data());
  launcher.run(norm_kernel, 1, static_cast<const double*>(partial.data()), chunks, result);
}

template <class T>
void cosines(const Launcher& launcher, const AlignmentOutput<double>& alignment, const double* reference_norm,
             int64_t samples, T* result, int64_t stride) {
  launcher.run(cosine_kernel<T>, ceil_div(samples, threads_per_block), alignment, reference_norm, samples, result,
               stride);
}

template void norm(const Launcher&, const float*, int64_t, double*);
template void norm(const Launcher&, const double*, int64_t, double*);
template void cosines(const Launcher&, const AlignmentOutput<double>&, const double*, int64_t, float*, int64_t);
template void cosines(const Launcher&, const AlignmentOutput<double>&, const double*, int64_t, double*, int64_t);

}  // namespace gradcon::cuda
