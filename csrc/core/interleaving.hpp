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

// Phase f of outer position i is column phases * i - margin + f of an array that has so many.
struct Interleaving {
  int64_t phases = 1;
  int64_t margin = 0;
  int64_t columns = 0;

  // Whether the first of so many positions of a row lacks its first phase, which would be before the row, and the last
  // one its last.
  GRADCON_INLINE bool lacks_first() const { return margin > 0; }
  GRADCON_INLINE bool lacks_last(int64_t positions) const { return phases * positions - margin > columns; }
};

// A map in the form in which it is computed: as it is, or with phases for outer channels.
struct GeometryForm : Geometry {
  Interleaving interleaving;

  GRADCON_INLINE GeometryForm(const Geometry& as_it_is)
      : Geometry(as_it_is), interleaving{1, 0, as_it_is.width.outer} {}

  // In memory: of a row of the outer array, and of what phases are of, a channel.
  GRADCON_INLINE int64_t outer_columns() const { return interleaving.columns; }
  GRADCON_INLINE int64_t outer_channel() const { return height.outer * outer_columns(); }
};

// Whether the map can be seen so, with at most so many outer channels in a group.
GRADCON_INLINE bool can_interleave(const Geometry& geometry, int64_t most_channels) {
  const Axis& width = geometry.width;
  return width.stride == most_phases && width.kernel % most_phases == 0 && width.dilation == 1 &&
         geometry.outer_channels_per_group() * most_phases <= most_channels;
}

// A weight is then (inner channels, outer channels / groups, kernel height, kernel width, phases).
GRADCON_INLINE GeometryForm interleaved(const Geometry& geometry) {
  GeometryForm result = geometry;
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

}  // namespace gradcon
