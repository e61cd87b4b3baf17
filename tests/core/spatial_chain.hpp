// Random chains whose layers keep rows in their order: their samples can be divided among lanes.
#pragma once

#include <doctest/doctest.h>

#include <cmath>
#include <vector>

#include "random_chain.hpp"

struct Window {
  // In every second window a target has two taps of each phase.
  bool pairs = draw(0, 1) == 1;
  int64_t stride = draw(1, 3);
  int64_t kernel = pairs ? 2 * stride : draw(1, 4);
  int64_t padding = draw(0, kernel);
  int64_t dilation = pairs ? 1 : draw(1, 2);

  int64_t inner(int64_t outer) const { return (outer + 2 * padding - (kernel - 1) * dilation - 1) / stride + 1; }
  bool fits(int64_t outer) const { return outer + 2 * padding > (kernel - 1) * dilation; }
};

inline Window window_for(const Extents& outer) {
  Window window;
  while (!window.fits(outer.rows) || !window.fits(outer.columns)) window = Window();
  return window;
}

inline void add_window(Case& c, LayerKind kind, int64_t channels, const Extents& output, const Window& w,
                       bool constrained) {
  const std::vector<int64_t> shape = kind == LayerKind::conv
                                         ? std::vector<int64_t>{output.channels, channels, w.kernel, w.kernel}
                                         : std::vector<int64_t>{channels, output.channels, w.kernel, w.kernel};
  const int64_t weight = c.parameter(shape);
  c.add(kind, output, weight, c.parameter({output.channels}), constrained,
        {w.stride, w.stride, w.padding, w.padding, w.dilation, w.dilation, 1});
}

// Down and up again, through every kind of layer that keeps rows in their order; in training there is no affine one.
inline Case spatial_case(int64_t most_channels, bool for_training = false) {
  Case c;
  c.images = {draw(1, 2), draw(1, 19), draw(1, 7)};
  const Window down = window_for(c.images);
  const Extents small = {draw(1, most_channels), down.inner(c.images.rows), down.inner(c.images.columns)};
  add_window(c, LayerKind::conv, c.images.channels, small, down, draw(0, 1) == 1);
  add_activation(c, small);
  if (!for_training) c.add(LayerKind::affine, small, c.parameter({small.channels}), c.parameter({small.channels}));
  const Extents doubled = {small.channels, small.rows * 2, small.columns * 2};
  c.add(LayerKind::upsample, doubled);
  const Window halves = {false, 2, 3, 1, 1};
  add_window(c, LayerKind::conv, small.channels, small, halves, draw(0, 1) == 1);
  add_activation(c, small);
  const Window deeper = window_for(small);
  const Extents smaller = {draw(1, most_channels), deeper.inner(small.rows), deeper.inner(small.columns)};
  add_window(c, LayerKind::conv, small.channels, smaller, deeper, draw(0, 1) == 1);
  add_activation(c, smaller);
  add_window(c, LayerKind::conv_transposed, smaller.channels, small, deeper, draw(0, 1) == 1);
  add_window(c, LayerKind::conv_transposed, small.channels, c.images, down, true);
  c.add(LayerKind::sigmoid, c.images);
  return c;
}

inline void check_close(const std::vector<double>& values, const std::vector<double>& expected) {
  REQUIRE(values.size() == expected.size());
  for (size_t i = 0; i < values.size(); ++i) CHECK(std::abs(values[i] - expected[i]) < 1e-9);
}
