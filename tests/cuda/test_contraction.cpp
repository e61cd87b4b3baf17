// Contractions by the CUDA sources on the emulated GPU, against plain loops.
#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <random>
#include <vector>

#include "cuda/contraction.cuh"
#include "emulation.hpp"
#include "naive_products.hpp"

using namespace gradcon;

namespace {

std::mt19937 generator(1);

int64_t draw(int64_t low, int64_t high) { return std::uniform_int_distribution<int64_t>(low, high)(generator); }

template <class T>
std::vector<T> random_values(int64_t size) {
  std::normal_distribution<double> normal;
  std::vector<T> values(static_cast<size_t>(size));
  for (T& value : values) value = static_cast<T>(normal(generator));
  return values;
}

// Every way in which a row of taps meets its sources, at more columns than a tile has.
Axis random_axis() { return {draw(1, 18), draw(1, 18), draw(1, 5), draw(1, 3), draw(0, 3), draw(1, 2)}; }

Contraction random_contraction() {
  const int64_t channels[] = {1, 2, 3, 4, 7, 8, 16};
  Contraction contraction;
  contraction.direction = draw(0, 1) == 1 ? Direction::to_inner : Direction::to_outer;
  Geometry& geometry = contraction.geometry;
  geometry.groups = draw(1, 2);
  geometry.inner_channels = geometry.groups * channels[draw(0, 6)];
  geometry.outer_channels = geometry.groups * channels[draw(0, 6)];
  geometry.height = random_axis();
  geometry.height.inner = draw(1, 4);
  geometry.height.outer = draw(1, 6);
  geometry.width = random_axis();
  return contraction;
}

constexpr int64_t blocks = 2;
constexpr int64_t lanes = blocks * cuda::warp_size;

// Adds what joins each weight's sources to its targets, for all samples; arrays are [block][channel, row,
// column][lane].
template <class T>
void add_naively(const Contraction& contraction, const std::vector<T>& source, const std::vector<T>& weights,
                 std::vector<double>& target) {
  const Geometry& g = contraction.geometry;
  const bool inward = contraction.inward();
  const int64_t inner_size = g.inner_size(), outer_size = g.outer_size();
  for (int64_t weight = 0; weight < g.weights(); ++weight) {
    const JoinedChannels channels(g, weight);
    for_each_product(g, weight, [&](int64_t row, int64_t column, int64_t y, int64_t x) {
      const int64_t inner = (channels.inner * g.height.inner + row) * g.width.inner + column;
      const int64_t outer = (channels.outer * g.height.outer + y) * g.width.outer + x;
      for (int64_t lane = 0; lane < lanes; ++lane) {
        const int64_t block = lane / cuda::warp_size, of_block = lane % cuda::warp_size;
        const auto at_inner = static_cast<size_t>((block * inner_size + inner) * cuda::warp_size + of_block);
        const auto at_outer = static_cast<size_t>((block * outer_size + outer) * cuda::warp_size + of_block);
        target[inward ? at_inner : at_outer] += static_cast<double>(weights[static_cast<size_t>(weight)]) *
                                                static_cast<double>(source[inward ? at_outer : at_inner]);
      }
    });
  }
}

template <class T>
cuda::Lanes<T> in_lanes(std::vector<T>& values) {
  return {values.data(), static_cast<int64_t>(values.size()) / blocks};
}

template <class T>
struct Case {
  Contraction contraction = random_contraction();
  int64_t source_size = contraction.source_size();
  int64_t target_size = contraction.inward() ? contraction.geometry.inner_size() : contraction.geometry.outer_size();
  int64_t channels = contraction.geometry.groups * contraction.targets_per_group();
  std::vector<T> source = random_values<T>(lanes * source_size);
  std::vector<T> target = random_values<T>(lanes * target_size);
  std::vector<T> weights = random_values<T>(contraction.geometry.weights());
  std::vector<T> bias = random_values<T>(channels);
  bool biased = draw(0, 1) == 1;
  bool accumulates = draw(0, 1) == 1;

  std::vector<double> expected() const {
    std::vector<double> values(target.begin(), target.end());
    const int64_t positions = target_size / channels;
    for (size_t i = 0; i < values.size() && !accumulates; ++i) {
      const auto channel = static_cast<int64_t>(i) / cuda::warp_size / positions % channels;
      values[i] = biased ? static_cast<double>(bias[static_cast<size_t>(channel)]) : 0;
    }
    add_naively(contraction, source, weights, values);
    return values;
  }

  void contract() {
    const emulation::Launcher launcher;
    const auto packed = launcher.array<T>(contraction.geometry.weights());
    const cuda::ContractionOperands<T> operands = {in_lanes(source), weights.data(), biased ? bias.data() : nullptr,
                                                   in_lanes(target), accumulates};
    cuda::contract(launcher, contraction, blocks, operands, packed.data());
  }
};

}  // namespace

TEST_CASE_TEMPLATE("contractions of all kinds", T, float, double) {
  const double tolerance = sizeof(T) == sizeof(float) ? 1e-4 : 1e-12;
  for (int trial = 0; trial < 120; ++trial) {
    Case<T> some;
    const std::vector<double> expected = some.expected();
    some.contract();
    for (size_t i = 0; i < expected.size(); ++i) {
      REQUIRE(std::abs(static_cast<double>(some.target[i]) - expected[i]) <= tolerance * (10 + std::abs(expected[i])));
    }
  }
}
