// The core against plain loops, without torch, so that the sanitizers see every access.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <memory>
#include <random>
#include <type_traits>
#include <vector>

#include "core/alignment_in_double.hpp"
#include "core/conv_alignment.hpp"
#include "core/conv_l1_norm.hpp"
#include "core/lane.hpp"
#include "core/linear_alignment.hpp"
#include "core/running_mean.hpp"
#include "core/tiles.hpp"
#include "core/to_lanes.hpp"
#include "naive_alignment.hpp"

namespace core = gradcon::portable;
using gradcon::Axis;
using gradcon::BatchView;
using gradcon::Geometry;

namespace {

template <class T>
using FourLanes = core::Lane<T, 4>;

std::mt19937 generator(1);

template <class T>
std::vector<T> random_values(int64_t size) {
  std::normal_distribution<T> normal;
  std::vector<T> values(static_cast<size_t>(size));
  for (T& value : values) value = normal(generator);
  return values;
}

template <class T>
struct AlignedLanes {
  explicit AlignedLanes(int64_t size)
      : data(static_cast<T*>(std::aligned_alloc(64, (size * sizeof(T) / 64 + 1) * 64))) {}
  ~AlignedLanes() { std::free(data); }
  AlignedLanes(const AlignedLanes&) = delete;
  AlignedLanes& operator=(const AlignedLanes&) = delete;
  T* data;
};

doctest::Approx close_to(double expected, double tolerance) { return doctest::Approx(expected).epsilon(tolerance); }

// The same channels further apart, with what nobody may read between them.
template <class T>
void spread(const T* lanes, int64_t channels, int64_t positions, int64_t pitch, T* spread_lanes) {
  std::fill_n(spread_lanes, 4 * channels * pitch, std::numeric_limits<T>::quiet_NaN());
  for (int64_t channel = 0; channel < channels; ++channel) {
    std::copy_n(lanes + 4 * channel * positions, 4 * positions, spread_lanes + 4 * channel * pitch);
  }
}

template <class T>
void check_convolution(const Geometry& g, int64_t samples, double tolerance) {
  const std::vector<T> inner = random_values<T>(samples * g.inner_size());
  const std::vector<T> outer = random_values<T>(samples * g.outer_size());
  const std::vector<T> references = random_values<T>(2 * g.weights());
  const BatchView<T> inner_view = {inner.data(), g.inner_size(), g.inner_positions(), g.width.inner, 1};
  const BatchView<T> outer_view = {outer.data(), g.outer_size(), g.outer_positions(), g.width.outer, 1};
  const AlignedLanes<T> inner_lanes(4 * g.inner_size());
  const AlignedLanes<T> outer_lanes(4 * g.outer_size());
  const int64_t pitch = g.outer_positions() + 3;
  const AlignedLanes<T> spread_outer(4 * g.outer_channels * pitch);
  for (int64_t first = 0; first < samples; first += 4) {
    const int64_t count = samples - first < 4 ? samples - first : 4;
    core::to_lanes<FourLanes<T>>(inner_view, {g.inner_channels, g.height.inner, g.width.inner}, first, count,
                                 inner_lanes.data);
    core::to_lanes<FourLanes<T>>(outer_view, {g.outer_channels, g.height.outer, g.width.outer}, first, count,
                                 outer_lanes.data);
    spread(outer_lanes.data, g.outer_channels, g.outer_positions(), pitch, spread_outer.data);
    core::Sum<FourLanes<T>> dots[2];
    core::Alignment<FourLanes<T>> alignment = {dots, {}};
    core::conv_alignment<FourLanes<T>, core::TileShape<3, 2>>(g, {inner_lanes.data, spread_outer.data, pitch},
                                                              {references.data(), 2}, alignment);
    core::Sum<FourLanes<T>> l1_norm;
    core::conv_l1_norm<FourLanes<T>, core::TileShape<3, 2>>(g, {inner_lanes.data, outer_lanes.data}, l1_norm);
    for (int64_t sample = 0; sample < count; ++sample) {
      for (int k = 0; k < 2; ++k) {
        double dot, sq_norm;
        naive(g, inner.data() + (first + sample) * g.inner_size(), outer.data() + (first + sample) * g.outer_size(),
              references.data() + k * g.weights(), dot, sq_norm);
        CHECK(dots[k].value[sample] == close_to(dot, tolerance));
        CHECK(alignment.sq_norm.value[sample] == close_to(sq_norm, tolerance));
      }
      CHECK(l1_norm.value[sample] == close_to(naive_l1_norm(g, inner.data() + (first + sample) * g.inner_size(),
                                                            outer.data() + (first + sample) * g.outer_size()),
                                              tolerance));
    }
  }
}

// Sums in double hold what float32 cannot: gradients of a norm of 1e-25, and of 1e25.
void check_in_double(const Geometry& g, float scale) {
  std::vector<float> inner = random_values<float>(g.inner_size());
  const std::vector<float> outer = random_values<float>(g.outer_size());
  std::vector<float> reference = random_values<float>(g.weights());
  for (float& value : inner) value *= scale;
  for (float& value : reference) value *= scale;
  const BatchView<float> inner_view = {inner.data(), 0, g.inner_positions(), g.width.inner, 1};
  const BatchView<float> outer_view = {outer.data(), 0, g.outer_positions(), g.width.outer, 1};
  const AlignedLanes<float> inner_lanes(4 * g.inner_size());
  const AlignedLanes<float> outer_lanes(4 * g.outer_size());
  core::to_lanes<FourLanes<float>>(inner_view, {g.inner_channels, g.height.inner, g.width.inner}, 0, 1,
                                   inner_lanes.data);
  core::to_lanes<FourLanes<float>>(outer_view, {g.outer_channels, g.height.outer, g.width.outer}, 0, 1,
                                   outer_lanes.data);
  core::Sum<FourLanes<float>> dot;
  core::Sum<FourLanes<float>> sq_norm;
  core::align_in_double<FourLanes<float>>(g, {inner_lanes.data, outer_lanes.data}, reference.data(), dot, sq_norm);
  double expected_dot, expected_sq_norm;
  naive(g, inner.data(), outer.data(), reference.data(), expected_dot, expected_sq_norm);
  const double sq_scale = static_cast<double>(scale) * static_cast<double>(scale);
  CHECK(dot.value[0] / sq_scale == close_to(expected_dot / sq_scale, 1e-4));
  CHECK(sq_norm.value[0] / sq_scale == close_to(expected_sq_norm / sq_scale, 1e-4));
}

Axis random_axis() {
  const auto draw = [](int64_t low, int64_t high) {
    return std::uniform_int_distribution<int64_t>(low, high)(generator);
  };
  return {draw(1, 6), draw(1, 9), draw(1, 4), draw(1, 3), draw(0, 4), draw(1, 3)};
}

// Any axes will do: a tap that meets no position, or a grid that sticks out, is a legal geometry to the core.
TEST_CASE("convolutions of random geometries") {
  for (int trial = 0; trial < 300; ++trial) {
    std::uniform_int_distribution<int64_t> few(1, 7);
    Geometry g;
    g.groups = few(generator) % 3 + 1;
    g.inner_channels = g.groups * few(generator);
    g.outer_channels = g.groups * few(generator);
    g.height = random_axis();
    g.width = random_axis();
    check_convolution<double>(g, few(generator), 1e-12);
    check_convolution<float>(g, few(generator), 1e-3);
  }
}

TEST_CASE("convolutions whose phases are channels of their own") {
  std::uniform_int_distribution<int64_t> few(1, 5);
  for (int trial = 0; trial < 100; ++trial) {
    Geometry g;
    g.groups = few(generator) % 2 + 1;
    g.inner_channels = g.groups * few(generator);
    g.outer_channels = g.groups;
    g.height = random_axis();
    g.width = {few(generator), few(generator) + few(generator), 2 * few(generator), 2, few(generator), 1};
    REQUIRE(can_interleave(g, 2));
    check_convolution<double>(g, few(generator), 1e-12);
    check_convolution<float>(g, few(generator), 1e-3);
  }
}

// They are taken some rows at a time.
TEST_CASE("maps that no cache holds at once") {
  std::uniform_int_distribution<int64_t> inner(30, 45);
  std::uniform_int_distribution<int64_t> outer(40, 95);
  for (int trial = 0; trial < 10; ++trial) {
    Geometry g;
    g.inner_channels = 4;
    g.outer_channels = trial % 2 == 0 ? 3 : 1;
    g.height = random_axis();
    g.width = random_axis();
    if (trial % 4 == 1) g.width = {1, 1, 4, 2, 1, 1};
    g.height.inner = inner(generator);
    g.width.inner = inner(generator);
    g.height.outer = outer(generator);
    g.width.outer = outer(generator);
    check_convolution<double>(g, 3, 1e-12);
  }
}

TEST_CASE("products beyond the range of float32") {
  std::uniform_int_distribution<int64_t> few(1, 4);
  for (int trial = 0; trial < 50; ++trial) {
    Geometry g;
    g.groups = few(generator) % 3 + 1;
    g.inner_channels = g.groups * few(generator);
    g.outer_channels = g.groups * few(generator);
    g.height = random_axis();
    g.width = random_axis();
    check_in_double(g, 1e-25F);
    check_in_double(g, 1e25F);
  }
}

TEST_CASE("which sums of float32 products hold the cosine") {
  CHECK(core::products_in_range<float>(1e-8, 1e-6, 1e-3));
  CHECK_FALSE(core::products_in_range<float>(0, 0, 1));
  CHECK_FALSE(core::products_in_range<float>(1e-40, 1e-38, 1e-3));
  CHECK_FALSE(core::products_in_range<float>(INFINITY, 1, 1));
  CHECK_FALSE(core::products_in_range<float>(1, INFINITY, 1));
  CHECK_FALSE(core::products_in_range<float>(1e-38, 1e-6, 1e-37));
  CHECK(core::products_in_range<float>(0, 0, 0));
  CHECK(core::products_in_range<double>(0, 0, 1));
}

TEST_CASE("linear layers") {
  for (const int64_t outputs : {1, 7, 8, 19}) {
    const int64_t inputs = 13;
    const std::vector<double> reference = random_values<double>(inputs * outputs);
    const std::vector<double> x = random_values<double>(inputs);
    const std::vector<double> y = random_values<double>(outputs);
    const AlignedLanes<double> x_lanes(4 * inputs);
    const AlignedLanes<double> y_lanes(4 * outputs);
    core::to_lanes<FourLanes<double>>({x.data(), inputs, 1, 0, 1}, {inputs, 1, 1}, 0, 1, x_lanes.data);
    core::to_lanes<FourLanes<double>>({y.data(), outputs, 1, 0, 1}, {outputs, 1, 1}, 0, 1, y_lanes.data);
    core::Sum<FourLanes<double>> dots[1];
    core::Alignment<FourLanes<double>> alignment = {dots, {}};
    core::linear_alignment<FourLanes<double>>(inputs, outputs, x_lanes.data, y_lanes.data, {reference.data(), 1},
                                              alignment);
    double dot = 0;
    double sq_norm = 0;
    for (int64_t o = 0; o < outputs; ++o) {
      for (int64_t i = 0; i < inputs; ++i) {
        const double gradient = y[static_cast<size_t>(o)] * x[static_cast<size_t>(i)];
        dot += gradient * reference[static_cast<size_t>(o * inputs + i)];
        sq_norm += gradient * gradient;
      }
    }
    for (int sample = 0; sample < 4; ++sample) {
      CHECK(dots[0].value[sample] == close_to(dot, 1e-12));
      CHECK(alignment.sq_norm.value[sample] == close_to(sq_norm, 1e-12));
    }
  }
}

TEST_CASE("running mean") {
  for (const int64_t size : {0, 1, 8, 21}) {
    std::vector<double> mean = random_values<double>(size);
    const std::vector<double> before = mean;
    const std::vector<double> grad = random_values<double>(size);
    const gradcon::CosineSums sums = core::running_mean(mean.data(), grad.data(), size, 2);
    double dot = 0;
    for (size_t i = 0; i < mean.size(); ++i) {
      dot += before[i] * grad[i];
      CHECK(mean[i] == close_to((2 * before[i] + grad[i]) / 3, 1e-12));
    }
    CHECK(sums.dot == close_to(dot, 1e-12));
  }
}

}  // namespace
