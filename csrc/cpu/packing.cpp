#include "cpu/packing.hpp"

#include <cmath>
#include <utility>

#include "core/pack_pairs.hpp"
#include "core/pack_weights.hpp"

namespace gradcon::cpu {

template <class T>
const T* Packing<T>::packed(const ChainLayer& layer, size_t index, Direction direction, const T* weight) {
  const Contraction contraction = {layer.geometry, direction};
  const PairContraction pairs(contraction);
  const bool in_pairs = layer.is_in_pairs(direction);
  Scratch<T> target(in_pairs ? pairs.weights() : layer.geometry.weights());
  if (in_pairs) {
    portable::pack_pairs(contraction, pair_channels_, weight, target.data());
  } else {
    portable::pack_weights(contraction, most_channels_, weight, target.data());
  }
  kept_[index].push_back(std::move(target));
  return kept_[index].back().data();
}

template <class T>
LayerWeights<T> Packing<T>::packed_layer(const ChainLayer& layer, size_t index,
                                         const std::vector<ArrayView<T>>& parameters,
                                         const std::vector<ArrayView<T>>& references, bool passed_backward) {
  const auto data_of = [&](int64_t parameter) {
    return parameter < 0 ? nullptr : parameters[static_cast<size_t>(parameter)].data;
  };
  LayerWeights<T> weights;
  weights.bias = data_of(layer.bias);
  if (layer.kind == LayerKind::affine) weights.forward = data_of(layer.weight);
  if (layer.is_bilinear()) {
    const T* weight = data_of(layer.weight);
    weights.forward = packed(layer, index, forward_direction(layer), weight);
    if (passed_backward) weights.backward = packed(layer, index, backward_direction(layer), weight);
  }
  if (layer.kind == LayerKind::bottleneck) {
    const T* weight = data_of(layer.weight + 2);
    weights.log_variance_bias = data_of(layer.bias + 2);
    weights.log_variance_forward = packed(layer, index, forward_direction(layer), weight);
    if (passed_backward) weights.log_variance_backward = packed(layer, index, backward_direction(layer), weight);
  }
  if (layer.reference >= 0) {
    weights.reference = references[static_cast<size_t>(layer.reference)].data;
    weights.reference_norm = norm_of(weights.reference, layer.geometry.weights());
  }
  return weights;
}

template <class T>
std::vector<LayerWeights<T>> Packing<T>::packed_layers(const Chain& chain, const std::vector<ArrayView<T>>& parameters,
                                                       const std::vector<ArrayView<T>>& references, int64_t last,
                                                       const Threads& threads) {
  std::vector<LayerWeights<T>> layers(chain.layers.size());
  share_parts(threads, static_cast<int64_t>(layers.size()), [&](int64_t index) {
    const auto at = static_cast<size_t>(index);
    layers[at] = packed_layer(chain.layers[at], at, parameters, references, index > last);
  });
  return layers;
}

template <class T>
double norm_of(const T* data, int64_t size) {
  // Several sums side by side, which a compiler may not split one into.
  constexpr int64_t sums = 8;
  double partial[sums] = {};
  int64_t i = 0;
  for (; i + sums <= size; i += sums) {
    for (int64_t k = 0; k < sums; ++k)
      partial[k] += static_cast<double>(data[i + k]) * static_cast<double>(data[i + k]);
  }
  for (; i < size; ++i) partial[0] += static_cast<double>(data[i]) * static_cast<double>(data[i]);
  double total = 0;
  for (const double sum : partial) total += sum;
  return std::sqrt(total);
}

template class Packing<float>;
template class Packing<double>;
template double norm_of(const float* data, int64_t size);
template double norm_of(const double* data, int64_t size);

}  // namespace gradcon::cpu
