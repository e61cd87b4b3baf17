// One layer of a chain at a time, forward and backward, on values in lanes.
#pragma once

#include <algorithm>
#include <cstdint>

#include "core/chain.hpp"
#include "core/channel_lanes.hpp"
#include "core/elementwise.hpp"
#include "core/gather.hpp"
#include "core/lane_math.hpp"
#include "core/packed_chain.hpp"
#include "core/parallel_for.hpp"
#include "core/reconstruction.hpp"
#include "core/source_lane.hpp"
#include "core/strip_lanes.hpp"

namespace gradcon::GRADCON_CORE_NAMESPACE {

template <class LaneType, int MostChannels, class PairShape>
class ChainPass {
  using T = typename LaneType::Scalar;
  // The few targets of core/source_lane.hpp are one tile.
  static_assert(LaneType::channels <= 2 * MostChannels);

 public:
  // `copy` is for the sources that a contraction reads where samples are cut into strips, or in pairs.
  ChainPass(const PackedChain<T>& packed, T* copy, const ParallelFor& parallel_for)
      : packed_(packed), copy_(copy), parallel_for_(parallel_for) {}

  const Chain& chain() const { return packed_.chain; }
  int64_t layers() const { return static_cast<int64_t>(packed_.chain.layers.size()); }
  const ChainLayer& layer(int64_t index) const { return packed_.chain.layers[static_cast<size_t>(index)]; }
  const LayerWeights<T>& weights(int64_t index) const { return packed_.weights[static_cast<size_t>(index)]; }

  const ParallelFor& parallel_for() const { return parallel_for_; }

  const ChainStrips& strips() const { return packed_.strips; }
  // Of value k in lanes of channels.
  const ChannelArray& array_of(int64_t value) const { return strips().channels[static_cast<size_t>(value)]; }

  // What a contraction of a layer reads of its source: the source itself, or a copy with the rows of other strips. The
  // copy is there until the next forward pass of a layer, or another copy.
  const T* sources(int64_t index, Direction direction, const T* source) const {
    if (strips().is_one()) return source;
    if (copied_.is(index, direction, source)) return copy_;
    copied_ = {index, direction, source};
    const int64_t channels = source_channels(index, direction);
    const CutRows& cut = cut_of_source(index, direction);
    const SourceRows& wanted = strips().of(index, direction).sources;
    for_each_part(channels, cut.columns, parallel_for_, [&](const ArrayPart& part) {
      for (int64_t channel = part.channels.begin; channel < part.channels.end; ++channel) {
        const T* from = source + (channel * cut.strip_rows * cut.columns + part.columns.begin) * LaneType::samples;
        T* to = copy_ + (channel * pitch_of_copy(wanted.count * cut.columns) + part.columns.begin) * LaneType::samples;
        for (int64_t row = 0; row < wanted.count; ++row, to += cut.columns * LaneType::samples) {
          gather_row<LaneType>(cut, wanted, row, part.columns.size(), from, to);
        }
      }
    });
    return copy_;
  }

  // Positions from one channel of `sources` to the next.
  int64_t pitch_of_sources(const Contraction& contraction) const {
    const int64_t positions = contraction.source_positions();
    return strips().is_one() ? positions : pitch_of_copy(positions);
  }

  // Keeps value k, or a gradient by it, zero in rows that do not count.
  void clear_rows(int64_t value, int64_t channels, T* data) const {
    if (strips().is_one()) return;
    const CutRows& cut = strips().values[static_cast<size_t>(value)];
    for (int64_t channel = 0; channel < channels; ++channel) {
      GRADCON_CORE_NAMESPACE::clear_rows<LaneType>(cut, {0, cut.columns},
                                                   data + channel * cut.strip_rows * cut.columns * LaneType::samples);
    }
  }

  // The contraction of a bilinear layer with weights packed for the direction.
  void contract(int64_t index, Direction direction, const GatherOperands<T>& layer_operands, T* target) const {
    const ChainLayer& l = layer(index);
    const Contraction contraction = strips().contraction(chain(), index, direction);
    GatherOperands<T> operands = layer_operands;
    const bool forward = direction == forward_direction(l);
    if (l.is_in_pairs(direction)) {
      const PairContraction pairs(contraction);
      copied_ = {};
      operands.source = padded_sources(pairs, index, contraction, operands.source);
      contract(pairs, operands, target);
    } else if constexpr (LaneType::channels == 1) {
      operands.source = sources(index, direction, operands.source);
      operands.source_pitch = pitch_of_sources(contraction);
      contract<LaneType>(form_of(contraction, MostChannels), operands, target);
    } else {
      const ChannelArray& targets = array_of(forward ? index + 1 : index);
      operands.source_step = array_of(forward ? index : index + 1).step;
      operands.target_step = targets.step;
      if (strips().of(index, direction).sums_sources) {
        contract<SourceLane<T, LaneType::samples>>(contraction, operands, target);
        if (targets.is_dense()) clear_behind<LaneType>(targets, target);
      } else {
        contract<LaneType>(contraction, operands, target);
      }
    }
    clear_rows(forward ? index + 1 : index, (forward ? l.output : l.input).channels, target);
  }

