#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>

#include <tuple>

#include "cpu/blocks.hpp"
#include "cpu/kernels.hpp"
#include "problems.hpp"

namespace gradcon::cpu {
namespace {

// (N, positions, channels) as a batch of one-row images (N, channels, 1, positions).
template <class T>
BatchView<T> view_of_positions(const Tensor& batch) {
  return {batch.const_data_ptr<T>(), batch.stride(0), batch.stride(2), 0, batch.stride(1)};
}

// Several positions: the contraction over them is that of a 1x1 convolution.
template <class T>
void align_positions(const Tensor& input, const Tensor& grad_output, const T* reference, T* dot, T* sq_norm) {
  Geometry geometry;
  geometry.inner_channels = grad_output.size(2);
  geometry.outer_channels = input.size(2);
  geometry.width.inner = geometry.width.outer = input.size(1);
  const ConvProblem<T> problem = {
      geometry, view_of_positions<T>(grad_output), view_of_positions<T>(input), reference, dot, sq_norm};
  const TypedKernels<T>& kernel = kernels().of<T>();
  const int64_t scratch = geometry.inner_size() + geometry.outer_size();
  const int64_t work = geometry.weights() * geometry.inner_positions();
  for_each_block<T>(input.size(0), kernel.samples, scratch, work, [&](int64_t first, int64_t count, T* lanes) {
    kernel.conv_alignment(problem, first, count, lanes);
  });
}

template <class T>
void align_one_position(const Tensor& input, const Tensor& grad_output, const T* reference, T* dot, T* sq_norm) {
  const int64_t inputs = input.size(2);
  const int64_t outputs = grad_output.size(2);
  const LinearProblem<T> problem = {
      inputs, outputs, view_of_positions<T>(input), view_of_positions<T>(grad_output), reference, dot, sq_norm};
  const TypedKernels<T>& kernel = kernels().of<T>();
  for_each_block<T>(
      input.size(0), kernel.samples, inputs + outputs, inputs * outputs,
      [&](int64_t first, int64_t count, T* lanes) { kernel.linear_alignment(problem, first, count, lanes); });
}

// input (N, positions, I), grad_output (N, positions, O), reference (O, I).
std::tuple<Tensor, Tensor> linear_grad_alignment(const Tensor& input, const Tensor& grad_output,
                                                 const Tensor& reference) {
  check_alike(grad_output, input, "grad_output");
  check_alike(reference, input, "reference");
  STD_TORCH_CHECK(input.dim() == 3 && grad_output.dim() == 3 && reference.dim() == 2,
                  "expected (N, T, I), (N, T, O), (O, I)");
  STD_TORCH_CHECK(input.size(0) == grad_output.size(0) && input.size(1) == grad_output.size(1),
                  "samples or positions differ");
  STD_TORCH_CHECK(reference.size(0) == grad_output.size(2) && reference.size(1) == input.size(2),
                  "reference does not fit");
  const Tensor weights = torch::stable::contiguous(reference);
  const int64_t batch = input.size(0);
  Tensor dot = torch::stable::new_empty(input, {batch});
  Tensor sq_norm = torch::stable::new_empty(input, {batch});
  dispatch_floating(input, [&](auto zero) {
    using T = decltype(zero);
    const auto align = input.size(1) == 1 ? align_one_position<T> : align_positions<T>;
    align(input, grad_output, weights.const_data_ptr<T>(), dot.mutable_data_ptr<T>(), sq_norm.mutable_data_ptr<T>());
  });
  return {dot, sq_norm};
}

}  // namespace
}  // namespace gradcon::cpu

STABLE_TORCH_LIBRARY_IMPL(gradcon_ext, CPU, library) {
  library.impl("linear_grad_alignment", TORCH_BOX(&gradcon::cpu::linear_grad_alignment));
}
