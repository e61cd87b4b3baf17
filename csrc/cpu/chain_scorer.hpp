// Scores batches with a chain: weights packed once, blocks of samples over threads. Knows nothing of torch.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "core/chain.hpp"
#include "core/packed_chain.hpp"
#include "cpu/blocks.hpp"
#include "cpu/kernels.hpp"
#include "cpu/packing.hpp"
#include "cpu/threads.hpp"

namespace gradcon::cpu {

// Points at the parameters and references, which have to outlive it where they are not packed: biases and references.
template <class T>
class ChainScorer {
 public:
  // `batch` is about the number of samples to be scored at a time, for which the widest lanes need not be the best.
  ChainScorer(const Chain& chain, const std::vector<ArrayView<T>>& parameters,
              const std::vector<ArrayView<T>>& references, int64_t batch, const Threads& threads);

  void score(const ImagesView<T>& images, int64_t batch, const ScoreOutputs<T>& outputs, const Threads& threads) const;

 private:
  // Cut into as many strips as suit a batch, whatever the threads, so that these do not change a bit.
  std::pair<PackedChain<T>, Blocks> packed_for(int64_t batch) const;

  const TypedKernels<T>& kernels_;
  Chain chain_;
  Packing<T> packing_;
  std::vector<LayerWeights<T>> weights_;
};

}  // namespace gradcon::cpu
