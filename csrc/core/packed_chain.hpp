// A chain with its weights, ready to be scored.
#pragma once

#include <cstdint>
#include <vector>

#include "core/chain.hpp"
#include "core/gather.hpp"

namespace gradcon {

// What a layer is computed with. Weights are packed for the contraction they are used in.
template <class T>
struct LayerWeights {
  const T* forward = nullptr;   // or the scale of an affine layer
  const T* backward = nullptr;  // where the backward pass goes through
  const T* bias = nullptr;      // or the shift of an affine layer
  // Those of a bottleneck's log variance.
  const T* second_forward = nullptr;
  const T* second_backward = nullptr;
  const T* second_bias = nullptr;
  // In training, the direction that the tangent of a constrained weight points in, packed likewise.
  const T* tangent_forward = nullptr;
  const T* tangent_backward = nullptr;
  // As it is: (inner channels, outer channels / groups, taps).
  const T* reference = nullptr;
  double reference_norm = 0;
};

template <class T>
struct PackedChain {
  Chain chain;
  Layout layout;
  std::vector<LayerWeights<T>> weights;
};

// Where the scores go: reconstruction and latent (samples), cosine (samples, references).
template <class T>
struct ScoreOutputs {
  T* reconstruction;
  T* latent;
  T* cosine;
  int64_t references;
};

// Which gradient of a layer's weight: of the primal loss; of the whole objective, with a constraint or without; or by
// the weight of a bottleneck's log variance.
enum class GradientOf { primal, constrained, unconstrained, log_variance };

// Where the gradient of a layer goes; no bias where there is none.
template <class T>
struct GradientTask {
  int64_t layer;
  GradientOf of;
  T* weight;
  T* bias;
};

// The direction in which a layer is run forward; the backward pass is the other one.
GRADCON_INLINE Direction forward_direction(const ChainLayer& layer) {
  return layer.kind == Kind::conv_transposed ? Direction::to_outer : Direction::to_inner;
}

GRADCON_INLINE Direction backward_direction(const ChainLayer& layer) {
  return layer.kind == Kind::conv_transposed ? Direction::to_inner : Direction::to_outer;
}

}  // namespace gradcon
