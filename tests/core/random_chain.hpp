// Random chains, and their scores by the portable variant of the core.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <random>
#include <vector>

#include "core/chain.hpp"
#include "core/score_chain.hpp"
#include "core/strips.hpp"
#include "core/to_lanes.hpp"
#include "cpu/packing.hpp"
#include "cpu/scratch.hpp"

namespace core = gradcon::portable;
using namespace gradcon;

using LaneType = core::Lane<double, 4>;
using Shape = core::TileShape<3, 4>;
constexpr int packed_channels = 3;
using PairShape = core::PairTileShape<2, 3>;
inline const cpu::Threads one_thread;

inline std::mt19937 generator(1);

inline int64_t draw(int64_t low, int64_t high) { return std::uniform_int_distribution<int64_t>(low, high)(generator); }

inline std::vector<double> random_values(int64_t size, double scale) {
  std::normal_distribution<double> normal(0, scale);
  std::vector<double> values(static_cast<size_t>(size));
  for (double& value : values) value = normal(generator);
  return values;
}

// A chain in the form that the ops take, with weights.
struct Case {
  Extents images = {draw(1, 2), draw(3, 6), draw(3, 6)};
  std::vector<int64_t> program;
  std::vector<double> constants;
  Loss loss = Loss::squared_error;
  Shapes shapes;
  std::vector<std::vector<double>> parameters;
  Shapes reference_shapes;
  std::vector<std::vector<double>> references;

  int64_t parameter(const std::vector<int64_t>& shape) {
    int64_t size = 1;
    for (const int64_t extent : shape) size *= extent;
    const int64_t fan_in = shape.size() > 1 ? size / shape[0] : 1;
    shapes.push_back(shape);
    parameters.push_back(random_values(size, 1 / std::sqrt(static_cast<double>(fan_in))));
    return static_cast<int64_t>(shapes.size()) - 1;
  }

  int64_t reference_of(int64_t weight) {
    reference_shapes.push_back(shapes[static_cast<size_t>(weight)]);
    references.push_back(random_values(static_cast<int64_t>(parameters[static_cast<size_t>(weight)].size()), 1));
    return static_cast<int64_t>(references.size()) - 1;
  }

  void add(LayerKind kind, const Extents& output, int64_t weight = -1, int64_t bias = -1, bool constrained = false,
           const std::vector<int64_t>& settings = {1, 1, 0, 0, 1, 1, 1}) {
    program.insert(program.end(), {static_cast<int64_t>(kind), weight, bias, constrained ? reference_of(weight) : -1,
                                   output.channels, output.rows, output.columns});
    program.insert(program.end(), settings.begin(), settings.end());
    constants.push_back(kind == LayerKind::leaky_relu ? 0.2 : kind == LayerKind::elu ? 0.7 : 0.0);
  }

  Extents convolution(const Extents& input, bool constrained) {
    const int64_t groups = input.channels % 2 == 0 ? draw(1, 2) : 1;
    const int64_t channels = groups * draw(1, 3);
    const int64_t kernel = draw(1, 3);
    const int64_t stride = draw(1, 2);
    const int64_t padding = kernel - 1;
    const auto size = [&](int64_t extent) { return (extent + 2 * padding - kernel) / stride + 1; };
    const Extents output = {channels, size(input.rows), size(input.columns)};
    const int64_t weight = parameter({channels, input.channels / groups, kernel, kernel});
    add(LayerKind::conv, output, weight, parameter({channels}), constrained,
        {stride, stride, padding, padding, 1, 1, groups});
    return output;
  }

  Extents transposed(const Extents& input, bool constrained) {
    const int64_t kernel = draw(2, 4);
    const int64_t stride = draw(1, 2);
    const auto size = [&](int64_t extent) { return (extent - 1) * stride + kernel; };
    const Extents output = {draw(1, 3), size(input.rows), size(input.columns)};
    const int64_t weight = parameter({input.channels, output.channels, kernel, kernel});
    add(LayerKind::conv_transposed, output, weight, -1, constrained, {stride, stride, 0, 0, 1, 1, 1});
    return output;
  }

  Extents linear(const Extents& input, const Extents& output, bool constrained) {
    const int64_t weight = parameter({size_of(output), size_of(input)});
    add(LayerKind::linear, {size_of(output), 1, 1}, weight, parameter({size_of(output)}), constrained);
    add(LayerKind::reshape, output);
    return output;
  }

  Extents bottleneck(const Extents& input) {
    const Extents output = {draw(1, 3), 1, 1};
    const int64_t weight = parameter({output.channels, size_of(input)});
    const int64_t bias = parameter({output.channels});
    parameter({output.channels, size_of(input)});
    parameter({output.channels});
    add(LayerKind::bottleneck, output, weight, bias);
    loss = Loss::evidence_bound;
    return output;
  }

