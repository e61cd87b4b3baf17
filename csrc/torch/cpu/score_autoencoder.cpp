#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>

#include <tuple>
#include <vector>

#include "cpu/chain_scorer.hpp"
#include "torch/checks.hpp"
#include "torch/cpu/threads.hpp"
#include "torch/dispatch.hpp"
#include "torch/outputs.hpp"
#include "torch/views.hpp"

namespace gradcon::cpu {
namespace {

std::tuple<Tensor, Tensor, Tensor, Tensor> score_autoencoder(
    const Tensor& images, const std::vector<Tensor>& parameters, const std::vector<Tensor>& references,
    const Integers& program, const std::vector<double>& constants, int64_t loss, bool with_code) {
  check_chain_tensors(images, parameters, references);
  const Chain chain =
      read_chain(extents_of(images), program, constants, loss, shapes_of(parameters), shapes_of(references));
  const std::vector<Tensor> weights = contiguous(parameters);
  const std::vector<Tensor> means = contiguous(references);
  ScoreTensors outputs(images, references, with_code ? size_of_code(chain) : 0);
  dispatch_floating(references[0], [&](auto zero) {
    using T = decltype(zero);
    const int64_t batch = images.size(0);
    const Threads threads = torch_threads();
    const ChainScorer<T> scorer(chain, views_of<T>(weights), views_of<T>(means), batch);
    scorer.score(view_of_pixels<T>(images), batch, outputs.pointers<T>(), threads);
  });
  return {outputs.reconstruction, outputs.latent, outputs.cosine, outputs.code};
}

}  // namespace
}  // namespace gradcon::cpu

STABLE_TORCH_LIBRARY_IMPL(gradcon_ext, CPU, library) {
  library.impl("score_autoencoder", TORCH_BOX(&gradcon::cpu::score_autoencoder));
}
