// The phases of a stride along a row, seen as outer channels of their own.
//
// All columns that an even kernel joins to the same inner columns, two with a stride of two, become channels of one
// outer position: the map is then one with half the kernel and no stride along rows. What meets few outer channels is
// read once so, and not once for each phase. Nothing moves in memory.
#pragma once

#include <cstdint>

#include "core/geometry.hpp"

namespace gradcon {

constexpr int most_phases = 2;

// Whether the map can be seen so, with at most so many outer channels in a group.
GRADCON_INLINE bool can_interleave(const Geometry& geometry, int64_t most_channels) {
  const Axis& width = geometry.width;
  return width.stride == most_phases && width.kernel % most_phases == 0 && width.dilation == 1 &&
         geometry.outer_channels_per_group() * most_phases <= most_channels;
}

// A weight is then (inner channels, outer channels / groups, kernel height, kernel width, phases).
GRADCON_INLINE Geometry interleaved(const Geometry& geometry) {
  Geometry result = geometry;
  Axis& width = result.width;
  const int64_t margin = width.padding % most_phases;
  result.interleaving = {most_phases, margin, width.outer};
  result.outer_channels *= most_phases;
  width.outer = (width.outer + margin + most_phases - 1) / most_phases;
  width.kernel /= most_phases;
  width.padding /= most_phases;
  width.stride = 1;
  return result;
}

// Where an outer channel lies, if channels are `step` apart and phases `unit`.
GRADCON_INLINE constexpr int64_t outer_offset(int64_t channel, int64_t phases, int64_t step, int64_t unit) {
  return phases == 1 ? channel * step : channel / most_phases * step + channel % most_phases * unit;
}

// Whether the first outer position of a row lacks its first phase, which would be before the row, and the last one its
// last.
GRADCON_INLINE bool lacks_first(const Geometry& geometry) { return geometry.interleaving.margin > 0; }
GRADCON_INLINE bool lacks_last(const Geometry& geometry) {
  const Interleaving& interleaving = geometry.interleaving;
  return interleaving.phases * geometry.width.outer - interleaving.margin > geometry.outer_columns();
}

}  // namespace gradcon
