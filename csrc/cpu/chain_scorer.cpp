#include "cpu/chain_scorer.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "cpu/scratch.hpp"

namespace gradcon::cpu {
namespace {

// What a block should not take more of: the part of the outer caches that a thread has on most processors.
constexpr double cache_bytes = 5 << 20;

// Where blocks take more than this together, the threads share one at a time.
constexpr int64_t most_bytes_at_once = 192 << 20;

// About what a batch costs, in multiply-adds of a lane. Beyond the caches, each doubling of a block's memory slows it
// down; and a single block is shared less evenly among threads than several.
double cost_of(const ChainInStrips& cut, const Layout& layout, int64_t batch, int64_t lanes, size_t bytes_of_a_number) {
  const int64_t samples = lanes / cut.strips.count;
  const int64_t blocks = (batch + samples - 1) / samples;
  const auto bytes =
      static_cast<double>((layout.size + cut.strips.largest_sources) * lanes) * static_cast<double>(bytes_of_a_number);
  const double doublings = std::max(0.0, std::log2(bytes / cache_bytes));
  return (static_cast<double>(blocks) + 0.15) * products_of_a_lane(cut) * (1 + 0.1 * doublings);
}

}  // namespace

template <class T>
ChainScorer<T>::ChainScorer(const Chain& chain, const std::vector<ArrayView<T>>& parameters,
                            const std::vector<ArrayView<T>>& references, int64_t batch, const Threads& threads)
    : kernels_(kernels_for<T>(batch)),
      chain_(chain),
      packing_(kernels_.packed_channels, chain.layers.size()),
      weights_(packing_.packed_layers(chain, parameters, references, chain.first_constrained, threads)) {}

template <class T>
PackedChain<T> ChainScorer<T>::packed_for(int64_t batch) const {
  PackedChain<T> best;
  double least = 0;
  const int64_t most = can_be_cut(chain_) ? kernels_.samples : 1;
  for (int64_t count = 1; count <= most; count *= 2) {
    ChainInStrips in_strips = cut(chain_, count, chain_.first_constrained);
    Layout layout = make_scoring_layout(in_strips.chain);
    const double cost = cost_of(in_strips, layout, batch, kernels_.samples, sizeof(T));
    if (count > 1 && cost >= least) continue;
    least = cost;
    best = {std::move(in_strips.chain), std::move(layout), weights_, std::move(in_strips.strips)};
  }
  return best;
}

template <class T>
void ChainScorer<T>::score(const ImagesView<T>& images, int64_t batch, const ScoreOutputs<T>& outputs,
                           const Threads& threads) const {
  const PackedChain<T> chain = packed_for(batch);
  const ScoreProblem<T> problem = {chain, images, outputs};
  const int64_t samples = kernels_.samples / chain.strips.count;
  const int64_t blocks = (batch + samples - 1) / samples;
  const auto score_block = [&](int64_t block, T* workspace, const ParallelFor& parallel_for) {
    const int64_t first = block * samples;
    kernels_.score_chain(problem, first, std::min<int64_t>(samples, batch - first), workspace, parallel_for);
  };
  const int64_t numbers = kernels_.samples * chain.numbers_of_a_lane();
  const int64_t at_once = most_bytes_at_once / (numbers * static_cast<int64_t>(sizeof(T)));
  if (std::min(blocks, at_once) < threads.count) {
    const Scratch<T> workspace(numbers);
    for (int64_t block = 0; block < blocks; ++block) score_block(block, workspace.data(), threads.parallel_for);
    return;
  }
  share(threads, blocks, [&](const auto& next) {
    const Scratch<T> workspace(numbers);
    for (int64_t block = next(); block < blocks; block = next()) score_block(block, workspace.data(), ParallelFor{});
  });
}

template class ChainScorer<float>;
template class ChainScorer<double>;

}  // namespace gradcon::cpu
