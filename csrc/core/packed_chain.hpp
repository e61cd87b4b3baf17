// A chain with its weights, ready to be scored.
#pragma once

#include <cstdint>
#include <vector>

#include "core/chain.hpp"
#include "core/contraction.hpp"
#include "core/strips.hpp"

namespace gradcon {

// What a layer is computed with. Weights are packed for the contraction they are used in.
template <class T>
struct LayerWeights {
  const T* forward = nullptr;   // or the scale of an affine layer
  const T* backward = nullptr;  // where the backward pass goes through
  const T* bias = nullptr;      // or the shift of an affine layer
  // Those of a bottleneck's log variance.
  const T* log_variance_forward = nullptr;
  const T* log_variance_backward = nullptr;
  const T* log_variance_bias = nullptr;
  // In training, the direction that the tangent of a constrained weight points in, packed likewise.
  const T* tangent_forward = nullptr;
  const T* tangent_backward = nullptr;
  // As it is: (inner channels, outer channels / groups, taps).
  const T* reference = nullptr;
  double reference_norm = 0;
};

// The extents are those of a strip.
template <class T>
struct PackedChain {
  Chain chain;
  Layout layout;
  std::vector<LayerWeights<T>> weights;
  ChainStrips strips = {};

  // What a block takes for each lane: the values, and behind them the copy that a contraction reads.
  int64_t numbers_of_a_lane() const { return layout.size + largest_copy(chain, strips); }
};

// Where the scores go: reconstruction and latent (samples), cosine (samples, references), and if wanted the code
// (samples, code size), the input of the first constrained layer.
template <class T>
struct ScoreOutputs {
  T* reconstruction;
  T* latent;
  T* cosine;
  int64_t references;
  T* code = nullptr;
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

}  // namespace gradcon
