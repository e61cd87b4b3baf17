#include "cpu/packing.hpp"

#include <cmath>
#include <utility>

#include "core/channel_lanes.hpp"
#include "core/pack_pairs.hpp"
#include "core/pack_weights.hpp"

namespace gradcon::cpu {

template <class T>
T* Packing<T>::keep(size_t index, int64_t size) {
  kept_[index].emplace_back(size);
  return kept_[index].back().data();
}

template <class T>
const T* Packing<T>::packed_vectors(const Contraction& contraction, size_t index, const T* weight) {
  const int64_t lanes = channels_of_a_vector_;
  const int64_t sources = contraction.sources_per_group();
  const int64_t targets = contraction.targets_per_group();
  const int64_t taps = contraction.geometry.taps();
  if (sums_sources(contraction, lanes)) {
    T* packed = keep(index, taps * vectors_for(sources, lanes) * lanes * targets);
    portable::pack_source_vectors(contraction, lanes, weight, packed);
    return packed;
  }
  T* packed = keep(index, taps * sources * vectors_for(targets, lanes) * lanes);
  portable::pack_vectors(contraction, lanes, portable::vectors_of_a_tile, weight, packed);
  return packed;
}

template <class T>
const T* Packing<T>::packed(const ChainLayer& layer, size_t index, Direction direction, const T* weight) {
  const Contraction contraction = {layer.geometry, direction};
  if (channels_of_a_vector_ > 1) return packed_vectors(contraction, index, weight);
  if (layer.is_in_pairs(direction)) {
    T* target = keep(index, PairContraction(contraction).weights());
    portable::pack_pairs(contraction, pair_channels_, weight, target);
    return target;
  }
  T* target = keep(index, layer.geometry.weights());
  portable::pack_weights(contraction, most_channels_, weight, target);
  return target;
}

// As they are, or of each number a vector of rows.
template <class T>
const T* Packing<T>::packed_rows(size_t index, int64_t rows, int64_t numbers, const T* data) {
  if (channels_of_a_vector_ == 1 || data == nullptr) return data;
  T* target = keep(index, vectors_for(rows, channels_of_a_vector_) * channels_of_a_vector_ * numbers);
  portable::pack_rows(rows, numbers, channels_of_a_vector_, data, target);
  return target;
}

template <class T>
LayerWeights<T> Packing<T>::packed_layer(const ChainLayer& layer, size_t index,
                                         const std::vector<ArrayView<T>>& parameters,
                                         const std::vector<ArrayView<T>>& references, bool passed_backward) {
  const auto data_of = [&](int64_t parameter) {
    return parameter < 0 ? nullptr : parameters[static_cast<size_t>(parameter)].data;
  };
  LayerWeights<T> weights;
  weights.bias = packed_rows(index, layer.output.channels, 1, data_of(layer.bias));
  if (layer.kind == LayerKind::affine) {
    weights.forward = packed_rows(index, layer.output.channels, 1, data_of(layer.weight));
  }
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
  if (layer.reference >= 0 && !references.empty()) {
    const T* reference = references[static_cast<size_t>(layer.reference)].data;
    const int64_t inner_channels = layer.geometry.inner_channels;
    weights.reference_norm = norm_of(reference, layer.geometry.weights());
    weights.reference = packed_rows(index, inner_channels, layer.geometry.weights() / inner_channels, reference);
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
