#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>

#include "cpu/alignment.hpp"
#include "torch/checks.hpp"
#include "torch/cpu/alignment.hpp"
#include "torch/cpu/threads.hpp"
#include "torch/dispatch.hpp"
#include "torch/geometry.hpp"
#include "torch/views.hpp"

namespace gradcon::cpu {
namespace {

Tensor conv_grad_l1_norm(const Tensor& input, const Tensor& grad_output, const Integers& kernel, const Integers& stride,
                         const Integers& padding, const Integers& dilation, int64_t groups, bool transposed) {
  check_alike(grad_output, input, "grad_output");
  const Geometry geometry = make_geometry(input, grad_output, kernel, stride, padding, dilation, groups, transposed);
  const Tensor x = in_computed_type(input);
  const Tensor y = in_computed_type(grad_output);
  Tensor norms = torch::stable::new_empty(x, {input.size(0)});
  dispatch_floating(x, [&](auto zero) {
    using T = decltype(zero);
    l1_norms_of_convolution<T>(geometry, view_of_images<T>(transposed ? x : y), view_of_images<T>(transposed ? y : x),
                               norms.mutable_data_ptr<T>(), input.size(0), torch_threads());
  });
  return norms;
}

}  // namespace
}  // namespace gradcon::cpu

STABLE_TORCH_LIBRARY_IMPL(gradcon_ext, CPU, library) {
  library.impl("conv_grad_l1_norm", TORCH_BOX(&gradcon::cpu::conv_grad_l1_norm));
}
