// A contraction item by item, as a GPU runs it, against the loops over whole tiles of channels.
#include <doctest/doctest.h>

#include <cstdint>
#include <random>
#include <type_traits>

#include "core/gather_items.hpp"
#include "core/lane.hpp"
#include "core/pack_weights.hpp"
#include "cpu/scratch.hpp"

namespace core = gradcon::portable;
using namespace gradcon;

namespace {

using LaneType = core::Lane<double, 4>;

std::mt19937 generator(1);

int64_t draw(int64_t low, int64_t high) { return std::uniform_int_distribution<int64_t>(low, high)(generator); }

void fill(double* values, int64_t size) {
  std::normal_distribution<double> normal;
  for (int64_t i = 0; i < size; ++i) values[i] = normal(generator);
}

// Every target takes the same terms in the same order, so even the bits are the same.
template <int Channels>
void check(const Contraction& contraction) {
  const Geometry& geometry = contraction.geometry;
  const int64_t weights = geometry.weights();
  const bool inward = contraction.inward();
  const int64_t target_channels = inward ? geometry.inner_channels : geometry.outer_channels;
  const int64_t sources = (inward ? geometry.outer_size() : geometry.inner_size()) * LaneType::samples;
  const int64_t targets = target_channels * contraction.target_positions() * LaneType::samples;
  const cpu::Scratch<double> weight(weights), packed(weights), expected_packed(weights), bias(target_channels);
  const cpu::Scratch<double> source(sources), target(targets), expected(targets);
  fill(weight.data(), weights);
  fill(bias.data(), target_channels);
  fill(source.data(), sources);
  fill(target.data(), targets);
  for (int64_t i = 0; i < targets; ++i) expected.data()[i] = target.data()[i];

  core::pack_weights(contraction, Channels, weight.data(), expected_packed.data());
  for (int64_t i = 0; i < weights; ++i) {
    packed.data()[core::packed_place(contraction, Channels, i)] = weight.data()[i];
  }
  for (int64_t i = 0; i < weights; ++i) REQUIRE(packed.data()[i] == expected_packed.data()[i]);

  const core::GatherOperands<double> operands = {source.data(), packed.data(), bias.data(), draw(0, 1) == 1};
  const int64_t tiles = contraction.targets_per_group() / Channels;
  for (int64_t tile = 0; tile < geometry.groups * tiles; ++tile) {
    const core::Rows rows = {0, contraction.target_rows()};
    core::gather<LaneType, Channels>(contraction, tile / tiles, tile % tiles, rows, operands, expected.data());
  }
  const core::GatherItems items(contraction, Channels);
  for (int64_t item = 0; item < items.count(); ++item) {
    core::gather_item<LaneType, Channels>(contraction, items, item, operands, target.data());
  }
  for (int64_t i = 0; i < targets; ++i) REQUIRE(target.data()[i] == expected.data()[i]);
}

Axis random_axis() { return {draw(1, 6), draw(1, 9), draw(1, 4), draw(1, 3), draw(0, 4), draw(1, 3)}; }

TEST_CASE_TEMPLATE("a contraction item by item", Extent, std::integral_constant<int, 1>, std::integral_constant<int, 3>,
                   std::integral_constant<int, 8>) {
  constexpr int Channels = Extent::value;
  for (int trial = 0; trial < 200; ++trial) {
    Contraction contraction;
    contraction.direction = draw(0, 1) == 1 ? Direction::to_inner : Direction::to_outer;
    Geometry& geometry = contraction.geometry;
    geometry.groups = draw(1, 3);
    geometry.inner_channels = geometry.groups * (contraction.inward() ? Channels * draw(1, 3) : draw(1, 7));
    geometry.outer_channels = geometry.groups * (contraction.inward() ? draw(1, 7) : Channels * draw(1, 3));
    geometry.height = random_axis();
    geometry.width = random_axis();
    check<Channels>(contraction);
  }
}

}  // namespace