  // All layers but a bottleneck. Source and target may be the same for a layer that writes over its input.
  void forward(int64_t index, const T* source, T* target) const {
    const ChainLayer& l = layer(index);
    const LayerWeights<T>& w = weights(index);
    copied_ = {};
    switch (l.kind) {
      case LayerKind::conv:
      case LayerKind::conv_transposed:
      case LayerKind::linear:
        return contract(index, forward_direction(l), {source, w.forward, w.bias}, target);
      case LayerKind::affine:
        scale_channels<LaneType>(l.input, w.forward, w.bias, source, target);
        return clear_rows(index + 1, l.output.channels, target);
      case LayerKind::upsample:
        return upsample<LaneType>(l, source, target);
      case LayerKind::bottleneck:
      case LayerKind::reshape:
        return;
      default:
        by_positions(l,
                     [&](const ChainLayer& some, int64_t at) { activate<LaneType>(some, source + at, target + at); });
        if constexpr (LaneType::channels > 1) {
          // Also where what is not finite has made NaN of them.
          return clear_behind<LaneType>(array_of(index + 1), target);
        }
        // Of zero, most activations are zero.
        if (l.kind == LayerKind::sigmoid) clear_rows(index + 1, l.output.channels, target);
    }
  }

  // The mean goes to `mean`, which is the code, and the logarithm of the variance to `log_variance`.
  void forward_bottleneck(int64_t index, const T* source, T* mean, T* log_variance) const {
    const ChainLayer& l = layer(index);
    const LayerWeights<T>& w = weights(index);
    contract(index, forward_direction(l), {source, w.forward, w.bias}, mean);
    contract(index, forward_direction(l), {source, w.log_variance_forward, w.log_variance_bias}, log_variance);
  }

  // From the gradient by what the layer returned to that by what it was given. The values are what it was given and
  // what it returned. Both gradients may be the same memory for a layer
  // that is neither bilinear nor an upsampling.
  void backward(int64_t index, const T* input, const T* output, const T* grad_output, T* grad_input) const {
    const ChainLayer& l = layer(index);
    const LayerWeights<T>& w = weights(index);
    switch (l.kind) {
      case LayerKind::conv:
      case LayerKind::conv_transposed:
      case LayerKind::linear:
        return contract(index, backward_direction(l), {grad_output, w.backward, nullptr}, grad_input);
      case LayerKind::affine:
        return scale_channels<LaneType>(l.input, w.forward, static_cast<const T*>(nullptr), grad_output, grad_input);
      case LayerKind::upsample:
        return upsample_backward<LaneType>(l, grad_output, grad_input);
      case LayerKind::bottleneck:
      case LayerKind::reshape:
        return;
      default:
        return by_positions(l, [&](const ChainLayer& some, int64_t at) {
          const T* value = derives_from_input(l.kind) ? input : output;
          activate_backward<LaneType>(some, value + at, grad_output + at, grad_input + at);
        });
    }
  }

  // From the gradients by mean and log variance.
  void backward_bottleneck(int64_t index, const T* grad_mean, const T* grad_log_variance, T* grad_input) const {
    const ChainLayer& l = layer(index);
    const LayerWeights<T>& w = weights(index);
    contract(index, backward_direction(l), {grad_mean, w.backward, nullptr}, grad_input);
    contract(index, backward_direction(l), {grad_log_variance, w.log_variance_backward, nullptr, true}, grad_input);
  }

 private:
  int64_t source_channels(int64_t index, Direction direction) const {
    return direction == forward_direction(layer(index)) ? layer(index).input.channels : layer(index).output.channels;
  }

  const CutRows& cut_of_source(int64_t index, Direction direction) const {
    const bool forward = direction == forward_direction(layer(index));
    return strips().values[static_cast<size_t>(forward ? index : index + 1)];
  }

