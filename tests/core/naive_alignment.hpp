// What an alignment is, in plain loops.
#pragma once

#include <cstdint>

#include "core/geometry.hpp"

// The definition, one sample and one weight at a time.
template <class T>
void naive(const gradcon::Geometry& g, const T* inner, const T* outer, const T* reference, double& dot,
           double& sq_norm) {
  dot = sq_norm = 0;
  for (int64_t weight = 0; weight < g.weights(); ++weight) {
    const int64_t tap_column = weight % g.width.kernel;
    const int64_t tap_row = weight / g.width.kernel % g.height.kernel;
    const int64_t outer_in_group = weight / g.taps() % g.outer_channels_per_group();
    const int64_t inner_channel = weight / g.taps() / g.outer_channels_per_group();
    const int64_t group = inner_channel / g.inner_channels_per_group();
    const int64_t outer_channel = group * g.outer_channels_per_group() + outer_in_group;
    double gradient = 0;
    for (int64_t row = 0; row < g.height.inner; ++row) {
      for (int64_t column = 0; column < g.width.inner; ++column) {
        const int64_t y = row * g.height.stride - g.height.padding + tap_row * g.height.dilation;
        const int64_t x = column * g.width.stride - g.width.padding + tap_column * g.width.dilation;
        if (y < 0 || y >= g.height.outer || x < 0 || x >= g.width.outer) continue;
        gradient += static_cast<double>(inner[(inner_channel * g.height.inner + row) * g.width.inner + column]) *
                    static_cast<double>(outer[(outer_channel * g.height.outer + y) * g.width.outer + x]);
      }
    }
    dot += gradient * static_cast<double>(reference[weight]);
    sq_norm += gradient * gradient;
  }
}
