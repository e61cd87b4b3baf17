// An autoencoder as a chain of layers: what it computes, and where its values lie. Nothing here depends on the lane.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/batch_view.hpp"
#include "core/geometry.hpp"

namespace gradcon {

// The numbers are those of gradcon_ext/chain.py.
enum class Kind : int64_t {
  conv,
  conv_transposed,
  linear,
  bottleneck,
  affine,
  upsample,
  reshape,
  relu,
  leaky_relu,
  elu,
  gelu,
  gelu_tanh,
  sigmoid,
  tanh,
};

enum class Reconstruction { squared_error, cross_entropy };

// Layer k reads value k and writes value k + 1; value 0 is the images.
struct ChainLayer {
  Kind kind = Kind::reshape;
  Extents input = {};
  Extents output = {};
  // Of the bilinear map of a convolution, transposed convolution, linear layer or bottleneck.
  Geometry geometry;
  // Indices into the parameters; -1 for none. Those of a bottleneck's log variance follow those of its mean.
  int64_t weight = -1;
  int64_t bias = -1;
  // Index into the references; -1 for a layer that is not constrained.
  int64_t reference = -1;
  // Negative slope of a leaky ReLU, alpha of an ELU.
  double constant = 0;

  GRADCON_INLINE bool is_bilinear() const { return kind <= Kind::bottleneck; }
  GRADCON_INLINE bool is_activation() const { return kind >= Kind::relu; }
};

struct Chain {
  Extents images = {};
  Reconstruction reconstruction = Reconstruction::squared_error;
  std::vector<ChainLayer> layers;
  // The first constrained layer: the backward pass ends there.
  int64_t first_constrained = 0;
  // Index of the bottleneck, or -1.
  int64_t bottleneck = -1;
};

GRADCON_INLINE int64_t size_of(const Extents& extents) { return extents.channels * extents.rows * extents.columns; }

// What a caller hands over: an array's shape, and its numbers where they are.
template <class T>
struct ArrayView {
  const T* data = nullptr;
  std::vector<int64_t> shape;
};

using Shapes = std::vector<std::vector<int64_t>>;

// Reads the flat form that the op takes: 14 integers a layer (kind, weight, bias, reference, output channels, rows,
// columns, stride, padding, dilation, groups), one constant a layer, and the shapes of what the indices stand for.
// Throws std::invalid_argument where they do not fit together.
Chain read_chain(const Extents& images, const std::vector<int64_t>& program, const std::vector<double>& constants,
                 const std::string& loss, const Shapes& parameters, const Shapes& references);

// Whether an activation takes its derivative from what it is given; the others take it from what they return.
GRADCON_INLINE bool derives_from_input(Kind kind) { return kind == Kind::gelu || kind == Kind::gelu_tanh; }

// Whether the second derivative of an activation is zero.
GRADCON_INLINE bool is_piecewise_linear(Kind kind) { return kind == Kind::relu || kind == Kind::leaky_relu; }

// Where the values of one sample lie in a workspace, counted in numbers.
struct Layout {
  // values[k] is the input of layer k, values.back() the reconstruction.
  std::vector<int64_t> values;
  // Two halves that gradients, and before them the values that no backward pass needs, take turns in.
  int64_t turns[2] = {0, 0};
  // Mean and log variance of a bottleneck. In scoring the code is the mean itself.
  int64_t mean = 0;
  int64_t log_variance = 0;
  int64_t size = 0;
};

// For scoring: values up to the first constrained layer are forgotten once they are read.
Layout make_scoring_layout(const Chain& chain);

// For training: every value is kept, and so is what a second derivative needs.
Layout make_training_layout(const Chain& chain);

}  // namespace gradcon
