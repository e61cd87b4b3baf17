// Alignments by the CUDA sources on the emulated GPU, against plain loops.
#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <random>
#include <vector>

#include "core/naive_alignment.hpp"
#include "cuda/align_batch.cuh"
#include "cuda/align_vectors.cuh"
#include "cuda/gradient_tile.cuh"
#include "emulation.hpp"

using namespace gradcon;

namespace {

std::mt19937 generator(1);

int64_t draw(int64_t low, int64_t high) { return std::uniform_int_distribution<int64_t>(low, high)(generator); }

template <class T>
std::vector<T> random_values(int64_t size, double scale = 1) {
  std::normal_distribution<double> normal(0, scale);
  std::vector<T> values(static_cast<size_t>(size));
  for (T& value : values) value = static_cast<T>(normal(generator));
  return values;
}

Axis random_axis() { return {draw(1, 7), draw(1, 12), draw(1, 4), draw(1, 2), draw(0, 2), draw(1, 2)}; }

// Channels for every size of tile, and the kernels whose rows are taken as a whole as often as others.
Geometry random_geometry() {
  const int64_t channels[] = {1, 2, 3, 5, 8, 11};
  Geometry g;
  g.groups = draw(1, 2);
  g.inner_channels = g.groups * channels[draw(0, 5)];
  g.outer_channels = g.groups * channels[draw(0, 5)];
  g.height = random_axis();
  g.width = random_axis();
  const int64_t kind = draw(0, 3);
  if (kind < 2) {
    g.width.kernel = kind == 0 ? 4 : 3;
    g.width.stride = kind == 0 ? 2 : 1;
    g.width.dilation = 1;
  }
  return g;
}

template <class T>
BatchView<T> view_of(const std::vector<T>& values, int64_t channels, const Axis& height, const Axis& width,
                     bool inner) {
  const int64_t rows = inner ? height.inner : height.outer;
  const int64_t columns = inner ? width.inner : width.outer;
  return {values.data(), channels * rows * columns, rows * columns, columns, 1};
}

template <class T>
struct Batch {
  Geometry geometry;
  int64_t samples;
  int64_t count;  // of references
  std::vector<T> inner = random_values<T>(samples * geometry.inner_size());
  std::vector<T> outer = random_values<T>(samples * geometry.outer_size());
  std::vector<T> references = random_values<T>(count * geometry.weights());
  std::vector<T> dot = std::vector<T>(static_cast<size_t>(samples * count));
  std::vector<T> sq_norm = std::vector<T>(static_cast<size_t>(samples));

  void align() {
    const emulation::Launcher launcher;
    cuda::align_batch(launcher, geometry,
                      view_of(inner, geometry.inner_channels, geometry.height, geometry.width, true),
                      view_of(outer, geometry.outer_channels, geometry.height, geometry.width, false),
                      portable::References<T>{references.data(), count}, samples, {dot.data(), sq_norm.data()});
  }
};

}  // namespace

// Every channel is counted by exactly one tile, and no tile reaches outside.
TEST_CASE_TEMPLATE("overlapping tiles", TileSize, std::integral_constant<int, 1>, std::integral_constant<int, 3>,
                   std::integral_constant<int, 8>) {
  constexpr int Size = TileSize::value;
  for (int64_t channels = Size; channels < 40; ++channels) {
    const cuda::OverlappingTiles<Size> tiles = {channels};
    std::vector<int> counted(static_cast<size_t>(channels));
    for (int64_t tile = 0; tile < tiles.count(); ++tile) {
      for (int channel = tiles.counted(tile); channel < Size; ++channel) {
        ++counted.at(static_cast<size_t>(tiles.begin(tile) + channel));
      }
    }
    for (const int times : counted) CHECK(times == 1);
  }
}

TEST_CASE_TEMPLATE("batches of convolutions", T, float, double) {
  const double tolerance = sizeof(T) == sizeof(float) ? 1e-3 : 1e-11;
  for (int trial = 0; trial < 60; ++trial) {
    const int64_t sizes[] = {0, 1, 31, 33, 65};
    Batch<T> batch = {random_geometry(), sizes[trial % 5], draw(0, 3)};
    batch.align();
    for (int64_t sample = 0; sample < batch.samples; ++sample) {
      double dot, sq_norm = 0;
      for (int64_t k = 0; k < batch.count; ++k) {
        naive(batch.geometry, batch.inner.data() + sample * batch.geometry.inner_size(),
              batch.outer.data() + sample * batch.geometry.outer_size(),
              batch.references.data() + k * batch.geometry.weights(), dot, sq_norm);
        const auto got = static_cast<double>(batch.dot[static_cast<size_t>(sample * batch.count + k)]);
        REQUIRE(std::abs(got - dot) <= tolerance * (1 + std::abs(dot) + sq_norm));
        const auto got_sq_norm = static_cast<double>(batch.sq_norm[static_cast<size_t>(sample)]);
        REQUIRE(std::abs(got_sq_norm - sq_norm) <= tolerance * (1 + sq_norm));
      }
    }
  }
}

