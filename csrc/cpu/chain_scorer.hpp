// Scores batches with a chain: weights packed once, blocks of samples over threads. Knows nothing of torch.
#pragma once

#include <cstdint>
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
  // About how many samples it is for: weights are packed for more or less work on each.
  ChainScorer(const Chain& chain, const std::vector<ArrayView<T>>& parameters,
              const std::vector<ArrayView<T>>& references, int64_t samples, const Threads& threads);

  void score(const ImagesView<T>& images, int64_t batch, const ScoreOutputs<T>& outputs, const Threads& threads) const;

 private:
  // How a batch fills the lanes.
  struct Way {
    BlockChoice<T> choice;
    PackedChain<T> chain;
  };

  // Whatever the threads, so that these do not change a bit.
  Way best_way(int64_t batch) const;

  Chain chain_;
  Packing<T> packing_;
  std::vector<LayerWeights<T>> weights_;
};

}  // namespace gradcon::cpu
