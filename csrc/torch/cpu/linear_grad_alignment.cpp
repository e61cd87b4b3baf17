#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>

#include <tuple>

#include "cpu/alignment.hpp"
#include "torch/checks.hpp"
#include "torch/cpu/alignment.hpp"
#include "torch/cpu/threads.hpp"
#include "torch/dispatch.hpp"
#include "torch/geometry.hpp"
#include "torch/outputs.hpp"
#include "torch/views.hpp"

namespace gradcon::cpu {
namespace {

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
    const BatchView<T> inner = view_of_positions<T>(y);
    const BatchView<T> outer = view_of_positions<T>(x);
    const AlignmentTask<T> task = task_of<T>(weights, outputs);
    const int64_t batch = input.size(0);
    if (input.size(1) == 1) {
      align_linear<T>({geometry.outer_channels, geometry.inner_channels, outer, inner, task}, batch, torch_threads());
    } else {
      // The contraction over several positions is that of a 1x1 convolution.
      align_convolution<T>(geometry, inner, outer, task, batch, torch_threads());
    }
  });
  return {outputs.dot, outputs.sq_norm};
}

}  // namespace
}  // namespace gradcon::cpu

STABLE_TORCH_LIBRARY_IMPL(gradcon_ext, CPU, library) {
  library.impl("linear_grad_alignment", TORCH_BOX(&gradcon::cpu::linear_grad_alignment));
}