TEST_CASE("the order of threads is not seen") {
  for (int trial = 0; trial < 10; ++trial) {
    Batch<float> batch = {random_geometry(), 33, 2};
    batch.align();
    const std::vector<float> dot = batch.dot;
    const std::vector<float> sq_norm = batch.sq_norm;
    for (uint32_t seed = 0; seed < 3; ++seed) {
      emulation::shuffle(seed);
      batch.align();
      CHECK(batch.dot == dot);
      CHECK(batch.sq_norm == sq_norm);
    }
  }
}

// One of 1e-25 and one of 1e25 beside ordinary samples, which keep their numbers.
TEST_CASE("samples whose products leave float32 are aligned in double") {
  for (int trial = 0; trial < 20; ++trial) {
    const Geometry g = random_geometry();
    const emulation::Launcher launcher;
    constexpr int64_t samples = 35;
    const double scales[samples] = {1e-25, 1, 1e25};
    std::vector<float> inner = random_values<float>(samples * g.inner_size());
    const std::vector<float> outer = random_values<float>(samples * g.outer_size());
    const std::vector<float> reference = random_values<float>(g.weights());
    for (int64_t i = 0; i < samples * g.inner_size(); ++i) {
      const double scale = scales[i / g.inner_size()];
      inner[static_cast<size_t>(i)] *= static_cast<float>(scale == 0 ? 1 : scale);
    }
    const auto inner_lanes = launcher.array<float>(64 * g.inner_size());
    const auto outer_lanes = launcher.array<float>(64 * g.outer_size());
    const cuda::Lanes<float> inner_in = {inner_lanes.data(), 32 * g.inner_size()};
    const cuda::Lanes<float> outer_in = {outer_lanes.data(), 32 * g.outer_size()};
    cuda::to_lanes(launcher, view_of(inner, g.inner_channels, g.height, g.width, true),
                   {g.inner_channels, g.height.inner, g.width.inner}, 0, samples, inner_in);
    cuda::to_lanes(launcher, view_of(outer, g.outer_channels, g.height, g.width, false),
                   {g.outer_channels, g.height.outer, g.width.outer}, 0, samples, outer_in);
    std::vector<double> dot(samples), sq_norm(samples);
    const cuda::AlignmentOutput<double> output = {dot.data(), sq_norm.data()};
    cuda::align_lanes<float, double>(launcher, g, inner_in, outer_in, {reference.data(), 1}, samples, output);
    const std::vector<double> narrow = dot;
    const double reference_norm = 1;
    cuda::align_lost_in_double(launcher, g, inner_in, outer_in, reference.data(), &reference_norm, samples, output);
    for (int64_t sample = 0; sample < samples; ++sample) {
      const auto at = static_cast<size_t>(sample);
      double expected_dot, expected_sq_norm;
      naive(g, inner.data() + sample * g.inner_size(), outer.data() + sample * g.outer_size(), reference.data(),
            expected_dot, expected_sq_norm);
      REQUIRE(std::abs(sq_norm[at] - expected_sq_norm) <= 1e-4 * expected_sq_norm);
      if (sample != 0 && sample != 2) REQUIRE(dot[at] == narrow[at]);
    }
  }
}

TEST_CASE_TEMPLATE("linear layers of one position", T, float, double) {
  for (const int64_t samples : {0, 1, 31, 33, 65}) {
    const int64_t inputs = draw(1, 40);
    const int64_t outputs = draw(1, 40);
    const int64_t count = draw(0, 2);
    const std::vector<T> x = random_values<T>(samples * inputs);
    const std::vector<T> y = random_values<T>(samples * outputs);
    const std::vector<T> projected = random_values<T>(samples * count * outputs);
    std::vector<T> dot(static_cast<size_t>(samples * count)), sq_norm(static_cast<size_t>(samples));
    const cuda::VectorPairs<T> pairs = {
        {x.data(), inputs, 1, 0, 0}, {y.data(), outputs, 1, 0, 0}, inputs, outputs, samples};
    cuda::align_vectors(emulation::Launcher(), pairs, projected.data(), count, {dot.data(), sq_norm.data()});
    for (int64_t sample = 0; sample < samples; ++sample) {
      double x_sq = 0, y_sq = 0;
      for (int64_t i = 0; i < inputs; ++i) x_sq += std::pow(static_cast<double>(x[sample * inputs + i]), 2);
      for (int64_t o = 0; o < outputs; ++o) y_sq += std::pow(static_cast<double>(y[sample * outputs + o]), 2);
      CHECK(static_cast<double>(sq_norm[static_cast<size_t>(sample)]) == doctest::Approx(x_sq * y_sq).epsilon(1e-5));
      for (int64_t k = 0; k < count; ++k) {
        double expected = 0;
        for (int64_t o = 0; o < outputs; ++o) {
          expected += static_cast<double>(y[sample * outputs + o]) *
                      static_cast<double>(projected[(sample * count + k) * outputs + o]);
        }
        CHECK(static_cast<double>(dot[sample * count + k]) == doctest::Approx(expected).epsilon(1e-5));
      }
    }
  }
}
