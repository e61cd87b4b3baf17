#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>

#include <string>
#include <tuple>
#include <vector>

#include "cuda/chain_scorer.cuh"
#include "cuda/launch.cuh"
#include "problems.hpp"

namespace gradcon::cuda {
namespace {

std::tuple<Tensor, Tensor, Tensor> score_autoencoder(const Tensor& images, const std::vector<Tensor>& parameters,
                                                     const std::vector<Tensor>& references, const Integers& program,
                                                     const std::vector<double>& constants, const std::string& loss) {
  check_chain_tensors(images, parameters, references);
  const Chain chain =
      read_chain(extents_of(images), program, constants, loss, shapes_of(parameters), shapes_of(references));
  const Launcher launcher(images);
  ScoreTensors outputs(images, references);
  dispatch_floating(references[0], [&](auto zero) {
    using T = decltype(zero);
    ChainScorer<T>(launcher, chain, contiguous(parameters), contiguous(references)).score(images, outputs);
  });
  return {outputs.reconstruction, outputs.latent, outputs.cosine};
}

}  // namespace
}  // namespace gradcon::cuda

STABLE_TORCH_LIBRARY_IMPL(gradcon_ext, CUDA, library) {
  library.impl("score_autoencoder", TORCH_BOX(&gradcon::cuda::score_autoencoder));
}
