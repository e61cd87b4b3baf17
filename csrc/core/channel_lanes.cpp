// What a vector of channels has of each layer of a chain.
#include "core/channel_lanes.hpp"

#include <algorithm>

namespace gradcon {
namespace {

Geometry with_inner_in_vectors(Geometry geometry, int64_t lanes) {
  geometry.inner_channels = vectors_for(geometry.inner_channels, lanes);
  return geometry;
}

Geometry with_outer_in_vectors(Geometry geometry, int64_t lanes) {
  geometry.outer_channels = vectors_for(geometry.outer_channels, lanes);
  return geometry;
}

StripContraction in_vectors(const Geometry& geometry, Direction direction, int64_t lanes) {
  const bool sums = sums_sources({geometry, direction}, lanes);
  const bool of_inner = (direction == Direction::to_inner) != sums;
  return {of_inner ? with_inner_in_vectors(geometry, lanes) : with_outer_in_vectors(geometry, lanes), {}, sums};
}

// Finds the values whose few channels need no vector of their own at each position: those that are read one by one, and
// written so. What is between two activations, or compared by the loss, is alike.
class DenseValues {
 public:
  DenseValues(const Chain& chain, int64_t lanes, int64_t last) : is_dense_(chain.layers.size() + 1) {
    is_dense_[0] = 2 * chain.images.channels < lanes;
    for (size_t index = 0; index < chain.layers.size(); ++index) {
      is_dense_[index + 1] = 2 * chain.layers[index].output.channels < lanes;
    }
    for (size_t index = 0; index < chain.layers.size(); ++index) {
      const ChainLayer& layer = chain.layers[index];
      if (layer.is_activation()) continue;
      const bool transposed = layer.kind == LayerKind::conv_transposed;
      is_dense_[transposed ? index : index + 1] = false;
      const bool goes_outward = transposed || static_cast<int64_t>(index) > last;
      if (!layer.is_bilinear() || sums_sources({layer.geometry, Direction::to_inner}, lanes) ||
          (goes_outward && !sums_sources({layer.geometry, Direction::to_outer}, lanes))) {
        is_dense_[transposed ? index + 1 : index] = false;
      }
    }
    // One round takes the loss's link to one end, the other what is beyond it.
    for (int round = 0; round < 2; ++round) {
      for (size_t index = 0; index < chain.layers.size(); ++index) link(chain, index);
      make_alike(0, chain.layers.size());
      for (size_t index = chain.layers.size(); index-- > 0;) link(chain, index);
    }
  }

  bool operator[](size_t value) const { return is_dense_[value]; }

 private:
  void link(const Chain& chain, size_t index) {
    if (chain.layers[index].is_activation()) make_alike(index, index + 1);
  }

  void make_alike(size_t left, size_t right) {
    is_dense_[left] = is_dense_[right] = is_dense_[left] && is_dense_[right];
  }

  std::vector<bool> is_dense_;
};

}  // namespace

bool can_be_in_channels(const Chain& chain) {
  return can_be_cut(chain) && std::all_of(chain.layers.begin(), chain.layers.end(), [](const ChainLayer& layer) {
           return !layer.is_bilinear() || layer.geometry.groups == 1;
         });
}

ChainInStrips in_channels(const Chain& chain, int64_t lanes, int64_t last) {
  ChainInStrips result = {chain, {}};
  ChainStrips& strips = result.strips;
  const DenseValues is_dense(chain, lanes, last);
  const auto in_vectors_of = [&](const Extents& extents, size_t value) -> Extents {
    if (is_dense[value]) return {1, 1, vectors_for(size_of(extents), lanes)};
    return {vectors_for(extents.channels, lanes), extents.rows, extents.columns};
  };
  const auto add_value = [&](Extents& extents, size_t value) {
    strips.channels.push_back({extents, is_dense[value] ? extents.channels : lanes});
    extents = in_vectors_of(extents, value);
  };
  add_value(result.chain.images, 0);
  for (size_t index = 0; index < chain.layers.size(); ++index) {
    ChainLayer& layer = result.chain.layers[index];
    layer.input = in_vectors_of(layer.input, index);
    add_value(layer.output, index + 1);
    strips.to_inner.emplace_back();
    strips.to_outer.emplace_back();
    if (!layer.is_bilinear()) continue;
    std::fill(std::begin(layer.in_pairs), std::end(layer.in_pairs), false);
    strips.to_inner.back() = in_vectors(layer.geometry, Direction::to_inner, lanes);
    if (layer.kind == LayerKind::conv_transposed || static_cast<int64_t>(index) > last) {
      strips.to_outer.back() = in_vectors(layer.geometry, Direction::to_outer, lanes);
    }
    // What a weight gradient is formed of.
    layer.geometry = with_inner_in_vectors(layer.geometry, lanes);
  }
  return result;
}

}  // namespace gradcon
