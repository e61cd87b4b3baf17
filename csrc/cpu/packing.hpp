// Weights packed for the kernels in use.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/chain.hpp"
#include "core/contraction.hpp"
#include "core/packed_chain.hpp"
#include "cpu/scratch.hpp"
#include "cpu/threads.hpp"

namespace gradcon::cpu {

// Keeps what it has packed. Different layers may be packed by different threads.
template <class T>
class Packing {
 public:
  // For tiles of so many channels, and of so many in pairs; or for vectors of so many channels.
  Packing(int most_channels, int pair_channels, size_t layers, int64_t channels_of_a_vector = 1)
      : most_channels_(most_channels),
        pair_channels_(pair_channels),
        channels_of_a_vector_(channels_of_a_vector),
        kept_(layers) {}

  const T* packed(const ChainLayer& layer, size_t index, Direction direction, const T* weight);

  // For a backward pass that ends at the output of layer `last`; without references, if nothing is aligned with them.
  // Biases and references are used where they are, unless it is for vectors of channels.
  std::vector<LayerWeights<T>> packed_layers(const Chain& chain, const std::vector<ArrayView<T>>& parameters,
                                             const std::vector<ArrayView<T>>& references, int64_t last,
                                             const Threads& threads);

 private:
  T* keep(size_t index, int64_t size);

  const T* packed_vectors(const Contraction& contraction, size_t index, const T* weight);

  const T* packed_rows(size_t index, int64_t rows, int64_t numbers, const T* data);

  LayerWeights<T> packed_layer(const ChainLayer& layer, size_t index, const std::vector<ArrayView<T>>& parameters,
                               const std::vector<ArrayView<T>>& references, bool passed_backward);

  int most_channels_;
  int pair_channels_;
  int64_t channels_of_a_vector_;
  std::vector<std::vector<Scratch<T>>> kept_;
};

template <class T>
double norm_of(const T* data, int64_t size);

}  // namespace gradcon::cpu
