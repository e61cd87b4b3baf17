#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>

#include <tuple>

#include "cuda/align_batch.cuh"
#include "cuda/align_vectors.cuh"
#include "torch/checks.hpp"
#include "torch/cuda/alignment.cuh"
#include "torch/dispatch.hpp"
#include "torch/geometry.hpp"
#include "torch/outputs.hpp"
#include "torch/views.hpp"

namespace gradcon::cuda {
namespace {

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
  const Tensor projected = project(input, references);
  const VectorPairs<Source> pairs = {view_of_positions<Source>(input), view_of_positions<Source>(grad_output),
                                     geometry.outer_channels, geometry.inner_channels, input.size(0)};
  align_vectors(TorchLauncher(references), pairs, static_cast<const T*>(projected.data_ptr()), references.size(0),
                output_of<T>(outputs));
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
      using T = Computed<Source>;
      align_batch(TorchLauncher(weights), geometry, view_of_positions<Source>(grad_output),
                  view_of_positions<Source>(input), references_of<T>(weights), input.size(0), output_of<T>(outputs));
    }
  });
  return {outputs.dot, outputs.sq_norm};
}

}  // namespace
}  // namespace gradcon::cuda

STABLE_TORCH_LIBRARY_IMPL(gradcon_ext, GRADCON_DISPATCH_KEY, library) {
  library.impl("linear_grad_alignment", TORCH_BOX(&gradcon::cuda::linear_grad_alignment));
}