  // A copy of the sources with zeros around them.
  const T* padded_sources(const PairContraction& pairs, int64_t index, const Contraction& contraction,
                          const T* source) const {
    const bool whole = strips().is_one();
    const int64_t rows = contraction.source_rows();
    const int64_t pitch = contraction.source_columns();
    const Border border(pairs.columns, pitch);
    const int64_t channel_size =
        (whole ? rows : cut_of_source(index, contraction.direction).strip_rows) * pitch * LaneType::samples;
    const int64_t channels = source_channels(index, contraction.direction);
    for_each_part(channels, pairs.columns.sources, parallel_for_, [&](const ArrayPart& part) {
      const BorderedRange columns(border, part.columns);
      for (int64_t channel = part.channels.begin; channel < part.channels.end; ++channel) {
        const T* from = source + channel * channel_size + columns.first * LaneType::samples;
        T* to = copy_ + (channel * pairs.source_positions() + part.columns.begin) * LaneType::samples;
        for (int64_t at = 0; at < pairs.rows.sources; ++at, to += pairs.columns.sources * LaneType::samples) {
          const int64_t row = at + pairs.rows.first_source;
          if (row < 0 || row >= rows) {
            fill_zeros<LaneType>(to, part.columns.size());
            continue;
          }
          fill_zeros<LaneType>(to, columns.before);
          T* inside = to + columns.before * LaneType::samples;
          if (whole) {
            copy_shifted<0, LaneType>(from + row * pitch * LaneType::samples, columns.inside, inside);
          } else {
            gather_row<LaneType>(cut_of_source(index, contraction.direction),
                                 strips().of(index, contraction.direction).sources, row, columns.inside, from, inside);
          }
          fill_zeros<LaneType>(inside + columns.inside * LaneType::samples, columns.after);
        }
      }
    });
    return copy_;
  }

  template <class Products>
  void contract(const ContractionForm& contraction, const GatherOperands<T>& operands, T* target) const {
    const Geometry& geometry = contraction.geometry;
    const EvenTiles tiles(contraction.targets_per_group(), channels_of_a_tile<Products, MostChannels>);
    const TargetAxes axes = {geometry.groups * tiles.tiles, contraction.target_rows(), contraction.target_columns_of(0),
                             columns_of_a_tile<Products, MostChannels>(contraction)};
    const int64_t sources = contraction.source_size() / Products::channels;
    share_targets(axes, sources, geometry.weights() * Products::weights, [&](int64_t tile, const TargetRanges& ranges) {
      gather<Products, MostChannels>(contraction, tile / tiles.tiles, tile % tiles.tiles, ranges, operands, target);
    });
  }

  void contract(const PairContraction& contraction, const GatherOperands<T>& operands, T* target) const {
    const EvenTiles tiles(contraction.targets_per_group, PairShape::channels);
    const TargetAxes axes = {contraction.groups * tiles.tiles, contraction.pairs_of_rows(),
                             contraction.columns.targets_of(0), 2 * PairShape::pairs};
    share_targets(axes, contraction.source_size(), contraction.weights(),
                  [&](int64_t tile, const TargetRanges& ranges) {
                    gather_pairs<LaneType, PairShape::pairs, PairShape::channels>(
                        contraction, tile / tiles.tiles, tile % tiles.tiles, ranges, operands, target);
                  });
  }

  // Calls function(tile, ranges) for all targets.
  template <class Function>
  void share_targets(const TargetAxes& axes, int64_t sources, int64_t weights, const Function& function) const {
    const TargetParts parts(axes, sources * static_cast<int64_t>(sizeof(LaneType)),
                            weights * static_cast<int64_t>(sizeof(T)), parallel_for_.is_serial());
    parallel_for_(parts.count(), [&](int64_t part) { parts.visit(part, function); });
  }

  // What takes longer than to wake a thread.
  static constexpr int64_t numbers_worth_sharing = 1 << 16;

  // Calls function(layer of some positions, where their first number is) for all positions of a layer without weights.
  template <class Function>
  void by_positions(const ChainLayer& layer, const Function& function) const {
    const Extents& all = layer.input;
    if (parallel_for_.is_serial() || size_of(all) * LaneType::samples < numbers_worth_sharing)
      return function(layer, 0);
    for_each_part(all.channels, all.columns, parallel_for_, [&](const ArrayPart& part) {
      ChainLayer some = layer;
      some.input = {1, 1, part.columns.size()};
      for (int64_t row = part.channels.begin * all.rows; row < part.channels.end * all.rows; ++row) {
        function(some, (row * all.columns + part.columns.begin) * LaneType::samples);
      }
    });
  }

  // What the copy is of: an alignment and the backward pass behind it read the same.
  struct Copied {
    int64_t index = -1;
    Direction direction = Direction::to_inner;
    const T* source = nullptr;

    bool is(int64_t of_index, Direction of_direction, const T* of_source) const {
      return index == of_index && direction == of_direction && source == of_source;
    }
  };

  const PackedChain<T>& packed_;
  T* copy_;
  mutable Copied copied_;
  ParallelFor parallel_for_;
};

}  // namespace gradcon::GRADCON_CORE_NAMESPACE
