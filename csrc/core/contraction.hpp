// A geometry seen in one direction: which of its grids is the target, and which taps join a target to sources.
#pragma once

#include <algorithm>
#include <cstdint>

#include "core/geometry.hpp"
#include "core/interleaving.hpp"

namespace gradcon {

// Taps that join one target position to the source grid, and the sources: both arithmetic progressions.
struct TapRun {
  int64_t count = 0;
  int64_t first_tap = 0;
  int64_t tap_step = 1;
  int64_t first_source = 0;
  int64_t source_step = 0;
};

// Of an inner target every tap, of an outer one those that hit the stride. Sources may lie outside the grid.
GRADCON_INLINE TapRun taps_of_inner(const Axis& axis, int64_t position) {
  return {axis.kernel, 0, 1, position * axis.stride - axis.padding, axis.dilation};
}

GRADCON_INLINE TapRun taps_of_outer(const Axis& axis, int64_t position) {
  TapRun run;
  GRADCON_KEEP_ROLLED for (int64_t tap = 0; tap < axis.kernel; ++tap) {
    const int64_t strided = position + axis.padding - tap * axis.dilation;
    if (strided % axis.stride != 0) continue;
    const int64_t source = strided / axis.stride;
    if (run.count == 0) {
      run.first_tap = tap;
      run.first_source = source;
    } else if (run.count == 1) {
      run.tap_step = tap - run.first_tap;
      run.source_step = source - run.first_source;
    }
    ++run.count;
  }
  return run;
}

// A geometry seen in one direction.
struct Contraction {
  Geometry geometry;
  Direction direction = Direction::to_inner;

  GRADCON_INLINE bool inward() const { return direction == Direction::to_inner; }
  GRADCON_INLINE int64_t sources_per_group() const {
    return inward() ? geometry.outer_channels_per_group() : geometry.inner_channels_per_group();
  }
  GRADCON_INLINE int64_t targets_per_group() const {
    return inward() ? geometry.inner_channels_per_group() : geometry.outer_channels_per_group();
  }
  GRADCON_INLINE int64_t source_positions() const {
    return inward() ? geometry.outer_positions() : geometry.inner_positions();
  }
  GRADCON_INLINE int64_t target_positions() const {
    return inward() ? geometry.inner_positions() : geometry.outer_positions();
  }
  GRADCON_INLINE int64_t source_size() const { return geometry.groups * sources_per_group() * source_positions(); }
  GRADCON_INLINE int64_t source_columns() const { return inward() ? geometry.width.outer : geometry.width.inner; }
  GRADCON_INLINE int64_t source_rows() const { return inward() ? geometry.height.outer : geometry.height.inner; }
  GRADCON_INLINE int64_t target_columns() const { return inward() ? geometry.width.inner : geometry.width.outer; }
  GRADCON_INLINE int64_t target_rows() const { return inward() ? geometry.height.inner : geometry.height.outer; }
  // Of one phase of the stride.
  GRADCON_INLINE int64_t target_columns_of(int64_t phase) const {
    const int64_t shift = target_shift(geometry.width);
    return (target_columns() - phase + shift - 1) / shift;
  }
  GRADCON_INLINE TapRun taps(const Axis& axis, int64_t target) const {
    return inward() ? taps_of_inner(axis, target) : taps_of_outer(axis, target);
  }
  // Targets this far apart are joined by the same taps to sources `source_shift` apart.
  GRADCON_INLINE int64_t target_shift(const Axis& axis) const { return inward() ? 1 : axis.stride; }
  GRADCON_INLINE int64_t source_shift(const Axis& axis) const { return inward() ? axis.stride : 1; }
};

// A contraction in the form in which it is computed. Interleaved are targets only.
struct ContractionForm : Contraction {
  Interleaving interleaving;

  GRADCON_INLINE ContractionForm(const Contraction& as_it_is)
      : Contraction(as_it_is), interleaving{1, 0, as_it_is.target_columns()} {}
  GRADCON_INLINE ContractionForm(const GeometryForm& form, Direction toward)
      : Contraction{form, toward}, interleaving(form.interleaving) {}

  // In memory: of a target channel, and where a target column begins.
  GRADCON_INLINE int64_t target_channel() const { return target_rows() * interleaving.columns; }
  GRADCON_INLINE int64_t target_begin(int64_t row, int64_t column) const {
    return row * interleaving.columns + column * interleaving.phases - interleaving.margin;
  }
};

GRADCON_INLINE ContractionForm form_of(const Contraction& contraction, int64_t most_channels) {
  if (contraction.inward() || !can_interleave(contraction.geometry, most_channels)) return contraction;
  return {interleaved(contraction.geometry), contraction.direction};
}

// Columns of one phase of the stride, `size` from `first` on, and the taps that join the first of them to sources.
struct TargetColumns {
  int64_t first;
  int64_t size;
  TapRun taps;

  TargetColumns(const Contraction& contraction, int64_t from, int64_t count)
      : first(from), size(count), taps(contraction.taps(contraction.geometry.width, from)) {}

  // Whether no tap joins one of them to a source beyond the grid, but for so many at either end.
  bool lie_inside(const Contraction& contraction, int64_t but = 0) const {
    const int64_t shift = contraction.source_shift(contraction.geometry.width);
    const int64_t last = taps.first_source + (taps.count - 1) * taps.source_step;
    return taps.count == 0 ||
           (std::min(taps.first_source, last) + but * shift >= 0 &&
            std::max(taps.first_source, last) + (size - 1 - but) * shift < contraction.source_columns());
  }
};

}  // namespace gradcon
