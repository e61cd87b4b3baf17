// Scores and training gradients of random chains against finite differences of their own losses, in double. That the
// losses are those of PyTorch is tested in Python.
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>
#include <vector>

#include "core/chain.cpp"
#include "core/score_chain.hpp"
#include "core/train_chain.hpp"
#include "cpu/packing.cpp"
#include "cpu/scratch.hpp"

namespace core = gradcon::portable;
using namespace gradcon;

namespace {

using LaneType = core::Lane<double, 4>;
using Shape = core::TileShape<3, 4>;
constexpr int packed_channels = 3;
constexpr double step = 1e-5;
const cpu::Threads one_thread;

std::mt19937 generator(1);

int64_t draw(int64_t low, int64_t high) { return std::uniform_int_distribution<int64_t>(low, high)(generator); }

std::vector<double> random_values(int64_t size, double scale) {
  std::normal_distribution<double> normal(0, scale);
  std::vector<double> values(static_cast<size_t>(size));
  for (double& value : values) value = normal(generator);
  return values;
}

void expect_close(double value, double expected, double tolerance, const std::string& what) {
  if (std::abs(value - expected) <= tolerance * (1 + std::abs(expected))) return;
  std::printf("%s: got %.12g, expected %.12g\n", what.c_str(), value, expected);
  std::exit(1);
}

// A chain in the form that the ops take, with weights.
struct Case {
  Extents images = {draw(1, 2), draw(3, 6), draw(3, 6)};
  std::vector<int64_t> program;
  std::vector<double> constants;
  std::string loss = "squared_error";
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

  void add(Kind kind, const Extents& output, int64_t weight = -1, int64_t bias = -1, bool constrained = false,
           const std::vector<int64_t>& settings = {1, 1, 0, 0, 1, 1, 1}) {
    program.insert(program.end(), {static_cast<int64_t>(kind), weight, bias, constrained ? reference_of(weight) : -1,
                                   output.channels, output.rows, output.columns});
    program.insert(program.end(), settings.begin(), settings.end());
    constants.push_back(kind == Kind::leaky_relu ? 0.2 : kind == Kind::elu ? 0.7 : 0.0);
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
    add(Kind::conv, output, weight, parameter({channels}), constrained,
        {stride, stride, padding, padding, 1, 1, groups});
    return output;
  }

  Extents transposed(const Extents& input, bool constrained) {
    const int64_t kernel = draw(2, 4);
    const int64_t stride = draw(1, 2);
    const auto size = [&](int64_t extent) { return (extent - 1) * stride + kernel; };
    const Extents output = {draw(1, 3), size(input.rows), size(input.columns)};
    const int64_t weight = parameter({input.channels, output.channels, kernel, kernel});
    add(Kind::conv_transposed, output, weight, -1, constrained, {stride, stride, 0, 0, 1, 1, 1});
    return output;
  }

  Extents linear(const Extents& input, const Extents& output, bool constrained) {
    const int64_t weight = parameter({size_of(output), size_of(input)});
    add(Kind::linear, {size_of(output), 1, 1}, weight, parameter({size_of(output)}), constrained);
    add(Kind::reshape, output);
    return output;
  }

  Extents bottleneck(const Extents& input) {
    const Extents output = {draw(1, 3), 1, 1};
    const int64_t weight = parameter({output.channels, size_of(input)});
    const int64_t bias = parameter({output.channels});
    parameter({output.channels, size_of(input)});
    parameter({output.channels});
    add(Kind::bottleneck, output, weight, bias);
    loss = "evidence_bound";
    return output;
  }

