#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>

#include <tuple>

#include "cuda/alignment.cuh"
#include "cuda/warp_sum.cuh"
#include "problems.hpp"

namespace gradcon::cuda {
namespace {

// One position a sample: <g, a_k> = <y, a_k x> and |g|^2 = |x|^2 |y|^2. `projected` is a_k x, (samples, K, outputs).
// A warp a sample; row `references` of its results stands for the squared norm.
template <class Source, class T = Computed<Source>>
__global__ void __launch_bounds__(threads_per_block)
    align_vectors_kernel(BatchView<Source> input, BatchView<Source> grad_output, const T* projected, int64_t inputs,
                         int64_t outputs, int64_t references, int64_t samples, AlignmentOutput<T> result) {
  const int64_t sample = static_cast<int64_t>(blockIdx.x) * warps_per_block + threadIdx.x / warp_size;
  const int lane = threadIdx.x % warp_size;
  if (sample >= samples) return;
  const Source* x = input.data + sample * input.sample_stride;
  const Source* y = grad_output.data + sample * grad_output.sample_stride;

  double input_sq_norm = 0;
  for (int64_t i = lane; i < inputs; i += warp_size) {
    const double value = widened(x[i * input.channel_stride]);
    input_sq_norm += value * value;
  }
  double output_sq_norm = 0;
  for (int64_t o = lane; o < outputs; o += warp_size) {
    const double value = widened(y[o * grad_output.channel_stride]);
    output_sq_norm += value * value;
  }
  const double sq_norm = warp_sum(input_sq_norm) * warp_sum(output_sq_norm);
  if (lane == 0) result.sq_norm[sample] = static_cast<T>(sq_norm);

  for (int64_t k = 0; k < references; ++k) {
    const T* row = projected + (sample * references + k) * outputs;
    double dot = 0;
    for (int64_t o = lane; o < outputs; o += warp_size) {
      dot += static_cast<double>(widened(y[o * grad_output.channel_stride])) * static_cast<double>(row[o]);
    }
    dot = warp_sum(dot);
    if (lane == 0) result.dot[sample * references + k] = static_cast<T>(dot);
  }
}

// The projections are one matrix product, which the vendor's library does best.
Tensor project(const Tensor& input, const Tensor& references) {
  const Tensor x = torch::stable::select(torch::stable::to(input, references.scalar_type()), 1, 0);
  const Tensor rows = torch::stable::view(references, {references.size(0) * references.size(1), references.size(2)});
  return torch::stable::contiguous(torch::stable::matmul(x, torch::stable::transpose(rows, 0, 1)));
}

template <class Source>
void align_one_position(const Geometry& geometry, const Tensor& input, const Tensor& grad_output,
                        const Tensor& references, AlignmentTensors& outputs) {
  using T = Computed<Source>;
  const Launcher launcher(references);
  const Tensor projected = project(input, references);
  launcher.run(align_vectors_kernel<Source>, ceil_div(input.size(0), warps_per_block), view_of_positions<Source>(input),
               view_of_positions<Source>(grad_output), static_cast<const T*>(projected.data_ptr()),
               geometry.outer_channels, geometry.inner_channels, references.size(0), input.size(0),
               AlignmentOutput<T>{data_of<T>(outputs.dot), data_of<T>(outputs.sq_norm)});
}

std::tuple<Tensor, Tensor> linear_grad_alignment(const Tensor& input, const Tensor& grad_output,
                                                 const Tensor& references) {
  check_alike(grad_output, input, "grad_output");
  check_references(references, input);
  const Geometry geometry = make_linear_geometry(input, grad_output, references);
  const Tensor weights = torch::stable::contiguous(references);
  AlignmentTensors outputs(input, references);
  dispatch_element(input, [&](auto zero) {
    using Source = decltype(zero);
    if (input.size(1) == 1) {
      align_one_position<Source>(geometry, input, grad_output, weights, outputs);
    } else {
      align_convolution<Source>(geometry, view_of_positions<Source>(grad_output), view_of_positions<Source>(input),
                                weights, input.size(0), outputs);
    }
  });
  return {outputs.dot, outputs.sq_norm};
}

}  // namespace
}  // namespace gradcon::cuda

STABLE_TORCH_LIBRARY_IMPL(gradcon_ext, CUDA, library) {
  library.impl("linear_grad_alignment", TORCH_BOX(&gradcon::cuda::linear_grad_alignment));
}
