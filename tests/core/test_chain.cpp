// Scores and training gradients of random chains against finite differences of their own losses, in double. That the
// losses are those of PyTorch is tested in Python.
#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <vector>

#include "core/train_chain.hpp"
#include "random_chain.hpp"

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

// A batch in training: blocks of samples, and the steps over them.
class Batch {
 public:
  Batch(const Case& c, const std::vector<double>& pixels, const std::vector<double>& noise, int64_t count)
      : case_(c),
        chain_(in_pairs(c.chain())),
        packing_(packed_channels, PairShape::channels, chain_.layers.size()),
        packed_{chain_, make_training_layout(chain_), {}},
        blocks_((count + LaneType::samples - 1) / LaneType::samples),
        size_(core::BlockArrays<LaneType>::count * packed_.layout.size * LaneType::samples),
        memory_(blocks_ * size_),
        copy_(largest_copy(chain_, {}) * LaneType::samples) {
    packed_.weights = packing_.packed_layers(chain_, views(c.parameters), views(c.references), 0, one_thread);
    const int64_t code =
        chain_.bottleneck < 0 ? 0 : size_of(chain_.layers[static_cast<size_t>(chain_.bottleneck)].output);
    for (int64_t block = 0; block < blocks_; ++block) {
      const int64_t first = block * LaneType::samples;
      const int64_t here = count - first < LaneType::samples ? count - first : LaneType::samples;
      arrays_.push_back({packed_.layout, memory_.data() + block * size_});
      const Extents& e = chain_.images;
      core::to_lanes<LaneType>(BatchView<double>{pixels.data(), size_of(e), e.rows * e.columns, e.columns, 1}, e, first,
                               here, arrays_.back().values(0));
      noise_.emplace_back(code * LaneType::samples);
      if (code > 0) {
        core::to_lanes<LaneType>(BatchView<double>{noise.data(), code, 1, 0, 0}, {code, 1, 1}, first, here,
                                 noise_.back().data());
      }
      LaneType scale = LaneType::zero();
      for (int64_t i = 0; i < here; ++i) scale.value[i] = 1.0 / static_cast<double>(count);
      trainers_.emplace_back(packed_, arrays_.back(), noise_.back().data(), copy_.data(), scale, ParallelFor{});
      scales_.push_back(scale);
    }
  }

  double loss() {
    double total = 0;
    for (size_t block = 0; block < trainers_.size(); ++block) {
      core::Sum<LaneType> reconstruction, latent;
      trainers_[block].forward(reconstruction, latent);
      for (int i = 0; i < LaneType::samples; ++i) {
        total += (reconstruction.value[i] + latent.value[i]) * scales_[block].value[i];
      }
      trainers_[block].backward_adjoints();
    }
    return total;
  }

  std::vector<double> gradient(size_t layer, GradientOf of) const {
    const ChainLayer& l = chain_.layers[layer];
    std::vector<double> weight(static_cast<size_t>(l.geometry.weights()));
    for (int64_t chunk = 0; chunk < 2; ++chunk) {
      const GradientTask<double> task = {static_cast<int64_t>(layer), of, weight.data(), nullptr};
      core::layer_gradient<LaneType, Shape>(chain_, arrays_, task, chunk, 2);
    }
    return weight;
  }

  double mean_cosine() const {
    double total = 0;
    for (size_t layer = 0; layer < chain_.layers.size(); ++layer) {
      if (chain_.layers[layer].reference >= 0) total += cosine(layer, gradient(layer, GradientOf::primal));
    }
    return total / static_cast<double>(case_.references.size());
  }

  // The derivative of the mean cosine by the gradients, as the direction of the tangents.
  void point_tangents(double factor) {
    for (size_t layer = 0; layer < chain_.layers.size(); ++layer) {
      const ChainLayer& l = chain_.layers[layer];
      if (l.reference < 0) continue;
      const std::vector<double> g = gradient(layer, GradientOf::primal);
      const std::vector<double>& a = case_.references[static_cast<size_t>(l.reference)];
      const double g_norm = cpu::norm_of(g.data(), static_cast<int64_t>(g.size()));
      const double a_norm = cpu::norm_of(a.data(), static_cast<int64_t>(a.size()));
      const double cos = cosine(layer, g);
      std::vector<double> u(g.size());
      for (size_t i = 0; i < g.size(); ++i) u[i] = factor * (a[i] / a_norm - cos * g[i] / g_norm) / g_norm;
      packed_.weights[layer].tangent_forward = packing_.packed(l, layer, forward_direction(l), u.data());
      packed_.weights[layer].tangent_backward = packing_.packed(l, layer, backward_direction(l), u.data());
    }
    for (const auto& trainer : trainers_) trainer.backward_totals(true);
  }

 private:
  double cosine(size_t layer, const std::vector<double>& g) const {
    const std::vector<double>& a = case_.references[static_cast<size_t>(chain_.layers[layer].reference)];
    double dot = 0;
    for (size_t i = 0; i < g.size(); ++i) dot += g[i] * a[i];
    return dot / cpu::norm_of(g.data(), static_cast<int64_t>(g.size())) /
           cpu::norm_of(a.data(), static_cast<int64_t>(a.size()));
  }

  const Case& case_;
  Chain chain_;
  cpu::Packing<double> packing_;
  PackedChain<double> packed_;
  int64_t blocks_;
  int64_t size_;
  cpu::Scratch<double> memory_;
  cpu::Scratch<double> copy_;
  std::vector<core::BlockArrays<LaneType>> arrays_;
  std::vector<cpu::Scratch<double>> noise_;
  std::vector<LaneType> scales_;
  std::vector<core::BlockTrainer<LaneType, packed_channels, PairShape>> trainers_;
};

void check_training() {
  constexpr double alpha = 0.5;
  Case c = random_case(true);
  const int64_t count = draw(1, 6);
  const std::vector<double> pixels = random_values(count * size_of(c.images), 0.3);
  const std::vector<double> noise = random_values(count * 3, 1);
  const auto objective = [&] {
    Batch batch(c, pixels, noise, count);
    const double loss = batch.loss();
    return loss - alpha * batch.mean_cosine();
  };
  Batch batch(c, pixels, noise, count);
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
