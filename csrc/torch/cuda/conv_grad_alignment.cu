#include <torch/csrc/stable/library.h>

#include <tuple>

#include "cuda/align_batch.cuh"
#include "torch/checks.hpp"
#include "torch/cuda/alignment.cuh"
#include "torch/dispatch.hpp"
#include "torch/geometry.hpp"
#include "torch/outputs.hpp"
#include "torch/views.hpp"

namespace gradcon::cuda {
namespace {

std::tuple<Tensor, Tensor> conv_grad_alignment(const Tensor& input, const Tensor& grad_output, const Tensor& references,
                                               const Integers& stride, const Integers& padding,
                                               const Integers& dilation, int64_t groups, bool transposed) {
  check_alike(grad_output, input, "grad_output");
  check_references(references, input);
  const Geometry geometry =
      make_geometry(input, grad_output, references, stride, padding, dilation, groups, transposed);
  const Tensor weights = torch::stable::contiguous(references);
  AlignmentTensors outputs(input, references);
  dispatch_element(input, [&](auto zero) {
    using Source = decltype(zero);
    using T = Computed<Source>;
    align_batch(TorchLauncher(weights), geometry, view_of_images<Source>(transposed ? input : grad_output),
                view_of_images<Source>(transposed ? grad_output : input), references_of<T>(weights), input.size(0),
                output_of<T>(outputs));
  });
  return {outputs.dot, outputs.sq_norm};
}

}  // namespace
}  // namespace gradcon::cuda

STABLE_TORCH_LIBRARY_IMPL(gradcon_ext, GRADCON_DISPATCH_KEY, library) {
  library.impl("conv_grad_alignment", TORCH_BOX(&gradcon::cuda::conv_grad_alignment));
}
