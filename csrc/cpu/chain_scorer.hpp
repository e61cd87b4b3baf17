// Scores batches with a chain: weights packed once, blocks of samples over threads. Knows nothing of torch.
#pragma once

#include <cstdint>
#include <mutex>
#include <utility>
#include <vector>

#include "core/chain.hpp"
#include "core/packed_chain.hpp"
#include "core/strips.hpp"
#include "cpu/blocks.hpp"
#include "cpu/kernels.hpp"
#include "cpu/packing.hpp"
#include "cpu/threads.hpp"

namespace gradcon::cpu {

// Points at the parameters and references, which have to outlive it and keep their numbers.
template <class T>
class ChainScorer {
 public:
  // About how many samples it is for: weights are packed for more or less work on each.
  ChainScorer(const Chain& chain, std::vector<ArrayView<T>> parameters, std::vector<ArrayView<T>> references,
              int64_t samples);

  void score(const ImagesView<T>& images, int64_t batch, const ScoreOutputs<T>& outputs, const Threads& threads) const;

 private:
  // How a batch fills the lanes.
  struct Way {
    BlockChoice<T> choice;
    PackedChain<T> chain;
  };

  // Weights in one order, in which they are packed when they are first needed.
  class Weights {
   public:
    explicit Weights(Packing<T> packing) : packing_(std::move(packing)) {}
    const std::vector<LayerWeights<T>>& packed(const ChainScorer& scorer, const Threads& threads);

   private:
    Packing<T> packing_;
    std::once_flag once_;
    std::vector<LayerWeights<T>> layers_;
  };

  // Whatever the threads, so that these do not change a bit.
  Way best_way(int64_t batch) const;
  static void offer(ChainInStrips in_strips, int64_t lanes_of_a_sample, double products,
                    const std::vector<const TypedKernels<T>*>& widths, int64_t batch, Way& best);

  Chain chain_;
  std::vector<ArrayView<T>> parameters_;
  std::vector<ArrayView<T>> references_;
  mutable Weights by_samples_;
  mutable Weights by_channels_;
};

}  // namespace gradcon::cpu
