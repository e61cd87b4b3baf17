// The gradient of the training objective J = L - alpha * mean cosine, without differentiating twice.
//
// With u the derivative of the constraint by the gradients of the constrained weights, dJ/dW = dL/dW + H u, and H u is
// the derivative of dL/dW along u (Pearlmutter, 1994). So a batch takes
//   1. forward, and backward to the first constrained layer: adjoints, from which come gradients, cosines and u;
//   2. the tangents of the values along u, forward from there;
//   3. backward through everything with the adjoints and their tangents in one sum, the totals;
//   4. weight gradients: values with totals, tangents with adjoints.
// A block of samples has four arrays of one layout. Values and adjoints are kept until all blocks have theirs, on which
// u depends; tangents and totals last from a block's own backward pass to its gradients.
#pragma once

#include <cstdint>

#include "core/chain_pass.hpp"
#include "core/sum.hpp"

namespace gradcon::GRADCON_CORE_NAMESPACE {

// The arrays of one block, and what is kept behind them.
template <class LaneType, class T = typename LaneType::Scalar>
struct BlockArrays {
  static constexpr int kept_arrays = 2;
  static constexpr int passing_arrays = 2;

  const Layout& layout;
  T* kept;
  T* passing;

  T* values(int64_t index) const { return kept + of_value(index); }
  T* adjoints(int64_t index) const { return kept + size() + of_value(index); }
  T* tangents(int64_t index) const { return passing + of_value(index); }
  T* totals(int64_t index) const { return passing + size() + of_value(index); }
  T* mean() const { return kept + layout.mean * LaneType::samples; }
  // After the backward pass, the gradient by it.
  T* log_variance() const { return kept + layout.log_variance * LaneType::samples; }
  T* behind_kept() const { return kept + kept_arrays * size(); }
  T* behind_passing() const { return passing + passing_arrays * size(); }

 private:
  int64_t size() const { return layout.size * LaneType::samples; }
  int64_t of_value(int64_t index) const { return layout.values[static_cast<size_t>(index)] * LaneType::samples; }
};

template <class LaneType, int MostChannels, class PairShape>
class BlockTrainer {
  using T = typename LaneType::Scalar;

 public:
  // `scale` is what each sample's loss counts for in that of the batch: nothing for lanes past the last sample. `noise`
  // is that of a bottleneck, in lanes; `copy` is for what a contraction reads.
  BlockTrainer(const PackedChain<T>& packed, const BlockArrays<LaneType>& arrays, const T* noise, T* copy,
               const LaneType& scale, const ParallelFor& parallel_for)
      : pass_(packed, copy, parallel_for), arrays_(arrays), noise_(noise), scale_(scale) {}

  void forward(Sum<LaneType>& reconstruction, Sum<LaneType>& latent) const {
    for (int64_t index = 0; index < pass_.layers(); ++index) {
      if (index != pass_.chain().bottleneck) {
        pass_.forward(index, arrays_.values(index), arrays_.values(index + 1));
        continue;
      }
      const int64_t size = size_of(pass_.layer(index).output);
      pass_.forward_bottleneck(index, arrays_.values(index), arrays_.mean(), arrays_.log_variance());
      divergence<LaneType>(pass_.chain().images, size, arrays_.mean(), arrays_.log_variance(), latent);
      sample_code<LaneType>(size, arrays_.mean(), arrays_.log_variance(), noise_, arrays_.values(index + 1));
    }
    reconstruction_loss(pass_.chain(), arrays_.values(pass_.layers()), arrays_.values(0), scale_,
                        arrays_.adjoints(pass_.layers()), pass_.parallel_for(), reconstruction);
  }

  // Adjoints down to the output of the first constrained layer.
  void backward_adjoints() const {
    for (int64_t index = pass_.layers() - 1; index > pass_.chain().first_constrained; --index) {
      pass_.backward(index, arrays_.values(index), arrays_.values(index + 1), arrays_.adjoints(index + 1),
                     arrays_.adjoints(index));
    }
  }

  // Totals of everything. Without a constraint they are the adjoints; with one, those have been computed.
  void backward_totals(bool constrained) const {
    const int64_t layers = pass_.layers();
    if (constrained) {
      for (int64_t index = pass_.chain().first_constrained; index < layers; ++index) forward_tangent(index);
      reconstruction_tangent(pass_.chain(), arrays_.values(layers), arrays_.values(0), scale_, arrays_.tangents(layers),
                             pass_.parallel_for(), arrays_.totals(layers));
    } else {
      Sum<LaneType> loss;
      reconstruction_loss(pass_.chain(), arrays_.values(layers), arrays_.values(0), scale_, arrays_.totals(layers),
                          pass_.parallel_for(), loss);
    }
    for (int64_t index = layers - 1; index >= 0; --index) {
      backward_total(index, constrained && index >= pass_.chain().first_constrained);
    }
  }

 private:
  // Tangents of weights are packed like the weights; biases have none.
  void forward_tangent(int64_t index) const {
    const ChainLayer& layer = pass_.layer(index);
    const LayerWeights<T>& weights = pass_.weights(index);
    const T* source = arrays_.tangents(index);
    T* target = arrays_.tangents(index + 1);
    if (layer.is_bilinear()) {
      const Direction direction = forward_direction(layer);
      const bool moved = index > pass_.chain().first_constrained;
      if (moved) pass_.contract(index, direction, {source, weights.forward, nullptr}, target);
      if (layer.reference >= 0) {
        pass_.contract(index, direction, {arrays_.values(index), weights.tangent_forward, nullptr, moved}, target);
      }
    } else if (layer.is_activation()) {
      // The derivative of an activation is diagonal: its forward tangent is like its backward pass.
      pass_.backward(index, arrays_.values(index), arrays_.values(index + 1), source, target);
    } else {
      pass_.forward(index, source, target);
    }
  }

  void backward_total(int64_t index, bool constrained) const {
    const ChainLayer& layer = pass_.layer(index);
    if (layer.kind == LayerKind::bottleneck) return backward_bottleneck(index);
    if (index == 0 && layer.is_bilinear()) return;  // Nobody asks for the gradient by the images.
    T* total = arrays_.totals(index);
    pass_.backward(index, arrays_.values(index), arrays_.values(index + 1), arrays_.totals(index + 1), total);
    if (!constrained) return;
    if (layer.reference >= 0) {
      const T* weights = pass_.weights(index).tangent_backward;
      pass_.contract(index, backward_direction(layer), {arrays_.adjoints(index + 1), weights, nullptr, true}, total);
    } else if (layer.is_activation()) {
      const T* value = arrays_.values(derives_from_input(layer.kind) ? index : index + 1);
      add_curvature<LaneType>(layer, value, arrays_.tangents(index), arrays_.adjoints(index + 1), total);
    }
  }

  void backward_bottleneck(int64_t index) const {
    T* total = arrays_.totals(index + 1);
    divergence_backward<LaneType>(pass_.chain().images, size_of(pass_.layer(index).output), arrays_.mean(),
                                  arrays_.values(index + 1), scale_, arrays_.log_variance(), total);
    if (index > 0) pass_.backward_bottleneck(index, total, arrays_.log_variance(), arrays_.totals(index));
  }

  ChainPass<LaneType, MostChannels, PairShape> pass_;
  BlockArrays<LaneType> arrays_;
  const T* noise_;
  LaneType scale_;
};

}  // namespace gradcon::GRADCON_CORE_NAMESPACE
