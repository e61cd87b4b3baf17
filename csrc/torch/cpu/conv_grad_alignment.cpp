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

std::tuple<Tensor, Tensor> conv_grad_alignment(const Tensor& input, const Tensor& grad_output, const Tensor& references,
                                               const Integers& stride, const Integers& padding,
                                               const Integers& dilation, int64_t groups, bool transposed) {
  check_alike(grad_output, input, "grad_output");
  check_references(references, input);
  const Geometry geometry =
      make_geometry(input, grad_output, references, stride, padding, dilation, groups, transposed);
  const Tensor x = in_computed_type(input);
  const Tensor y = in_computed_type(grad_output);
  const Tensor weights = torch::stable::contiguous(references);
  AlignmentTensors outputs(input, references);
  dispatch_floating(x, [&](auto zero) {
    using T = decltype(zero);
    align_convolution<T>(geometry, view_of_images<T>(transposed ? x : y), view_of_images<T>(transposed ? y : x),
                         task_of<T>(weights, outputs), input.size(0), torch_threads());
  });
  return {outputs.dot, outputs.sq_norm};
}

}  // namespace
}  // namespace gradcon::cpu

STABLE_TORCH_LIBRARY_IMPL(gradcon_ext, CPU, library) {
  library.impl("conv_grad_alignment", TORCH_BOX(&gradcon::cpu::conv_grad_alignment));
}
