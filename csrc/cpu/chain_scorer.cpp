#include "cpu/chain_scorer.hpp"

#include <algorithm>
#include <utility>

namespace gradcon::cpu {
template <class T>
ChainScorer<T>::ChainScorer(const Chain& chain, const std::vector<ArrayView<T>>& parameters,
                            const std::vector<ArrayView<T>>& references, int64_t batch, const Threads& threads)
    : kernels_(kernels_for<T>(batch)),
      chain_(chain),
      packing_(kernels_.packed_channels, chain.layers.size()),
      weights_(packing_.packed_layers(chain, parameters, references, chain.first_constrained, threads)) {}

template <class T>
std::pair<PackedChain<T>, Blocks> ChainScorer<T>::packed_for(int64_t batch) const {
  std::pair<PackedChain<T>, Blocks> best;
  const int64_t most = can_be_cut(chain_) ? kernels_.samples : 1;
  for (int64_t count = 1; count <= most; count *= 2) {
    ChainInStrips in_strips = cut(chain_, count, chain_.first_constrained);
    const double products = products_of_a_lane(in_strips);
    Layout layout = make_scoring_layout(in_strips.chain);
    PackedChain<T> packed = {std::move(in_strips.chain), std::move(layout), weights_, std::move(in_strips.strips)};
    const int64_t bytes = kernels_.samples * packed.numbers_of_a_lane() * static_cast<int64_t>(sizeof(T));
    const Blocks blocks = blocks_of(batch, kernels_.samples / count, bytes, products);
    if (count == 1 || blocks.cost() < best.second.cost()) best = {std::move(packed), blocks};
  }
  return best;
}

template <class T>
void ChainScorer<T>::score(const ImagesView<T>& images, int64_t batch, const ScoreOutputs<T>& outputs,
                           const Threads& threads) const {
  const auto [chain, blocks] = packed_for(batch);
  const ScoreProblem<T> problem = {chain, images, outputs};
  const int64_t samples = blocks.samples;
  for_each_block(threads, blocks, [&](int64_t block, std::byte* workspace, const ParallelFor& parallel_for) {
    const int64_t first = block * samples;
    kernels_.score_chain(problem, first, std::min(samples, batch - first), reinterpret_cast<T*>(workspace),
                         parallel_for);
  });
}

template class ChainScorer<float>;
template class ChainScorer<double>;

}  // namespace gradcon::cpu
