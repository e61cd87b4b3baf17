#include "cpu/chain_scorer.hpp"

#include <algorithm>
#include <utility>

#include "core/channel_lanes.hpp"
#include "cpu/channel_cost.hpp"

namespace gradcon::cpu {
template <class T>
ChainScorer<T>::ChainScorer(const Chain& chain, std::vector<ArrayView<T>> parameters,
                            std::vector<ArrayView<T>> references, int64_t samples)
    : chain_(in_pairs<T>(chain, samples)),
      parameters_(std::move(parameters)),
      references_(std::move(references)),
      by_samples_({kernels().of<T>().packed_channels, kernels().of<T>().pair_channels, chain.layers.size()}),
      by_channels_({kernels().of<T>().packed_channels, kernels().of<T>().pair_channels, chain.layers.size(),
                    kernels().of<T>().samples}) {}

template <class T>
const std::vector<LayerWeights<T>>& ChainScorer<T>::Weights::packed(const ChainScorer& scorer, const Threads& threads) {
  std::call_once(once_, [&] {
    layers_ = packing_.packed_layers(scorer.chain_, scorer.parameters_, scorer.references_,
                                     scorer.chain_.first_constrained, threads);
  });
  return layers_;
}

template <class T>
void ChainScorer<T>::offer(ChainInStrips in_strips, int64_t lanes_of_a_sample, double products,
                           const std::vector<const TypedKernels<T>*>& widths, int64_t batch, Way& best) {
  Layout layout = make_scoring_layout(in_strips.chain);
  PackedChain<T> packed = {std::move(in_strips.chain), std::move(layout), {}, std::move(in_strips.strips)};
  const int64_t bytes_of_a_lane = packed.numbers_of_a_lane() * static_cast<int64_t>(sizeof(T));
  bool better = false;
  for (const TypedKernels<T>* some : widths) {
    if (lanes_of_a_sample > some->samples) continue;
    const Blocks blocks = blocks_of(*some, lanes_of_a_sample, batch, some->samples * bytes_of_a_lane, products);
    better |= best.choice.offer(*some, blocks);
  }
  if (better) best.chain = std::move(packed);
}

template <class T>
typename ChainScorer<T>::Way ChainScorer<T>::best_way(int64_t batch) const {
  Way best = {};
  const std::vector<const TypedKernels<T>*> widths = kernels_of_all_widths<T>();
  const int64_t widest = widths[0]->samples;
  const int64_t most = can_be_cut(chain_) ? widest : 1;
  for (int64_t strips = 1; strips <= most; strips *= 2) {
    ChainInStrips in_strips = cut(chain_, strips, chain_.first_constrained);
    const double products = products_of_a_lane(in_strips);
    offer(std::move(in_strips), strips, products, widths, batch, best);
  }
  if (can_be_in_channels(chain_)) {
    ChainInStrips channels = in_channels(chain_, widest, chain_.first_constrained);
    const double products = products_of_channels(channels, batch);
    offer(std::move(channels), widest, products, {widths[0]}, batch, best);
  }
  return best;
}

template <class T>
void ChainScorer<T>::score(const ImagesView<T>& images, int64_t batch, const ScoreOutputs<T>& outputs,
                           const Threads& threads) const {
  Way way = best_way(batch);
  const bool in_channels = way.chain.strips.is_of_channels();
  way.chain.weights = (in_channels ? by_channels_ : by_samples_).packed(*this, threads);
  const ScoreProblem<T> problem = {way.chain, images, outputs};
  const Blocks& blocks = way.choice.blocks;
  for_each_block(threads, blocks, [&](int64_t block, std::byte* workspace, const ParallelFor& parallel_for) {
    const int64_t first = block * blocks.samples;
    T* numbers = reinterpret_cast<T*>(workspace);
    if (in_channels) return way.choice.kernels->in_channels.score_chain(problem, first, numbers, parallel_for);
    way.choice.kernels->score_chain(problem, first, std::min(blocks.samples, batch - first), numbers, parallel_for);
  });
}

template class ChainScorer<float>;
template class ChainScorer<double>;

}  // namespace gradcon::cpu
