// Scores and training gradients of random chains against finite differences of their own losses, in double. That the
// losses are those of PyTorch is tested in Python.
#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <vector>

#include "random_chain.hpp"
#include "training_batch.hpp"

namespace {

constexpr double step = 1e-5;

doctest::Approx close_to(double expected, double tolerance) { return doctest::Approx(expected).epsilon(tolerance); }

void check_scores() {
  Case c = random_case(false);
  const int64_t count = draw(1, 4);
  const std::vector<double> pixels = random_values(count * size_of(c.images), 0.3);
  const Scores scores = scores_of(c, c.chain(), pixels, count);
  for (const ChainLayer& layer : c.chain().layers) {
    // A finite difference takes two scores a weight.
    if (layer.reference < 0 || layer.geometry.weights() > 150) continue;
    std::vector<double>& weight = c.parameters[static_cast<size_t>(layer.weight)];
    const std::vector<double>& reference = c.references[static_cast<size_t>(layer.reference)];
    std::vector<double> dot(static_cast<size_t>(count)), sq_norm(dot), reference_sq_norm(dot);
    for (size_t i = 0; i < weight.size(); ++i) {
      const double value = weight[i];
      weight[i] = value + step;
      const Scores above = scores_of(c, c.chain(), pixels, count);
      weight[i] = value - step;
      const Scores below = scores_of(c, c.chain(), pixels, count);
      weight[i] = value;
      for (size_t sample = 0; sample < dot.size(); ++sample) {
        const double gradient = (above.losses[sample] - below.losses[sample]) / (2 * step);
        dot[sample] += gradient * reference[i];
        sq_norm[sample] += gradient * gradient;
        reference_sq_norm[sample] += reference[i] * reference[i];
      }
    }
    for (size_t sample = 0; sample < dot.size(); ++sample) {
      if (sq_norm[sample] < 1e-10) continue;  // Too small for a finite difference.
      const double expected = dot[sample] / std::sqrt(sq_norm[sample]) / std::sqrt(reference_sq_norm[sample]);
      const size_t at = sample * c.references.size() + static_cast<size_t>(layer.reference);
      CHECK(scores.cosines[at] == close_to(expected, 1e-4));
    }
  }
}

void check_training() {
  constexpr double alpha = 0.5;
  Case c = random_case(true);
  const int64_t count = draw(1, 6);
  const std::vector<double> pixels = random_values(count * size_of(c.images), 0.3);
  const std::vector<double> noise = random_values(count * 3, 1);
  const auto objective = [&] {
    TrainingBatch<LaneType> batch(c, in_pairs(c.chain()), pixels, noise, count);
    const double loss = batch.loss();
    return loss - alpha * batch.mean_cosine();
  };
  TrainingBatch<LaneType> batch(c, in_pairs(c.chain()), pixels, noise, count);
  batch.loss();
  batch.point_tangents(-alpha / static_cast<double>(c.references.size()));
  const Chain chain = c.chain();
  for (size_t layer = 0; layer < chain.layers.size(); ++layer) {
    if (!chain.layers[layer].is_bilinear()) continue;
    const std::vector<double> gradient = batch.gradient(layer, GradientOf::constrained);
    std::vector<double>& weight = c.parameters[static_cast<size_t>(chain.layers[layer].weight)];
    for (size_t i = 0; i < weight.size(); i += 1 + weight.size() / 4) {
      const double value = weight[i];
      weight[i] = value + step;
      const double above = objective();
      weight[i] = value - step;
      const double below = objective();
      weight[i] = value;
      CHECK(gradient[i] == close_to((above - below) / (2 * step), 1e-5));
    }
  }
}

// A chain of one linear layer, of sizes that a file may claim.
Chain claimed_chain(const Extents& images, const Extents& output, const std::vector<int64_t>& weight) {
  std::vector<int64_t> program = {static_cast<int64_t>(LayerKind::linear),
                                  0,
                                  -1,
                                  0,
                                  output.channels,
                                  output.rows,
                                  output.columns,
                                  1,
                                  1,
                                  0,
                                  0,
                                  1,
                                  1,
                                  1};
  return read_chain(images, program, {0}, static_cast<int64_t>(Loss::squared_error), {weight}, {weight});
}

}  // namespace

TEST_CASE("scores agree with finite differences") {
  for (int trial = 0; trial < 60; ++trial) check_scores();
}

TEST_CASE("training gradients agree with finite differences") {
  for (int trial = 0; trial < 60; ++trial) check_training();
}

TEST_CASE("sizes that wrap around 64 bits are refused") {
  const int64_t huge = int64_t{1} << 40;
  CHECK_THROWS_AS(claimed_chain({1, 1, huge}, {huge, 1, 1}, {huge, huge}), std::invalid_argument);
  CHECK_THROWS_AS(claimed_chain({huge, huge, huge}, {1, 1, 1}, {1, 1}), std::invalid_argument);
  CHECK_THROWS_AS(claimed_chain({-1, 1, 1}, {1, 1, 1}, {1, 1}), std::invalid_argument);
}

// 2^18 layers of 2^40 numbers each, whose sum would wrap around to a workspace of nothing.
TEST_CASE("many layers whose sum wraps around are refused") {
  const int64_t many = int64_t{1} << 18;
  const int64_t side = int64_t{1} << 20;
  std::vector<int64_t> program;
  for (int64_t layer = 0; layer < many; ++layer) {
    program.insert(program.end(),
                   {static_cast<int64_t>(LayerKind::upsample), -1, -1, -1, 1, side, side, 1, 1, 0, 0, 1, 1, 1});
  }
  const std::vector<double> constants(static_cast<size_t>(many));
  CHECK_THROWS_AS(
      read_chain({1, 1, 1}, program, constants, static_cast<int64_t>(Loss::squared_error), {{1, 1}}, {{1, 1}}),
      std::invalid_argument);
}

// Each value is within the bounds, and all of them together are not.
TEST_CASE("many values that are too large together are refused") {
  const int64_t side = int64_t{1} << 14;
  std::vector<int64_t> program;
  const auto add = [&](LayerKind kind, int64_t weight, int64_t extent) {
    program.insert(program.end(), {static_cast<int64_t>(kind), weight, -1, weight, 1, extent, extent});
    program.insert(program.end(), {1, 1, 0, 0, 1, 1, 1});
  };
  add(LayerKind::upsample, -1, side);
  for (int layer = 0; layer < 64; ++layer) add(LayerKind::tanh, -1, side);
  add(LayerKind::linear, 0, 1);
  const Chain chain = read_chain({1, 1, 1}, program, std::vector<double>(66), static_cast<int64_t>(Loss::squared_error),
                                 {{1, side * side}}, {{1, side * side}});
  CHECK_THROWS_AS(make_training_layout(chain), std::invalid_argument);
}