  Chain chain() const {
    return read_chain(images, program, constants, static_cast<int64_t>(loss), shapes, reference_shapes);
  }
};

// Smooth activations only: a finite difference across the kink of a ReLU is wrong.
inline void add_activation(Case& c, const Extents& shape) {
  const LayerKind kinds[] = {LayerKind::gelu, LayerKind::gelu_tanh, LayerKind::sigmoid, LayerKind::tanh};
  c.add(kinds[draw(0, 3)], shape);
}

inline Case random_case(bool for_training) {
  Case c;
  Extents shape = c.convolution(c.images, !for_training && draw(0, 1) == 1);
  add_activation(c, shape);
  if (!for_training) {
    c.add(LayerKind::affine, shape, c.parameter({shape.channels}), c.parameter({shape.channels}));
  }
  if (draw(0, 1) == 1) {
    shape = c.bottleneck(shape);
    shape = c.linear(shape, {2, 2, 2}, draw(0, 1) == 1);
  }
  add_activation(c, shape);
  shape = c.transposed(shape, draw(0, 1) == 1);
  const Extents large = {shape.channels, shape.rows * 2, shape.columns};
  c.add(LayerKind::upsample, large);
  add_activation(c, large);
  c.linear(large, c.images, true);
  c.add(LayerKind::sigmoid, c.images);
  return c;
}

inline std::vector<ArrayView<double>> views(const std::vector<std::vector<double>>& arrays) {
  std::vector<ArrayView<double>> result;
  for (const std::vector<double>& array : arrays) result.push_back({array.data(), {}});
  return result;
}

// Of a batch: the whole loss of each sample, and a cosine for each sample and reference.
struct Scores {
  std::vector<double> losses;
  std::vector<double> cosines;
};

// The chain with every contraction in pairs that can be.
inline Chain in_pairs(Chain chain) {
  for (ChainLayer& layer : chain.layers) {
    const bool can_be = layer.is_bilinear() && has_pairs(layer.geometry);
    for (bool& in_direction : layer.in_pairs) in_direction = can_be;
  }
  return chain;
}

// Of the samples in lanes, as one block scores them.
template <class Score>
inline Scores scores_by_blocks(const Case& c, PackedChain<double> packed, cpu::Packing<double> packing,
                               const Chain& chain, int64_t samples, int64_t count, const Score& score) {
  packed.weights =
      packing.packed_layers(chain, views(c.parameters), views(c.references), chain.first_constrained, one_thread);
  const cpu::Scratch<double> workspace(packed.numbers_of_a_lane() * LaneType::samples);
  const auto references = static_cast<int64_t>(c.references.size());
  std::vector<double> latent(static_cast<size_t>(count));
  Scores scores;
  scores.losses.resize(static_cast<size_t>(count));
  scores.cosines.resize(static_cast<size_t>(count * references));
  const ScoreOutputs<double> outputs = {scores.losses.data(), latent.data(), scores.cosines.data(), references};
  for (int64_t first = 0; first < count; first += samples) {
    score(packed, workspace.data(), first, std::min<int64_t>(samples, count - first), outputs);
  }
  for (size_t i = 0; i < latent.size(); ++i) scores.losses[i] += latent[i];
  return scores;
}

inline BatchView<double> view_of(const Extents& images, const std::vector<double>& pixels) {
  return {pixels.data(), size_of(images), images.rows * images.columns, images.columns, 1};
}

inline PackedChain<double> packed_chain(const ChainInStrips& in_strips) {
  return {in_strips.chain, make_scoring_layout(in_strips.chain), {}, in_strips.strips};
}

inline Scores scores_of(const Case& c, const Chain& chain, const std::vector<double>& pixels, int64_t count,
                        int64_t strips = 1) {
  const Extents& e = chain.images;
  const BatchView<double> view = view_of(e, pixels);
  const auto score = [&](const PackedChain<double>& packed, double* workspace, int64_t first, int64_t here,
                         const ScoreOutputs<double>& outputs) {
    core::BlockScorer<LaneType, Shape, packed_channels, PairShape> scorer(packed, workspace, ParallelFor{});
    if (strips == 1) {
      core::to_lanes<LaneType>(view, e, first, here, scorer.images());
    } else {
      core::strips_to_lanes<LaneType>(view, packed.strips.values[0], {{0, e.channels}, {0, e.columns}}, first, here,
                                      scorer.images());
    }
    scorer.score(first, here, outputs);
  };
  return scores_by_blocks(c, packed_chain(cut(chain, strips, chain.first_constrained)),
                          {packed_channels, PairShape::channels, chain.layers.size()}, chain,
                          LaneType::samples / strips, count, score);
}
