#include "cpu/chain_scorer.hpp"

#include <algorithm>
#include <utility>

namespace gradcon::cpu {

template <class T>
ChainScorer<T>::ChainScorer(const Chain& chain, const std::vector<ArrayView<T>>& parameters,
                            const std::vector<ArrayView<T>>& references, int64_t samples, const Threads& threads)
    : chain_(in_pairs<T>(chain, samples)),
      packing_(kernels().of<T>().packed_channels, kernels().of<T>().pair_channels, chain.layers.size()),
      weights_(packing_.packed_layers(chain_, parameters, references, chain.first_constrained, threads)) {}

template <class T>
typename ChainScorer<T>::Way ChainScorer<T>::best_way(int64_t batch) const {
  Way best = {};
  const std::vector<const TypedKernels<T>*> widths = kernels_of_all_widths<T>();
  const int64_t most = can_be_cut(chain_) ? widths[0]->samples : 1;
  for (int64_t strips = 1; strips <= most; strips *= 2) {
    ChainInStrips in_strips = cut(chain_, strips, chain_.first_constrained);
    const double products = products_of_a_lane(in_strips);
    Layout layout = make_scoring_layout(in_strips.chain);
    PackedChain<T> packed = {std::move(in_strips.chain), std::move(layout), {}, std::move(in_strips.strips)};
    const int64_t bytes_of_a_lane = packed.numbers_of_a_lane() * static_cast<int64_t>(sizeof(T));
    bool better = false;
    for (const TypedKernels<T>* some : widths) {
      if (strips > some->samples) continue;
      const Blocks blocks = blocks_of(*some, strips, batch, some->samples * bytes_of_a_lane, products);
      better |= best.choice.offer(*some, blocks);
    }
    if (better) best.chain = std::move(packed);
  }
  best.chain.weights = weights_;
  return best;
}

template <class T>
void ChainScorer<T>::score(const ImagesView<T>& images, int64_t batch, const ScoreOutputs<T>& outputs,
                           const Threads& threads) const {
  const Way way = best_way(batch);
  const ScoreProblem<T> problem = {way.chain, images, outputs};
  const Blocks& blocks = way.choice.blocks;
  for_each_block(threads, blocks, [&](int64_t block, std::byte* workspace, const ParallelFor& parallel_for) {
    const int64_t first = block * blocks.samples;
    way.choice.kernels->score_chain(problem, first, std::min(blocks.samples, batch - first),
                                    reinterpret_cast<T*>(workspace), parallel_for);
  });
}

template class ChainScorer<float>;
template class ChainScorer<double>;

}  // namespace gradcon::cpu
