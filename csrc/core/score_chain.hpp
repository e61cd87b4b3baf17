// The complete score of a block of samples: forward, loss, backward to the first constrained layer, alignment.
#pragma once

#include <cmath>
#include <cstdint>
#include <type_traits>

#include "core/alignment_in_double.hpp"
#include "core/chain_pass.hpp"
#include "core/channel_lanes.hpp"
#include "core/conv_alignment.hpp"
#include "core/cosine.hpp"
#include "core/from_lanes.hpp"
#include "core/linear_alignment.hpp"

namespace gradcon::GRADCON_CORE_NAMESPACE {

template <class LaneType, class Shape, int MostChannels, class PairShape>
class BlockScorer {
  using T = typename LaneType::Scalar;

 public:
  BlockScorer(const PackedChain<T>& packed, T* workspace, const ParallelFor& parallel_for)
      : pass_(packed, workspace + packed.layout.size * LaneType::samples, parallel_for),
        layout_(packed.layout),
        workspace_(workspace),
        sample_sum_(sum_over_lanes(packed.strips)) {}

  // The images, to be filled before `score`.
  T* images() const { return value(0); }

  // Samples [first, first + count).
  void score(int64_t first, int64_t count, const ScoreOutputs<T>& outputs) {
    Sum<LaneType> reconstruction;
    Sum<LaneType> latent;
    for (int64_t index = 0; index < pass_.layers(); ++index) forward(index, latent);
    reconstruction_loss(pass_.chain(), value(pass_.layers()), images(), LaneType::broadcast(1), grad(),
                        pass_.parallel_for(), reconstruction);
    sample_sum_.join(reconstruction);
    for (int64_t sample = 0; sample < count; ++sample) {
      outputs.reconstruction[first + sample] = static_cast<T>(reconstruction.value[sample]);
      outputs.latent[first + sample] = static_cast<T>(latent.value[sample]);
    }
    if (outputs.code != nullptr) write_code(first, count, outputs.code);
    const int64_t first_constrained = pass_.chain().first_constrained;
    for (int64_t index = pass_.layers() - 1; index >= first_constrained; --index) {
      if (pass_.layer(index).reference >= 0) align(index, first, count, outputs);
      if (index > first_constrained) backward(index);
    }
  }

 private:
  using SampleSum = std::conditional_t<LaneType::channels == 1, StripSum<LaneType>, ChannelSum<LaneType>>;

  static SampleSum sum_over_lanes(const ChainStrips& strips) {
    if constexpr (LaneType::channels == 1) {
      return {LaneType::samples / strips.count};
    } else {
      return {};
    }
  }

  T* in_lanes(int64_t offset) const { return workspace_ + offset * LaneType::samples; }
  T* value(int64_t index) const { return in_lanes(layout_.values[static_cast<size_t>(index)]); }
  // The gradient by the output of the layer at hand.
  T* grad() const { return in_lanes(layout_.turns[turn_]); }

  void forward(int64_t index, Sum<LaneType>& latent) const {
    if (index != pass_.chain().bottleneck) return pass_.forward(index, value(index), value(index + 1));
    T* mean = in_lanes(layout_.mean);
    T* log_variance = in_lanes(layout_.log_variance);
    pass_.forward_bottleneck(index, value(index), mean, log_variance);
    divergence<LaneType>(pass_.chain().images, size_of(pass_.layer(index).output), mean, log_variance, latent);
  }

  void write_code(int64_t first, int64_t count, T* code) const {
    const int64_t index = pass_.chain().first_constrained;
    const Extents& extents = pass_.layer(index).input;
    if constexpr (LaneType::channels > 1) {
      const ChannelArray& array = pass_.array_of(index);
      return from_channels<LaneType>(array, value(index), code + first * size_of(array.extents));
    }
    if (pass_.strips().is_one()) {
      return from_lanes<LaneType>(extents, value(index), count, code + first * size_of(extents));
    }
    const CutRows& cut = pass_.strips().values[static_cast<size_t>(index)];
    const int64_t size = extents.channels * cut.grid_rows * cut.columns;
    from_strips<LaneType>(cut, extents.channels, value(index), count, code + first * size);
  }

  void backward(int64_t index) {
    const ChainLayer& layer = pass_.layer(index);
    const bool in_place = layer.passes_gradient_in_place();
    T* next = in_lanes(layout_.turns[in_place ? turn_ : 1 - turn_]);
    if (layer.kind == LayerKind::bottleneck) {
      T* log_variance = in_lanes(layout_.log_variance);
      divergence_backward<LaneType>(pass_.chain().images, size_of(layer.output), value(index + 1), value(index + 1),
                                    LaneType::broadcast(1), log_variance, grad());
      pass_.backward_bottleneck(index, grad(), log_variance, next);
    } else {
      pass_.backward(index, value(index), value(index + 1), grad(), next);
    }
    if (!in_place) turn_ = 1 - turn_;
  }

