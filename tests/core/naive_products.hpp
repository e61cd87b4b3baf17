// Where a weight joins the two grids, in plain loops.
#pragma once

#include <cstdint>

#include "core/geometry.hpp"

// The channels that a weight joins.
struct JoinedChannels {
  int64_t inner;
  int64_t outer;

  JoinedChannels(const gradcon::Geometry& g, int64_t weight) {
    const int64_t outer_channels = g.outer_channels_per_group();
    inner = weight / g.taps() / outer_channels;
    outer = inner / g.inner_channels_per_group() * outer_channels + weight / g.taps() % outer_channels;
  }
};

// Calls take(inner row, inner column, outer row, outer column) wherever both lie inside.
template <class Take>
void for_each_product(const gradcon::Geometry& g, int64_t weight, const Take& take) {
  const int64_t tap_column = weight % g.width.kernel;
  const int64_t tap_row = weight / g.width.kernel % g.height.kernel;
  for (int64_t row = 0; row < g.height.inner; ++row) {
    for (int64_t column = 0; column < g.width.inner; ++column) {
      const int64_t y = row * g.height.stride - g.height.padding + tap_row * g.height.dilation;
      const int64_t x = column * g.width.stride - g.width.padding + tap_column * g.width.dilation;
      if (y >= 0 && y < g.height.outer && x >= 0 && x < g.width.outer) take(row, column, y, x);
    }
  }
}
