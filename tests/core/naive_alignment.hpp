// What an alignment and a norm are, in plain loops.
#pragma once

#include <cmath>
#include <cstdint>

#include "core/geometry.hpp"

// Calls take(weight, its gradient), one weight of one sample at a time.
template <class T, class Take>
void for_each_weight(const gradcon::Geometry& g, const T* inner, const T* outer, const Take& take) {
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
    take(weight, gradient);
  }
}

template <class T>
void naive(const gradcon::Geometry& g, const T* inner, const T* outer, const T* reference, double& dot,
           double& sq_norm) {
  dot = sq_norm = 0;
  for_each_weight(g, inner, outer, [&](int64_t weight, double gradient) {
    dot += gradient * static_cast<double>(reference[weight]);
    sq_norm += gradient * gradient;
  });
}

template <class T>
double naive_l1_norm(const gradcon::Geometry& g, const T* inner, const T* outer) {
  double norm = 0;
  for_each_weight(g, inner, outer, [&](int64_t, double gradient) { norm += std::abs(gradient); });
  return norm;
}
