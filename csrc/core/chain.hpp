// An autoencoder as a chain of layers: what it computes, and where its values lie. Nothing here depends on the lane.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "core/batch_view.hpp"
#include "core/geometry.hpp"

namespace gradcon {

// The description that gradcon_ext/chain/chain.py encodes; a test compares the names, which _runtime shows.
#define GRADCON_LAYER_KINDS(X) \
  X(conv)                      \
  X(conv_transposed)           \
  X(linear)                    \
  X(bottleneck)                \
  X(affine)                    \
  X(upsample)                  \
  X(reshape)                   \
  X(relu)                      \
  X(leaky_relu)                \
  X(elu)                       \
  X(gelu)                      \
  X(gelu_tanh)                 \
  X(sigmoid)                   \
  X(tanh)
#define GRADCON_LAYER_FIELDS(X) \
  X(kind)                       \
  X(weight)                     \
  X(bias)                       \
  X(reference)                  \
  X(channels)                   \
  X(rows)                       \
  X(columns)                    \
  X(stride_rows)                \
  X(stride_columns)             \
  X(padding_rows)               \
  X(padding_columns)            \
  X(dilation_rows)              \
  X(dilation_columns)           \
  X(groups)
#define GRADCON_LOSSES(X) X(squared_error) X(evidence_bound)

#define GRADCON_ENUMERATOR(name) name,

enum class LayerKind : int64_t { GRADCON_LAYER_KINDS(GRADCON_ENUMERATOR) };
enum class LayerField : size_t { GRADCON_LAYER_FIELDS(GRADCON_ENUMERATOR) };
enum class Loss : int64_t { GRADCON_LOSSES(GRADCON_ENUMERATOR) };

#undef GRADCON_ENUMERATOR

// Their names, in the order of the numbers.
std::vector<std::string> layer_kind_names();
std::vector<std::string> layer_field_names();
std::vector<std::string> loss_names();

enum class Reconstruction { squared_error, cross_entropy };

// Layer k reads value k and writes value k + 1; value 0 is the images.
struct ChainLayer {
  LayerKind kind = LayerKind::reshape;
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
  // Which of its contractions, by their direction, are computed as in core/gather_pairs.hpp.
  bool in_pairs[2] = {false, false};

  GRADCON_INLINE bool is_bilinear() const { return kind <= LayerKind::bottleneck; }
  GRADCON_INLINE bool is_activation() const { return kind >= LayerKind::relu; }
  // Whether the gradient by its input can be written over that by its output.
  GRADCON_INLINE bool passes_gradient_in_place() const {
    return is_activation() || kind == LayerKind::affine || kind == LayerKind::reshape;
  }
  GRADCON_INLINE bool is_in_pairs(Direction direction) const { return in_pairs[static_cast<int>(direction)]; }
};

struct Chain {
  Extents images = {};
  // Of a whole image: what a loss is a mean over.
  int64_t pixels = 0;
  Reconstruction reconstruction = Reconstruction::squared_error;
  std::vector<ChainLayer> layers;
  // The first constrained layer: the backward pass ends there.
  int64_t first_constrained = 0;
  // Index of the bottleneck, or -1.
  int64_t bottleneck = -1;
};

GRADCON_INLINE int64_t size_of(const Extents& extents) { return extents.channels * extents.rows * extents.columns; }

// How many numbers the input of the first constrained layer has.
GRADCON_INLINE int64_t size_of_code(const Chain& chain) {
  return size_of(chain.layers[static_cast<size_t>(chain.first_constrained)].input);
}

// What a caller hands over: an array's shape, and its numbers where they are.
template <class T>
struct ArrayView {
  const T* data = nullptr;
  std::vector<int64_t> shape;
};

using Shapes = std::vector<std::vector<int64_t>>;

// Reads the flat form that the ops take: an integer for each field of each layer, one constant a layer, the loss, and
// the shapes of what the indices stand for. Throws std::invalid_argument where they do not fit together, or where a
// size is beyond the bounds of core/require.hpp.
Chain read_chain(const Extents& images, const std::vector<int64_t>& program, const std::vector<double>& constants,
                 int64_t loss, const Shapes& parameters, const Shapes& references);

// Whether an activation takes its derivative from what it is given; the others take it from what they return.
GRADCON_INLINE bool derives_from_input(LayerKind kind) {
  return kind == LayerKind::gelu || kind == LayerKind::gelu_tanh;
}

// Whether the second derivative of an activation is zero.
GRADCON_INLINE bool is_piecewise_linear(LayerKind kind) {
  return kind == LayerKind::relu || kind == LayerKind::leaky_relu;
}

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
