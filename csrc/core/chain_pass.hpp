// One layer of a chain at a time, forward and backward, on values in lanes.
#pragma once

#include <algorithm>
#include <cstdint>

#include "core/chain.hpp"
#include "core/elementwise.hpp"
#include "core/gather.hpp"
#include "core/lane_math.hpp"
#include "core/packed_chain.hpp"
#include "core/reconstruction.hpp"
#include "core/splitter.hpp"

namespace gradcon::GRADCON_CORE_NAMESPACE {

template <class LaneType, int MostChannels>
class ChainPass {
  using T = typename LaneType::Scalar;

 public:
  ChainPass(const PackedChain<T>& packed, const Splitter& splitter) : packed_(packed), splitter_(splitter) {}

  const Chain& chain() const { return packed_.chain; }
  int64_t layers() const { return static_cast<int64_t>(packed_.chain.layers.size()); }
  const ChainLayer& layer(int64_t index) const { return packed_.chain.layers[static_cast<size_t>(index)]; }
  const LayerWeights<T>& weights(int64_t index) const { return packed_.weights[static_cast<size_t>(index)]; }
  const Splitter& splitter() const { return splitter_; }

  // The contraction of a bilinear layer with weights packed for the direction.
  void contract(const ChainLayer& layer, Direction direction, const GatherOperands<T>& operands, T* target) const {
    const Contraction contraction = {layer.geometry, direction};
    const EvenTiles tiles(contraction.targets_per_group(), MostChannels);
    // A layer of few channels is split by rows as well, so that threads find work; in others that would only bring the
    // weights of a tile to several cores.
    const bool few = layer.geometry.groups * tiles.tiles < 4;
    const int64_t strips = few && !splitter_.is_serial() ? std::min<int64_t>(contraction.target_rows(), 4) : 1;
    splitter_.for_each(layer.geometry.groups * tiles.tiles * strips, [&](int64_t part) {
      const int64_t strip = part % strips;
      const int64_t tile = part / strips;
      const Rows rows = {strip * contraction.target_rows() / strips, (strip + 1) * contraction.target_rows() / strips};
      gather<LaneType, MostChannels>(contraction, tile / tiles.tiles, tile % tiles.tiles, rows, operands, target);
    });
  }

  // All layers but a bottleneck. Source and target may be the same for a layer that writes over its input.
  void forward(int64_t index, const T* source, T* target) const {
    const ChainLayer& l = layer(index);
    const LayerWeights<T>& w = weights(index);
    switch (l.kind) {
      case Kind::conv:
      case Kind::conv_transposed:
      case Kind::linear:
        return contract(l, forward_direction(l), {source, w.forward, w.bias}, target);
      case Kind::affine:
        return scale_channels<LaneType>(l.input, w.forward, w.bias, source, target);
      case Kind::upsample:
        return upsample<LaneType>(l, source, target);
      case Kind::bottleneck:
      case Kind::reshape:
        return;
      default:
        return activate<LaneType>(l, source, target);
    }
  }

  // The mean goes to `mean`, which is the code, and the logarithm of the variance to `log_variance`.
  void forward_bottleneck(int64_t index, const T* source, T* mean, T* log_variance) const {
    const ChainLayer& l = layer(index);
    const LayerWeights<T>& w = weights(index);
    contract(l, forward_direction(l), {source, w.forward, w.bias}, mean);
    contract(l, forward_direction(l), {source, w.second_forward, w.second_bias}, log_variance);
  }

  // From the gradient by what the layer returned to that by what it was given. The values are what it was given and
  // what it returned. Both gradients may be the same memory for a layer
  // that is neither bilinear nor an upsampling.
  void backward(int64_t index, const T* input, const T* output, const T* grad_output, T* grad_input) const {
    const ChainLayer& l = layer(index);
    const LayerWeights<T>& w = weights(index);
    switch (l.kind) {
      case Kind::conv:
      case Kind::conv_transposed:
      case Kind::linear:
        return contract(l, backward_direction(l), {grad_output, w.backward, nullptr}, grad_input);
      case Kind::affine:
        return scale_channels<LaneType>(l.input, w.forward, static_cast<const T*>(nullptr), grad_output, grad_input);
      case Kind::upsample:
        return upsample_backward<LaneType>(l, grad_output, grad_input);
      case Kind::bottleneck:
      case Kind::reshape:
        return;
      default:
        return activate_backward<LaneType>(l, derives_from_input(l.kind) ? input : output, grad_output, grad_input);
    }
  }

  // From the gradients by mean and log variance.
  void backward_bottleneck(int64_t index, const T* grad_mean, const T* grad_log_variance, T* grad_input) const {
    const ChainLayer& l = layer(index);
    const LayerWeights<T>& w = weights(index);
    contract(l, backward_direction(l), {grad_mean, w.backward, nullptr}, grad_input);
    contract(l, backward_direction(l), {grad_log_variance, w.second_backward, nullptr, true}, grad_input);
  }

 private:
  const PackedChain<T>& packed_;
  Splitter splitter_;
};

}  // namespace gradcon::GRADCON_CORE_NAMESPACE
