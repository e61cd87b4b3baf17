// Alignment of a strided batch: chunks of samples, to lanes and from there to sums.
#pragma once

#include <algorithm>
#include <cstdint>

#include "core/batch_view.hpp"
#include "cuda/align_lanes.cuh"
#include "cuda/launch.cuh"
#include "cuda/to_lanes.cuh"

namespace gradcon::cuda {

template <class Source, class T = Computed<Source>>
void align_batch(const Launcher& launcher, const Geometry& geometry, const BatchView<Source>& inner,
                 const BatchView<Source>& outer, const portable::References<T>& references, int64_t batch,
                 const AlignmentOutput<T>& output) {
  const int64_t size = geometry.inner_size() + geometry.outer_size();
  const int64_t blocks_at_once = std::max<int64_t>(1, most_numbers_in_lanes / std::max<int64_t>(1, size * warp_size));
  const int64_t chunk = std::min(blocks_at_once, ceil_div(batch, warp_size)) * warp_size;
  const auto lanes = launcher.array<T>(chunk * size);
  const Lanes<T> inner_lanes = {lanes.data(), geometry.inner_size() * warp_size};
  const Lanes<T> outer_lanes = {inner_lanes.data + chunk * geometry.inner_size(), geometry.outer_size() * warp_size};
  for (int64_t first = 0; first < batch; first += chunk) {
    const int64_t samples = std::min(chunk, batch - first);
    to_lanes(launcher, inner, {geometry.inner_channels, geometry.height.inner, geometry.width.inner}, first, samples,
             inner_lanes);
    to_lanes(launcher, outer, {geometry.outer_channels, geometry.height.outer, geometry.width.outer}, first, samples,
             outer_lanes);
    align_lanes<T, T>(launcher, geometry, inner_lanes, outer_lanes, references, samples,
                      {output.dot + first * references.count, output.sq_norm + first});
  }
}

}  // namespace gradcon::cuda
