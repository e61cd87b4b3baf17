#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>

#include <tuple>

#include "torch/checks.hpp"
#include "torch/cpu/alignment.hpp"
#include "torch/dispatch.hpp"
#include "torch/geometry.hpp"
#include "torch/outputs.hpp"
#include "torch/views.hpp"

namespace gradcon::cpu {
namespace {

template <class T>
void align_one_position(const Geometry& geometry, const BatchView<T>& grad_output, const BatchView<T>& input,
                        const AlignmentTask<T>& task, int64_t batch) {
  const LinearProblem<T> problem = {geometry.outer_channels, geometry.inner_channels, input, grad_output, task};
  const TypedKernels<T>& kernel = kernels().of<T>();
  const Blocks blocks = {batch, kernel.samples, problem.inputs + problem.outputs, task.count * kernel.bytes_of_a_dot,
                         static_cast<double>(geometry.weights()) * static_cast<double>(task.count)};
  for_each_block<T>(blocks, [&](int64_t first, int64_t count, const Workspace<T>& workspace) {
    kernel.linear_alignment(problem, first, count, workspace);
  });
}

std::tuple<Tensor, Tensor> linear_grad_alignment(const Tensor& input, const Tensor& grad_output,
                                                 const Tensor& references) {
  check_alike(grad_output, input, "grad_output");
  check_references(references, input);
  const Geometry geometry = make_linear_geometry(input, grad_output, references);
  const Tensor x = in_computed_type(input);
  const Tensor y = in_computed_type(grad_output);
  const Tensor weights = torch::stable::contiguous(references);
  AlignmentTensors outputs(input, references);
  dispatch_floating(x, [&](auto zero) {
    using T = decltype(zero);
    // Several positions: the contraction over them is that of a 1x1 convolution.
    const auto align = input.size(1) == 1 ? align_one_position<T> : align_convolution<T>;
    align(geometry, view_of_positions<T>(y), view_of_positions<T>(x), task_of<T>(weights, outputs), input.size(0));
  });
  return {outputs.dot, outputs.sq_norm};
}

}  // namespace
}  // namespace gradcon::cpu

STABLE_TORCH_LIBRARY_IMPL(gradcon_ext, CPU, library) {
  library.impl("linear_grad_alignment", TORCH_BOX(&gradcon::cpu::linear_grad_alignment));
}
