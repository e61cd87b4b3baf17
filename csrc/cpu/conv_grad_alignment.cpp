#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>

#include <tuple>

#include "cpu/blocks.hpp"
#include "cpu/kernels.hpp"
#include "problems.hpp"

namespace gradcon::cpu {
namespace {

std::tuple<Tensor, Tensor> conv_grad_alignment(const Tensor& input, const Tensor& grad_output, const Tensor& reference,
                                               const Integers& stride, const Integers& padding,
                                               const Integers& dilation, int64_t groups, bool transposed) {
  check_alike(grad_output, input, "grad_output");
  check_alike(reference, input, "reference");
  const Geometry geometry = make_geometry(input, grad_output, reference, stride, padding, dilation, groups, transposed);
  const Tensor weights = torch::stable::contiguous(reference);
  const int64_t batch = input.size(0);
  Tensor dot = torch::stable::new_empty(input, {batch});
  Tensor sq_norm = torch::stable::new_empty(input, {batch});
  dispatch_floating(input, [&](auto zero) {
    using T = decltype(zero);
    const ConvProblem<T> problem = {
        geometry,
        view_of<T>(transposed ? input : grad_output),
        view_of<T>(transposed ? grad_output : input),
        weights.const_data_ptr<T>(),
        dot.mutable_data_ptr<T>(),
        sq_norm.mutable_data_ptr<T>(),
    };
    const TypedKernels<T>& kernel = kernels().of<T>();
    const int64_t scratch = geometry.inner_size() + geometry.outer_size();
    const int64_t work = geometry.weights() * geometry.inner_positions();
    for_each_block<T>(batch, kernel.samples, scratch, work, [&](int64_t first, int64_t count, T* lanes) {
      kernel.conv_alignment(problem, first, count, lanes);
    });
  });
  return {dot, sq_norm};
}

}  // namespace
}  // namespace gradcon::cpu

STABLE_TORCH_LIBRARY_IMPL(gradcon_ext, CPU, library) {
  library.impl("conv_grad_alignment", TORCH_BOX(&gradcon::cpu::conv_grad_alignment));
}
