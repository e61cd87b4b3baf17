// The core against plain loops, without torch, so that the sanitizers see every access.
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <random>
#include <vector>

#include "core/conv_alignment.hpp"
#include "core/lane.hpp"
#include "core/linear_alignment.hpp"
#include "core/running_mean.hpp"
#include "core/tiles.hpp"
#include "core/to_lanes.hpp"

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

void expect_close(double value, double expected, double tolerance, const char* what) {
  if (std::abs(value - expected) <= tolerance * (1 + std::abs(expected))) return;
  std::printf("%s: got %.12g, expected %.12g\n", what, value, expected);
  std::exit(1);
}

// The definition, one sample and one weight at a time.
template <class T>
void naive(const Geometry& g, const T* inner, const T* outer, const T* reference, double& dot, double& sq_norm) {
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

template <class T>
void check_convolution(const Geometry& g, int64_t samples, double tolerance) {
  const std::vector<T> inner = random_values<T>(samples * g.inner_size());
  const std::vector<T> outer = random_values<T>(samples * g.outer_size());
  const std::vector<T> references = random_values<T>(2 * g.weights());
  const BatchView<T> inner_view = {inner.data(), g.inner_size(), g.inner_positions(), g.width.inner, 1};
  const BatchView<T> outer_view = {outer.data(), g.outer_size(), g.outer_positions(), g.width.outer, 1};
  const AlignedLanes<T> inner_lanes(4 * g.inner_size());
  const AlignedLanes<T> outer_lanes(4 * g.outer_size());
  for (int64_t first = 0; first < samples; first += 4) {
    const int64_t count = samples - first < 4 ? samples - first : 4;
    core::to_lanes<FourLanes<T>>(inner_view, {g.inner_channels, g.height.inner, g.width.inner}, first, count,
                                 inner_lanes.data);
    core::to_lanes<FourLanes<T>>(outer_view, {g.outer_channels, g.height.outer, g.width.outer}, first, count,
                                 outer_lanes.data);
    core::Sum<FourLanes<T>> dots[2];
    core::Alignment<FourLanes<T>> alignment = {dots, {}};
    core::conv_alignment<FourLanes<T>, core::TileShape<3, 2>>(g, {inner_lanes.data, outer_lanes.data},
                                                              {references.data(), 2}, alignment);
    for (int64_t sample = 0; sample < count; ++sample) {
      for (int k = 0; k < 2; ++k) {
        double dot, sq_norm;
        naive(g, inner.data() + (first + sample) * g.inner_size(), outer.data() + (first + sample) * g.outer_size(),
              references.data() + k * g.weights(), dot, sq_norm);
        expect_close(dots[k].value[sample], dot, tolerance, "dot");
        expect_close(alignment.sq_norm.value[sample], sq_norm, tolerance, "sq_norm");
      }
    }
  }
}

Axis random_axis() {
  const auto draw = [](int64_t low, int64_t high) {
    return std::uniform_int_distribution<int64_t>(low, high)(generator);
  };
  return {draw(1, 6), draw(1, 9), draw(1, 4), draw(1, 3), draw(0, 4), draw(1, 3)};
}

// Any axes will do: a tap that meets no position, or a grid that sticks out, is a legal geometry to the core.
void check_convolutions() {
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

// Maps that no cache holds at once are taken some rows at a time.
void check_large_maps() {
  std::uniform_int_distribution<int64_t> inner(30, 45);
  std::uniform_int_distribution<int64_t> outer(40, 95);
  for (int trial = 0; trial < 10; ++trial) {
    Geometry g;
    g.inner_channels = 4;
    g.outer_channels = 3;
    g.height = random_axis();
    g.width = random_axis();
    g.height.inner = inner(generator);
    g.width.inner = inner(generator);
    g.height.outer = outer(generator);
    g.width.outer = outer(generator);
    check_convolution<double>(g, 3, 1e-12);
  }
}

void check_linear() {
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
      expect_close(dots[0].value[sample], dot, 1e-12, "linear dot");
      expect_close(alignment.sq_norm.value[sample], sq_norm, 1e-12, "linear sq_norm");
    }
  }
}

// Every channel is counted by exactly one tile, and no tile reaches outside.
template <int Size>
void check_overlapping_tiles() {
  for (int64_t channels = Size; channels < 40; ++channels) {
    const core::OverlappingTiles<Size> tiles = {channels};
    std::vector<int> counted(static_cast<size_t>(channels));
    for (int64_t tile = 0; tile < tiles.count(); ++tile) {
      for (int channel = tiles.counted(tile); channel < Size; ++channel) {
        ++counted.at(static_cast<size_t>(tiles.begin(tile) + channel));
      }
    }
    for (const int times : counted) expect_close(times, 1, 0, "times a channel is counted");
  }
}

// Leading channels that another tile has counted are left out of both sums.
void check_counted() {
  const Geometry g = {3, 2, 1, {}, {}};
  const std::vector<double> reference = random_values<double>(6);
  FourLanes<double> gradient[3][2];
  double dot = 0;
  double sq_norm = 0;
  for (int i = 0; i < 3; ++i) {
    for (int o = 0; o < 2; ++o) {
      const double value = 1 + i + 10 * o;
      gradient[i][o] = FourLanes<double>::broadcast(value);
      if (i < 2 || o < 1) continue;
      dot += value * reference[static_cast<size_t>(2 * i + o)];
      sq_norm += value * value;
    }
  }
  const core::WeightStrides strides(g);
  expect_close(core::dot_of_tile(gradient, reference.data(), strides, {2, 1}).value[0], dot, 1e-12, "counted dot");
  expect_close(core::sq_norm_of_tile(gradient, {2, 1}).value[0], sq_norm, 1e-12, "counted sq_norm");
}

void check_running_mean() {
  for (const int64_t size : {0, 1, 8, 21}) {
    std::vector<double> mean = random_values<double>(size);
    const std::vector<double> before = mean;
    const std::vector<double> grad = random_values<double>(size);
    const gradcon::CosineSums sums = core::running_mean(mean.data(), grad.data(), size, 2);
    double dot = 0;
    for (size_t i = 0; i < mean.size(); ++i) {
      dot += before[i] * grad[i];
      expect_close(mean[i], (2 * before[i] + grad[i]) / 3, 1e-12, "mean");
    }
    expect_close(sums.dot, dot, 1e-12, "running mean dot");
  }
}

}  // namespace

int main() {
  check_convolutions();
  check_large_maps();
  check_linear();
  check_running_mean();
  check_overlapping_tiles<1>();
  check_overlapping_tiles<3>();
  check_overlapping_tiles<8>();
  check_counted();
  std::puts("the core agrees with plain loops");
}
