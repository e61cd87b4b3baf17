// A batch in training: blocks of samples, and the steps over them.
#pragma once

#include <cstdint>
#include <vector>

#include "core/channel_lanes.hpp"
#include "core/layer_gradient.hpp"
#include "core/train_chain.hpp"
#include "random_chain.hpp"

template <class LaneType>
class TrainingBatch {
 public:
  // `chain` is that of the case, in pairs or not.
  TrainingBatch(const Case& c, const Chain& chain, const std::vector<double>& pixels, const std::vector<double>& noise,
                int64_t count)
      : case_(c),
        chain_(chain),
        packing_(packed_channels, PairShape::channels, chain_.layers.size(), LaneType::channels),
        packed_(in_lanes(chain_)),
        size_(packed_.layout.size * LaneType::samples),
        memory_(arrays_of_a_block * blocks(count) * size_),
        copy_(largest_copy(packed_.chain, packed_.strips) * LaneType::samples) {
    packed_.weights = packing_.packed_layers(chain_, views(c.parameters), {}, 0, one_thread);
    const int64_t code =
        chain_.bottleneck < 0 ? 0 : size_of(chain_.layers[static_cast<size_t>(chain_.bottleneck)].output);
    for (int64_t block = 0; block < blocks(count); ++block) {
      const int64_t first = block * samples_of_a_block;
      const int64_t here = count - first < samples_of_a_block ? count - first : samples_of_a_block;
      double* kept = memory_.data() + block * arrays_of_a_block * size_;
      arrays_.push_back({packed_.layout, kept, kept + Arrays::kept_arrays * size_});
      fill(pixels, first, here, arrays_.back().values(0));
      noise_.emplace_back(code * LaneType::samples);
      if (code > 0) {
        core::to_lanes<LaneType>(BatchView<double>{noise.data(), code, 1, 0, 0}, {code, 1, 1}, first, here,
                                 noise_.back().data());
      }
      LaneType scale = LaneType::zero();
      for (int64_t i = 0; i < here * LaneType::channels; ++i) scale.value[i] = 1.0 / static_cast<double>(count);
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
    std::vector<double> weight(static_cast<size_t>(chain_.layers[layer].geometry.weights()));
    form(layer, of, weight.data(), nullptr);
    return weight;
  }

  // The gradient by the bias of the whole objective.
  std::vector<double> bias_gradient(size_t layer) const {
    std::vector<double> weight(static_cast<size_t>(chain_.layers[layer].geometry.weights()));
    std::vector<double> bias(static_cast<size_t>(chain_.layers[layer].output.channels));
    form(layer, GradientOf::constrained, weight.data(), bias.data());
    return bias;
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
      std::vector<double> u(g.size());
      // Where all of a layer lies in padding its gradient is zero, and so is the direction.
      if (g_norm > 0) {
        const double cos = cosine(layer, g);
        for (size_t i = 0; i < g.size(); ++i) u[i] = factor * (a[i] / a_norm - cos * g[i] / g_norm) / g_norm;
      }
      packed_.weights[layer].tangent_forward = packing_.packed(l, layer, forward_direction(l), u.data());
      packed_.weights[layer].tangent_backward = packing_.packed(l, layer, backward_direction(l), u.data());
    }
    for (const auto& trainer : trainers_) trainer.backward_totals(true);
  }

 private:
  using Arrays = core::BlockArrays<LaneType>;
  static constexpr int64_t arrays_of_a_block = Arrays::kept_arrays + Arrays::passing_arrays;
  static constexpr int64_t samples_of_a_block = LaneType::samples / LaneType::channels;

  static int64_t blocks(int64_t count) { return (count + samples_of_a_block - 1) / samples_of_a_block; }

  static PackedChain<double> in_lanes(const Chain& chain) {
    ChainInStrips strips = {chain, {}};
    if (LaneType::channels > 1) strips = in_channels(chain, LaneType::samples, 0);
    return {strips.chain, make_training_layout(strips.chain), {}, strips.strips};
  }

  void fill(const std::vector<double>& pixels, int64_t first, int64_t count, double* lanes) const {
    const BatchView<double> view = view_of(chain_.images, pixels);
    if constexpr (LaneType::channels > 1) {
      core::channels_to_lanes<LaneType>(view, packed_.strips.channels[0], {0, chain_.images.rows}, first, lanes);
    } else {
      core::to_lanes<LaneType>(view, chain_.images, first, count, lanes);
    }
  }

  void form(size_t layer, GradientOf of, double* weight, double* bias) const {
    const GradientTask<double> task = {static_cast<int64_t>(layer), of, weight, bias};
    for (int64_t chunk = 0; chunk < 2; ++chunk) core::layer_gradient<LaneType, Shape>(packed_, arrays_, task, chunk, 2);
  }

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
  int64_t size_;
  cpu::Scratch<double> memory_;
  cpu::Scratch<double> copy_;
  std::vector<Arrays> arrays_;
  std::vector<cpu::Scratch<double>> noise_;
  std::vector<LaneType> scales_;
  std::vector<core::BlockTrainer<LaneType, packed_channels, PairShape>> trainers_;
};
