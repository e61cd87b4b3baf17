// The complete score of a batch, layer by layer: what core/score_chain.hpp does with a block of samples, with all
// blocks at a time.
#pragma once

#include <cstdint>
#include <vector>

#include "core/batch_view.hpp"
#include "core/chain.hpp"
#include "core/packed_chain.hpp"
#include "cuda/chain_layers.cuh"
#include "cuda/chain_losses.cuh"
#include "cuda/lanes.cuh"
#include "cuda/launch.cuh"

namespace gradcon::cuda {

// Points at the parameters and references, which have to outlive it. For float and double.
template <class T>
class ChainScorer {
 public:
  ChainScorer(const Launcher& launcher, const Chain& chain, const std::vector<ArrayView<T>>& parameters,
              const std::vector<ArrayView<T>>& references);

  void score(const ImagesView<T>& images, int64_t batch, const ScoreOutputs<T>& outputs);

 private:
  // Some samples of the batch, in a workspace of [block of 32 samples][Layout::size][sample].
  struct Chunk {
    T* workspace;
    int64_t first;
    int64_t samples;
    ChainLayers<T> layers;
    ChainLosses<T> losses;

    int64_t blocks() const { return ceil_div(samples, warp_size); }
  };

  void score_chunk(const Chunk& chunk, const ImagesView<T>& images, const ScoreOutputs<T>& outputs);
  void read_images(const Chunk& chunk, const ImagesView<T>& images) const;
  void forward(const Chunk& chunk, int64_t index, const ScoreOutputs<T>& outputs);
  void forward_bottleneck(const Chunk& chunk, int64_t index, const ScoreOutputs<T>& outputs);
  // From the gradient by what a layer returned to that by what it was given.
  void backward(const Chunk& chunk, int64_t index);
  void align(const Chunk& chunk, int64_t index, const ScoreOutputs<T>& outputs);

  struct Operands {
    int64_t weight;
    int64_t bias;  // -1 for none
    bool accumulates = false;
  };
  void contract(const Chunk& chunk, const ChainLayer& layer, Direction direction, const Operands& operands,
                Lanes<T> source, Lanes<T> target);

  int64_t layers() const { return static_cast<int64_t>(chain_.layers.size()); }
  const ChainLayer& layer(int64_t index) const { return chain_.layers[static_cast<size_t>(index)]; }
  const T* parameter(int64_t index) const { return index < 0 ? nullptr : parameters_[static_cast<size_t>(index)].data; }
  Lanes<T> in_lanes(const Chunk& chunk, int64_t offset) const {
    return {chunk.workspace + offset * warp_size, layout_.size * warp_size};
  }
  Lanes<T> value(const Chunk& chunk, int64_t index) const {
    return in_lanes(chunk, layout_.values[static_cast<size_t>(index)]);
  }
  // The gradient by the output of the layer at hand.
  Lanes<T> grad(const Chunk& chunk) const { return in_lanes(chunk, layout_.turns[turn_]); }

  const Launcher& launcher_;
  const Chain& chain_;
  Layout layout_;
  std::vector<ArrayView<T>> parameters_;
  std::vector<ArrayView<T>> references_;
  Array<double> reference_norms_;
  // Weights are packed when they are used: next to the contraction of a whole chunk that takes no time.
  Array<T> packed_;
  int turn_ = 0;
};

}  // namespace gradcon::cuda
