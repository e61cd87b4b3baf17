#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>

#include <optional>
#include <tuple>
#include <vector>

#include "core/require.hpp"
#include "cpu/objective_gradient.hpp"
#include "torch/checks.hpp"
#include "torch/cpu/threads.hpp"
#include "torch/dispatch.hpp"
#include "torch/views.hpp"

namespace gradcon::cpu {
namespace {

int64_t numel_of(const std::vector<Tensor>& tensors) {
  int64_t total = 0;
  for (const Tensor& tensor : tensors) total += tensor.numel();
  return total;
}

// Where each tensor of a list begins in the flat one.
template <class T>
std::vector<T*> parts_of(Tensor& flat, const std::vector<Tensor>& tensors) {
  std::vector<T*> parts;
  T* begin = flat.mutable_data_ptr<T>();
  for (const Tensor& tensor : tensors) {
    parts.push_back(begin);
    begin += tensor.numel();
  }
  return parts;
}

template <class T>
BatchView<T> view_of_noise(const std::optional<Tensor>& noise, const Chain& chain, int64_t batch) {
  require(noise.has_value() == (chain.bottleneck >= 0), "a bottleneck takes noise, and nothing else does");
  if (!noise.has_value()) return {};
  const int64_t code = size_of(chain.layers[static_cast<size_t>(chain.bottleneck)].output);
  require(noise->dim() == 2 && noise->size(0) == batch && noise->size(1) == code, "noise must be (N, code)");
  return {noise->const_data_ptr<T>(), noise->stride(0), noise->stride(1), 0, 0};
}

std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor> objective_gradient(
    const Tensor& images, const std::vector<Tensor>& parameters, const std::vector<Tensor>& references,
    const Integers& program, const std::vector<double>& constants, int64_t loss, const std::optional<Tensor>& noise,
    double alpha) {
  check_chain_tensors(images, parameters, references);
  if (noise.has_value()) check_alike(*noise, references[0], "noise");
  const Chain chain =
      read_chain(extents_of(images), program, constants, loss, shapes_of(parameters), shapes_of(references));
  const int64_t batch = images.size(0);
  require(batch > 0, "expected one or more images");
  const std::vector<Tensor> weights = contiguous(parameters);
  const std::vector<Tensor> means = contiguous(references);
  const Tensor& like = references[0];
  Tensor reconstruction = torch::stable::new_empty(like, {batch});
  Tensor latent = torch::stable::new_empty(like, {batch});
  Tensor cosine = torch::stable::new_zeros(like, {static_cast<int64_t>(references.size())});
  // A parameter that no layer uses has no gradient.
  Tensor gradient = torch::stable::new_zeros(like, {numel_of(parameters)});
  Tensor primal = torch::stable::new_zeros(like, {numel_of(references)});
  dispatch_floating(like, [&](auto zero) {
    using T = decltype(zero);
    ObjectiveGradient<T> objective(chain, views_of<T>(weights), views_of<T>(means), batch, torch_threads());
    const ObjectiveOutputs<T> outputs = {
        reconstruction.mutable_data_ptr<T>(), latent.mutable_data_ptr<T>(),    cosine.mutable_data_ptr<T>(),
        parts_of<T>(gradient, parameters),    parts_of<T>(primal, references),
    };
    objective.run(view_of_pixels<T>(images), view_of_noise<T>(noise, chain, batch), alpha, outputs);
  });
  return {reconstruction, latent, cosine, gradient, primal};
}

}  // namespace
}  // namespace gradcon::cpu

STABLE_TORCH_LIBRARY_IMPL(gradcon_ext, CPU, library) {
  library.impl("objective_gradient", TORCH_BOX(&gradcon::cpu::objective_gradient));
}