  Chain chain() const { return read_chain(images, program, constants, loss, shapes, reference_shapes); }
};

// Smooth activations only: a finite difference across the kink of a ReLU is wrong.
void add_activation(Case& c, const Extents& shape) {
  const Kind kinds[] = {Kind::gelu, Kind::gelu_tanh, Kind::sigmoid, Kind::tanh};
  c.add(kinds[draw(0, 3)], shape);
}

Case random_case(bool for_training) {
  Case c;
  Extents shape = c.convolution(c.images, !for_training && draw(0, 1) == 1);
  add_activation(c, shape);
  if (!for_training) {
    c.add(Kind::affine, shape, c.parameter({shape.channels}), c.parameter({shape.channels}));
  }
  if (draw(0, 1) == 1) {
    shape = c.bottleneck(shape);
    shape = c.linear(shape, {2, 2, 2}, draw(0, 1) == 1);
  }
  add_activation(c, shape);
  shape = c.transposed(shape, draw(0, 1) == 1);
  const Extents large = {shape.channels, shape.rows * 2, shape.columns};
  c.add(Kind::upsample, large);
  add_activation(c, large);
  c.linear(large, c.images, true);
  c.add(Kind::sigmoid, c.images);
  return c;
}

std::vector<ArrayView<double>> views(const std::vector<std::vector<double>>& arrays) {
  std::vector<ArrayView<double>> result;
  for (const std::vector<double>& array : arrays) result.push_back({array.data(), {}});
  return result;
}

struct Scores {
  std::vector<double> losses;
  std::vector<double> cosines;
};

Scores scores_of(const Case& c, const std::vector<double>& pixels, int64_t count) {
  const Chain chain = c.chain();
  cpu::Packing<double> packing(packed_channels, chain.layers.size());
  PackedChain<double> packed = {chain, make_scoring_layout(chain), {}};
  packed.weights =
      packing.packed_layers(chain, views(c.parameters), views(c.references), chain.first_constrained, one_thread);
  const cpu::Scratch<double> workspace(packed.layout.size * LaneType::samples);
  core::ChainScorer<LaneType, Shape, packed_channels> scorer(packed, workspace.data(), Splitter{});
  const Extents& e = chain.images;
  const BatchView<double> view = {pixels.data(), size_of(e), e.rows * e.columns, e.columns, 1};
  core::to_lanes<LaneType>(view, e, 0, count, scorer.images());
  const auto references = static_cast<int64_t>(c.references.size());
  std::vector<double> reconstruction(static_cast<size_t>(count));
  std::vector<double> latent(static_cast<size_t>(count));
  Scores scores;
  scores.cosines.resize(static_cast<size_t>(count * references));
  scorer.score(0, count, {reconstruction.data(), latent.data(), scores.cosines.data(), references});
  for (size_t i = 0; i < reconstruction.size(); ++i) scores.losses.push_back(reconstruction[i] + latent[i]);
  return scores;
}

void check_scores() {
  Case c = random_case(false);
  const int64_t count = draw(1, 4);
  const std::vector<double> pixels = random_values(count * size_of(c.images), 0.3);
  const Scores scores = scores_of(c, pixels, count);
  for (const ChainLayer& layer : c.chain().layers) {
    // A finite difference takes two scores a weight.
    if (layer.reference < 0 || layer.geometry.weights() > 150) continue;
    std::vector<double>& weight = c.parameters[static_cast<size_t>(layer.weight)];
    const std::vector<double>& reference = c.references[static_cast<size_t>(layer.reference)];
    std::vector<double> dot(static_cast<size_t>(count)), sq_norm(dot), reference_sq_norm(dot);
    for (size_t i = 0; i < weight.size(); ++i) {
      const double value = weight[i];
      weight[i] = value + step;
      const Scores above = scores_of(c, pixels, count);
      weight[i] = value - step;
      const Scores below = scores_of(c, pixels, count);
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
      expect_close(scores.cosines[at], expected, 1e-4, "cosine");
    }
  }
}

// A batch in training: blocks of samples, and the steps over them.
class Batch {
 public:
  Batch(const Case& c, const std::vector<double>& pixels, const std::vector<double>& noise, int64_t count)
      : case_(c),
        chain_(c.chain()),
        packing_(packed_channels, chain_.layers.size()),
        packed_{chain_, make_training_layout(chain_), {}},
        blocks_((count + LaneType::samples - 1) / LaneType::samples),
        size_(core::BlockArrays<LaneType>::count * packed_.layout.size * LaneType::samples),
        memory_(blocks_ * size_) {
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
      trainers_.emplace_back(packed_, arrays_.back(), noise_.back().data(), scale);
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
  std::vector<core::BlockArrays<LaneType>> arrays_;
  std::vector<cpu::Scratch<double>> noise_;
  std::vector<LaneType> scales_;
  std::vector<core::BlockTrainer<LaneType, packed_channels>> trainers_;
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
      expect_close(gradient[i], (above - below) / (2 * step), 1e-5, "gradient of the objective");
    }
  }
}

}  // namespace

int main() {
  for (int trial = 0; trial < 60; ++trial) check_scores();
  for (int trial = 0; trial < 60; ++trial) check_training();
  std::puts("chains agree with finite differences");
}
