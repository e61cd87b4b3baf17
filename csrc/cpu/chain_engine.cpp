#include "cpu/chain_engine.hpp"

#include <algorithm>

#include "cpu/scratch.hpp"

namespace gradcon::cpu {
template <class T>
ChainEngine<T>::ChainEngine(const Chain& chain, const std::vector<ArrayView<T>>& parameters,
                            const std::vector<ArrayView<T>>& references, int64_t batch, const Threads& threads)
    : kernels_(kernels_for<T>(batch)),
      packing_(kernels_.packed_channels, chain.layers.size()),
      chain_{chain, make_scoring_layout(chain), {}} {
  chain_.weights = packing_.packed_layers(chain, parameters, references, chain.first_constrained, threads);
}

template <class T>
void ChainEngine<T>::score(const ImagesView<T>& images, int64_t batch, const ScoreOutputs<T>& outputs,
                           const Threads& threads) const {
  const ScoreProblem<T> problem = {chain_, images, outputs};
  const int64_t blocks = (batch + kernels_.samples - 1) / kernels_.samples;
  const auto score_block = [&](int64_t block, T* workspace, const Splitter& splitter) {
    const int64_t first = block * kernels_.samples;
    kernels_.score_chain(problem, first, std::min<int64_t>(kernels_.samples, batch - first), workspace, splitter);
  };
  const int64_t numbers = kernels_.samples * chain_.layout.size;
  if (blocks < threads.count) {
    const Scratch<T> workspace(numbers);
    for (int64_t block = 0; block < blocks; ++block) score_block(block, workspace.data(), threads.splitter);
    return;
  }
  share(threads, blocks, [&](const auto& next) {
    const Scratch<T> workspace(numbers);
    for (int64_t block = next(); block < blocks; block = next()) score_block(block, workspace.data(), Splitter{});
  });
}

template class ChainEngine<float>;
template class ChainEngine<double>;

}  // namespace gradcon::cpu
