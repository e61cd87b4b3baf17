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

}  // namespace

bool can_be_in_channels(const Chain& chain) {
  return can_be_cut(chain) && std::all_of(chain.layers.begin(), chain.layers.end(), [](const ChainLayer& layer) {
           return !layer.is_bilinear() || layer.geometry.groups == 1;
         });
}

ChainInStrips in_channels(const Chain& chain, int64_t lanes, int64_t last) {
  ChainInStrips result = {chain, {}};
  ChainStrips& strips = result.strips;
  const auto add_value = [&](Extents& extents) {
    strips.channels.push_back(extents.channels);
    extents.channels = vectors_for(extents.channels, lanes);
  };
  add_value(result.chain.images);
  for (size_t index = 0; index < chain.layers.size(); ++index) {
    ChainLayer& layer = result.chain.layers[index];
    layer.input.channels = vectors_for(layer.input.channels, lanes);
    add_value(layer.output);
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
