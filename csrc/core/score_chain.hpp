// The complete score of a block of samples: forward, loss, backward to the first constrained layer, alignment.
#pragma once

#include <cmath>
#include <cstdint>

#include "core/chain_pass.hpp"
#include "core/conv_alignment.hpp"
#include "core/cosine.hpp"
#include "core/linear_alignment.hpp"

namespace gradcon::GRADCON_CORE_NAMESPACE {

template <class LaneType, class Shape, int MostChannels>
class ChainScorer {
  using T = typename LaneType::Scalar;

 public:
  ChainScorer(const PackedChain<T>& packed, T* workspace, const Splitter& splitter)
      : pass_(packed, splitter), layout_(packed.layout), workspace_(workspace) {}

  // The images, to be filled before `score`.
  T* images() const { return value(0); }

  // Samples [first, first + count).
  void score(int64_t first, int64_t count, const ScoreOutputs<T>& outputs) {
    Sum<LaneType> reconstruction;
    Sum<LaneType> latent;
    for (int64_t index = 0; index < pass_.layers(); ++index) forward(index, latent);
    reconstruction_loss(pass_.chain(), value(pass_.layers()), images(), LaneType::broadcast(1), grad(), reconstruction);
    for (int64_t sample = 0; sample < count; ++sample) {
      outputs.reconstruction[first + sample] = static_cast<T>(reconstruction.value[sample]);
      outputs.latent[first + sample] = static_cast<T>(latent.value[sample]);
    }
    const int64_t first_constrained = pass_.chain().first_constrained;
    for (int64_t index = pass_.layers() - 1; index >= first_constrained; --index) {
      if (pass_.layer(index).reference >= 0) align(index, first, count, outputs);
      if (index > first_constrained) backward(index);
    }
  }

 private:
  T* in_lanes(int64_t offset) const { return workspace_ + offset * LaneType::samples; }
  T* value(int64_t index) const { return in_lanes(layout_.values[static_cast<size_t>(index)]); }
  // The gradient by the output of the layer at hand.
  T* grad() const { return in_lanes(layout_.turns[turn_]); }

  void forward(int64_t index, Sum<LaneType>& latent) const {
    if (index != pass_.chain().bottleneck) return pass_.forward(index, value(index), value(index + 1));
    T* mean = in_lanes(layout_.mean);
    T* log_variance = in_lanes(layout_.log_variance);
    pass_.forward_bottleneck(index, value(index), mean, log_variance);
    divergence<LaneType>(pass_.chain().images, size_of(pass_.layer(index).output), mean, log_variance, latent);
  }

  void backward(int64_t index) {
    const ChainLayer& layer = pass_.layer(index);
    const bool in_place = layer.is_activation() || layer.kind == Kind::affine || layer.kind == Kind::reshape;
    T* next = in_lanes(layout_.turns[in_place ? turn_ : 1 - turn_]);
    if (layer.kind == Kind::bottleneck) {
      T* log_variance = in_lanes(layout_.log_variance);
      divergence_backward<LaneType>(pass_.chain().images, size_of(layer.output), value(index + 1), value(index + 1),
                                    LaneType::broadcast(1), log_variance, grad());
      pass_.backward_bottleneck(index, grad(), log_variance, next);
    } else {
      pass_.backward(index, value(index), value(index + 1), grad(), next);
    }
    if (!in_place) turn_ = 1 - turn_;
  }

  // In a fixed number of parts, summed in order, so that the bits do not depend on how many threads share them.
  static constexpr int64_t alignment_chunks = 8;

  void align(int64_t index, int64_t first, int64_t count, const ScoreOutputs<T>& outputs) const {
    const ChainLayer& l = pass_.layer(index);
    const LayerWeights<T>& w = pass_.weights(index);
    const References<T> reference = {w.reference, 1};
    Sum<LaneType> dots[alignment_chunks];
    Sum<LaneType> sq_norms[alignment_chunks];
    if (l.kind == Kind::linear) {
      Alignment<LaneType> alignment = {dots, {}};
      linear_alignment<LaneType>(size_of(l.input), size_of(l.output), value(index), grad(), reference, alignment);
      sq_norms[0] = alignment.sq_norm;
    } else {
      const bool transposed = l.kind == Kind::conv_transposed;
      const TileOperands<T> operands = {transposed ? value(index) : grad(), transposed ? grad() : value(index)};
      pass_.splitter().for_each(alignment_chunks, [&](int64_t chunk) {
        Alignment<LaneType> alignment = {dots + chunk, {}};
        conv_alignment<LaneType, Shape>(l.geometry, operands, reference, alignment, chunk, alignment_chunks);
        sq_norms[chunk] = alignment.sq_norm;
      });
    }
    for (int64_t sample = 0; sample < count; ++sample) {
      double dot = 0;
      double sq_norm = 0;
      for (int64_t chunk = 0; chunk < alignment_chunks; ++chunk) {
        dot += dots[chunk].value[sample];
        sq_norm += sq_norms[chunk].value[sample];
      }
      outputs.cosine[(first + sample) * outputs.references + l.reference] =
          static_cast<T>(cosine_of(dot, std::sqrt(sq_norm), w.reference_norm));
    }
  }

  ChainPass<LaneType, MostChannels> pass_;
  const Layout& layout_;
  T* workspace_;
  int turn_ = 0;
};

}  // namespace gradcon::GRADCON_CORE_NAMESPACE
