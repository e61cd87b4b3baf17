#include "cpu/channel_cost.hpp"

#include <algorithm>

namespace gradcon::cpu {
namespace {

// Vectors of all weights and references that a score reads.
int64_t weights_of(const ChainInStrips& channels) {
  int64_t weights = 0;
  for (size_t index = 0; index < channels.chain.layers.size(); ++index) {
    const ChainLayer& layer = channels.chain.layers[index];
    if (!layer.is_bilinear()) continue;
    const bool passed_backward = static_cast<int64_t>(index) > channels.chain.first_constrained;
    const int64_t times = 1 + (passed_backward ? 1 : 0) + (layer.reference >= 0 ? 1 : 0);
    weights += times * layer.geometry.weights();
  }
  return weights;
}

}  // namespace

double products_of_channels(const ChainInStrips& channels, int64_t batch) {
  constexpr double cost_of_a_weight = 6;
  constexpr double cost_of_a_far_weight = 45;
  constexpr double cost_of_a_vector_of_pixels = 300;
  constexpr int64_t weights_kept_near = 24 * 1024;
  const int64_t weights = weights_of(channels);
  const int64_t far = std::max<int64_t>(weights - weights_kept_near, 0);
  const double repeated = static_cast<double>(batch - 1) / static_cast<double>(batch);
  return products_of_a_lane(channels) + cost_of_a_weight * static_cast<double>(weights) +
         cost_of_a_far_weight * repeated * static_cast<double>(far) +
         cost_of_a_vector_of_pixels * static_cast<double>(size_of(channels.chain.images));
}

}  // namespace gradcon::cpu
