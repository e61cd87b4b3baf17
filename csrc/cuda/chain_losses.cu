#include "cuda/chain_losses.cuh"

#include "core/reconstruction.hpp"

namespace gradcon::cuda {

// Beside the lane, where the loops of the core look for it.
template <class T>
__device__ __forceinline__ portable::PixelLoss<ThreadLane<T>> cross_entropy(const ThreadLane<T>& output,
                                                                            const ThreadLane<T>& image) {
  const auto pixel = portable::cross_entropy_of(output.value, image.value);
  return {{pixel.loss}, {pixel.derivative}, {pixel.curvature}};
}

namespace {

// A warp's share of the pixels. Fixed, so that the order of the sums does not depend on the device.
constexpr int64_t pixels_of_share = 32;

// First pass: each thread adds up a share of its sample's pixels, into (shares, lanes).
template <class T>
__global__ void __launch_bounds__(threads_per_block)
    reconstruction_kernel(int64_t shares, int64_t sample_blocks, Reconstruction reconstruction, int64_t pixels,
                          Lanes<T> output, Lanes<T> images, Lanes<T> grad, double* partial) {
  const Piece piece(shares);
  if (piece.block >= sample_blocks) return;
  const int64_t first = piece.index * pixels_of_share;
  const int64_t count = pixels - first < pixels_of_share ? pixels - first : pixels_of_share;
  portable::Sum<ThreadLane<T>> loss;
  portable::add_pixels(reconstruction, count, 1 / static_cast<T>(pixels), output.at(piece.block, first, piece.lane),
                       images.at(piece.block, first, piece.lane), ThreadLane<T>::broadcast(1),
                       grad.at(piece.block, first, piece.lane), loss);
  partial[(piece.index * sample_blocks + piece.block) * warp_size + piece.lane] = loss.value;
}

// Second pass: the shares of a sample in order.
template <class T>
__global__ void __launch_bounds__(threads_per_block)
    sum_shares_kernel(int64_t shares, int64_t lanes, int64_t samples, const double* partial, T* losses) {
  const int64_t sample = static_cast<int64_t>(blockIdx.x) * threads_per_block + threadIdx.x;
  if (sample >= samples) return;
  double sum = 0;
  for (int64_t share = 0; share < shares; ++share) sum += partial[share * lanes + sample];
  losses[sample] = static_cast<T>(sum);
}

template <class T>
__global__ void __launch_bounds__(threads_per_block)
    divergence_kernel(Extents images, int64_t size, int64_t samples, Lanes<T> mean, Lanes<T> log_variance, T* losses) {
  const Piece piece(1);
  const int64_t sample = piece.block * warp_size + piece.lane;
  if (sample >= samples) return;
  portable::Sum<ThreadLane<T>> loss;
  portable::divergence(images, size, mean.at(piece.block, 0, piece.lane), log_variance.at(piece.block, 0, piece.lane),
                       loss);
  losses[sample] = static_cast<T>(loss.value);
}

template <class T>
__global__ void __launch_bounds__(threads_per_block)
    divergence_backward_kernel(Extents images, int64_t size, int64_t sample_blocks, Lanes<T> mean,
                               Lanes<T> log_variance, Lanes<T> grad) {
  const Piece piece(size);
  if (piece.block >= sample_blocks) return;
  const T* mean_of_number = mean.at(piece.block, piece.index, piece.lane);
  portable::divergence_backward(images, 1, mean_of_number, mean_of_number, ThreadLane<T>::broadcast(1),
                                log_variance.at(piece.block, piece.index, piece.lane),
                                grad.at(piece.block, piece.index, piece.lane));
}

}  // namespace

template <class T>
void ChainLosses<T>::reconstruction(Lanes<T> output, Lanes<T> images, T* losses, Lanes<T> grad) const {
  const int64_t pixels = size_of(chain_.images);
  const int64_t shares = ceil_div(pixels, pixels_of_share);
  const int64_t lanes = sample_blocks() * warp_size;
  const auto partial = launcher_.array<double>(shares * lanes);
  launcher_.run(reconstruction_kernel<T>, ceil_div(shares * sample_blocks(), warps_per_block), shares, sample_blocks(),
                chain_.reconstruction, pixels, output, images, grad, partial.data());
  launcher_.run(sum_shares_kernel<T>, ceil_div(samples_, threads_per_block), shares, lanes, samples_,
                static_cast<const double*>(partial.data()), losses);
}

template <class T>
void ChainLosses<T>::divergence(Lanes<T> mean, Lanes<T> log_variance, T* losses) const {
  launcher_.run(divergence_kernel<T>, ceil_div(sample_blocks(), warps_per_block), chain_.images, code_size(), samples_,
                mean, log_variance, losses);
}

template <class T>
void ChainLosses<T>::divergence_backward(Lanes<T> mean, Lanes<T> log_variance, Lanes<T> grad) const {
  launcher_.run(divergence_backward_kernel<T>, ceil_div(code_size() * sample_blocks(), warps_per_block), chain_.images,
                code_size(), sample_blocks(), mean, log_variance, grad);
}

template class ChainLosses<float>;
template class ChainLosses<double>;

}  // namespace gradcon::cuda