  // The two arrays of a constrained layer's weight gradient.
  TileOperands<T> operands_of(int64_t index) const {
    const ChainLayer& l = pass_.layer(index);
    const bool transposed = l.kind == LayerKind::conv_transposed;
    const T* outer = pass_.sources(index, Direction::to_inner, transposed ? grad() : value(index));
    const int64_t pitch = pass_.pitch_of_sources({l.geometry, Direction::to_inner});
    const int64_t step = LaneType::channels == 1 ? 0 : pass_.array_of(transposed ? index + 1 : index).step;
    return {transposed ? value(index) : grad(), outer, pitch, 0, step};
  }

  void align(int64_t index, int64_t first, int64_t count, const ScoreOutputs<T>& outputs) const {
    const ChainLayer& l = pass_.layer(index);
    const LayerWeights<T>& w = pass_.weights(index);
    const TileOperands<T> operands = operands_of(index);
    Sum<LaneType> dots[alignment_chunks];
    Alignment<LaneType> alignment = align_in_lanes(l, operands, {w.reference, 1}, dots);
    align_lost_in_double(l, operands, w, count, alignment);
    for (int64_t sample = 0; sample < count; ++sample) {
      outputs.cosine[(first + sample) * outputs.references + l.reference] = static_cast<T>(
          cosine_of(dots[0].value[sample], std::sqrt(alignment.sq_norm.value[sample]), w.reference_norm));
    }
  }

  Alignment<LaneType> align_in_lanes(const ChainLayer& layer, const TileOperands<T>& operands,
                                     const References<T>& references, Sum<LaneType>* dots) const {
    if (layer.kind != LayerKind::linear) {
      return conv_alignment_in_chunks<LaneType, Shape>(layer.geometry, operands, references, sample_sum_,
                                                       pass_.parallel_for(), dots);
    }
    Alignment<LaneType> alignment = {dots, {}};
    linear_alignment<LaneType>(size_of(layer.input), size_of(layer.output), operands.outer, operands.inner, references,
                               alignment);
    return alignment;
  }

  // Once more, for those samples whose products have left the range of the lanes.
  void align_lost_in_double(const ChainLayer& layer, const TileOperands<T>& operands, const LayerWeights<T>& weights,
                            int64_t count, Alignment<LaneType>& alignment) const {
    const Geometry& geometry = layer.geometry;
    Sum<LaneType>& dot = alignment.dots[0];
    Sum<LaneType>& sq_norm = alignment.sq_norm;
    bool lost[LaneType::samples] = {};
    bool any_lost = false;
    for (int64_t sample = 0; sample < count; ++sample) {
      lost[sample] = !products_in_range<T>(dot.value[sample], sq_norm.value[sample], weights.reference_norm) &&
                     !all_zero(operands.inner + sample, geometry.inner_channels, geometry.inner_positions(),
                               geometry.inner_positions()) &&
                     !outer_is_zero(layer, operands, sample);
      any_lost = any_lost || lost[sample];
    }
    if (!any_lost) return;
    Sum<LaneType> wide_dot;
    Sum<LaneType> wide_sq_norm;
    align_in_double<LaneType>(geometry, operands, weights.reference, wide_dot, wide_sq_norm, sample_sum_);
    sample_sum_.join(wide_dot);
    sample_sum_.join(wide_sq_norm);
    for (int64_t sample = 0; sample < count; ++sample) {
      if (!lost[sample]) continue;
      dot.value[sample] = wide_dot.value[sample];
      sq_norm.value[sample] = wide_sq_norm.value[sample];
    }
  }

  bool outer_is_zero(const ChainLayer& layer, const TileOperands<T>& operands, int64_t sample) const {
    const Geometry& geometry = layer.geometry;
    if constexpr (LaneType::channels > 1) {
      const bool transposed = layer.kind == LayerKind::conv_transposed;
      return all_zero(operands.outer, 1, size_of(transposed ? layer.output : layer.input), 0);
    }
    return all_zero(operands.outer + sample, geometry.outer_channels, geometry.outer_positions(),
                    operands.pitch_of_outer(geometry));
  }

  // Whether all numbers of a sample are zero, in channels that are `pitch` positions apart.
  bool all_zero(const T* sample, int64_t channels, int64_t positions, int64_t pitch) const {
    const int64_t numbers = positions * (LaneType::samples / sample_sum_.samples);
    for (int64_t channel = 0; channel < channels; ++channel) {
      if (!GRADCON_CORE_NAMESPACE::all_zero(sample + channel * pitch * LaneType::samples, numbers, sample_sum_.samples))
        return false;
    }
    return true;
  }

  ChainPass<LaneType, MostChannels, PairShape> pass_;
  const Layout& layout_;
  T* workspace_;
  SampleSum sample_sum_;
  int turn_ = 0;
};

}  // namespace gradcon::GRADCON_CORE_NAMESPACE
