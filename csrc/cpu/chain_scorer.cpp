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
  const int64_t most = can_be_cut(chain_) ? kernels().of<T>().samples : 1;
  for (int64_t strips = 1; strips <= most; strips *= 2) {
    ChainInStrips in_strips = cut(chain_, strips, chain_.first_constrained);
    const double products = products_of_a_lane(in_strips);
    Layout layout = make_scoring_layout(in_strips.chain);
    const PackedChain<T> packed = {std::move(in_strips.chain), std::move(layout), weights_,
                                   std::move(in_strips.strips)};
    for (const TypedKernels<T>* some : kernels_of_all_widths<T>()) {
      if (strips > some->samples) continue;
      const int64_t bytes = some->samples * packed.numbers_of_a_lane() * static_cast<int64_t>(sizeof(T));
      const Blocks blocks = blocks_of(*some, strips, batch, bytes, products);
      if (blocks.cost < best.blocks.cost) best = {some, packed, blocks};
    }
  }
  return best;
}

template <class T>
void ChainScorer<T>::score(const ImagesView<T>& images, int64_t batch, const ScoreOutputs<T>& outputs,
                           const Threads& threads) const {
  const Way way = best_way(batch);
  const ScoreProblem<T> problem = {way.chain, images, outputs};
  for_each_block(threads, way.blocks, [&](int64_t block, std::byte* workspace, const ParallelFor& parallel_for) {
    const int64_t first = block * way.blocks.samples;
    way.kernels->score_chain(problem, first, std::min(way.blocks.samples, batch - first),
                             reinterpret_cast<T*>(workspace), parallel_for);
  });
}

template class ChainScorer<float>;
template class ChainScorer<double>;

}  // namespace gradcon::cpu
