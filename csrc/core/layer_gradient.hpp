// The gradients of a batch by the weight and the bias of one layer.
#pragma once

#include <cstdint>
#include <vector>

#include "core/batch_gradient.hpp"
#include "core/channel_lanes.hpp"
#include "core/lane_array.hpp"
#include "core/packed_chain.hpp"
#include "core/sum.hpp"
#include "core/train_chain.hpp"

namespace gradcon::GRADCON_CORE_NAMESPACE {

// The gradient by the output of one block, in lanes.
template <class T>
struct BlockGradient {
  const T* begin;
};

// Sums over positions and samples, one for each channel.
template <class LaneType, class T = typename LaneType::Scalar>
inline void bias_gradient(const Extents& extents, const std::vector<BlockGradient<T>>& grads, T* gradient) {
  const int64_t size = extents.rows * extents.columns * LaneType::samples;
  for (int64_t channel = 0; channel < extents.channels; ++channel) {
    Sum<LaneType> sum;
    for (const BlockGradient<T>& grad : grads) {
      for (int64_t i = channel * size; i < (channel + 1) * size; i += LaneType::samples) {
        sum.add_within_tile(LaneType::load(grad.begin + i));
      }
      sum.end_tile();
    }
    double total = 0;
    for (const double value : sum.value) total += value;
    gradient[channel] = static_cast<T>(total);
  }
}

// The same in lanes of channels.
template <class LaneType, class T = typename LaneType::Scalar>
inline void bias_gradient(const ChannelArray& array, const std::vector<BlockGradient<T>>& grads, T* gradient) {
  constexpr int64_t lanes = LaneType::samples;
  const int64_t channels = array.extents.channels;
  // A dense array is a row of vectors, of which as many as it has channels take all phases of them in turn.
  const int64_t rows = array.is_dense() ? 1 : vectors_for(channels, lanes);
  const int64_t vectors = array.is_dense() ? vectors_for(size_of(array.extents), lanes) : array.positions();
  const int64_t phases = array.is_dense() ? channels : 1;
  std::vector<double> totals(static_cast<size_t>(vectors_for(channels, lanes) * lanes));
  for (int64_t row = 0; row < rows; ++row) {
    LaneArray<Sum<LaneType>> sums(phases);
    for (const BlockGradient<T>& grad : grads) {
      const T* begin = grad.begin + row * vectors * lanes;
      for (int64_t vector = 0; vector < vectors; ++vector) {
        sums.begin()[vector % phases].add_within_tile(LaneType::load(begin + vector * lanes));
      }
      for (Sum<LaneType>& sum : sums) sum.end_tile();
    }
    for (int64_t i = 0; i < phases * lanes; ++i) {
      const int64_t channel = array.is_dense() ? i % channels : row * lanes + i;
      totals[static_cast<size_t>(channel)] += sums.begin()[i / lanes].value[i % lanes];
    }
  }
  for (int64_t channel = 0; channel < channels; ++channel) {
    gradient[channel] = static_cast<T>(totals[static_cast<size_t>(channel)]);
  }
}

// What the gradients of one layer are formed of.
template <class LaneType, class T = typename LaneType::Scalar>
class LayerGradient {
 public:
  LayerGradient(const PackedChain<T>& packed, const std::vector<BlockArrays<LaneType>>& blocks,
                const GradientTask<T>& task)
      : packed_(packed), layer_(packed.chain.layers[static_cast<size_t>(task.layer)]), task_(task) {
    for (const BlockArrays<LaneType>& block : blocks) {
      const T* grad = task.of == GradientOf::primal         ? block.adjoints(task.layer + 1)
                      : task.of == GradientOf::log_variance ? block.log_variance()
                                                            : block.totals(task.layer + 1);
      grads_.push_back({grad});
      add_pair(block.values(task.layer), grad);
      if (task.of == GradientOf::constrained && task.layer > packed.chain.first_constrained) {
        add_pair(block.tangents(task.layer), block.adjoints(task.layer + 1));
      }
    }
  }

  // One of `chunks` pieces of that by the weight.
  template <class Shape>
  void of_weight(int64_t chunk, int64_t chunks) const {
    const int64_t inner_channels = LaneType::channels == 1 ? 0 : array_of(is_transposed() ? 0 : 1).extents.channels;
    weight_gradient<LaneType, Shape>(layer_.geometry, pairs_, chunk, chunks, {task_.weight, inner_channels});
  }

  void of_bias() const {
    if constexpr (LaneType::channels == 1) {
      bias_gradient<LaneType>(layer_.output, grads_, task_.bias);
    } else {
      bias_gradient<LaneType>(array_of(1), grads_, task_.bias);
    }
  }

 private:
  bool is_transposed() const { return layer_.kind == LayerKind::conv_transposed; }

  // What the layer is given, or what it returns.
  const ChannelArray& array_of(int64_t behind) const {
    return packed_.strips.channels[static_cast<size_t>(task_.layer + behind)];
  }

  void add_pair(const T* value, const T* grad) {
    const int64_t step = LaneType::channels == 1 ? 0 : array_of(is_transposed() ? 1 : 0).step;
    pairs_.push_back({is_transposed() ? value : grad, is_transposed() ? grad : value, 0, 0, step});
  }

  const PackedChain<T>& packed_;
  const ChainLayer& layer_;
  const GradientTask<T>& task_;
  std::vector<TileOperands<T>> pairs_;
  std::vector<BlockGradient<T>> grads_;
};

// One of `chunks` pieces of the gradient of a layer's weight, and with the first that of its bias.
template <class LaneType, class Shape, class T = typename LaneType::Scalar>
inline void layer_gradient(const PackedChain<T>& packed, const std::vector<BlockArrays<LaneType>>& blocks,
                           const GradientTask<T>& task, int64_t chunk, int64_t chunks) {
  const LayerGradient<LaneType> gradient(packed, blocks, task);
  gradient.template of_weight<Shape>(chunk, chunks);
  if (task.bias != nullptr && chunk == 0) gradient.of_bias();
}

}  // namespace gradcon::GRADCON_CORE_NAMESPACE
