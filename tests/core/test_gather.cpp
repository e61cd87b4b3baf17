// Values that a contraction makes, against plain loops: tiles of few channels and of many, clipped by the grid and not.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <vector>

#include "core/gather.hpp"
#include "core/lane.hpp"
#include "core/lane_array.hpp"
#include "core/pack_weights.hpp"
#include "naive_products.hpp"

using namespace gradcon;
namespace core = gradcon::GRADCON_CORE_NAMESPACE;

namespace {

using LaneType = core::Lane<double, 4>;

constexpr int most_channels = 4;

std::mt19937 generator(5);

int64_t any_of(int64_t least, int64_t most) { return std::uniform_int_distribution<int64_t>(least, most)(generator); }

double any_number() { return std::normal_distribution<double>()(generator); }

// With an outer grid that reaches as far as the taps, or a little less or more.
Axis any_axis(int64_t most_inner) {
  Axis axis;
  axis.inner = any_of(1, most_inner);
  axis.kernel = any_of(1, 4);
  axis.stride = any_of(1, 3);
  axis.padding = any_of(0, 2);
  axis.dilation = any_of(1, 2);
  const int64_t reach = (axis.inner - 1) * axis.stride - axis.padding + (axis.kernel - 1) * axis.dilation + 1;
  axis.outer = std::max<int64_t>(1, reach + any_of(-2, 2));
  return axis;
}

Geometry any_geometry() {
  Geometry geometry;
  geometry.groups = any_of(1, 2);
  geometry.inner_channels = geometry.groups * any_of(1, 6);
  geometry.outer_channels = geometry.groups * any_of(1, 6);
  geometry.height = any_axis(4);
  geometry.width = any_axis(20);
  return geometry;
}

// Where one sample's number lies.
struct Array {
  int64_t columns;
  int64_t pitch;

  int64_t at(int64_t channel, int64_t row, int64_t column, int64_t sample) const {
    return (channel * pitch + row * columns + column) * LaneType::samples + sample;
  }
};

// Adds to the targets of one sample what every tap joins to them.
void add_naively(const Contraction& contraction, const std::vector<double>& weight, const double* source,
                 const Array& sources, int64_t sample, std::vector<double>& target, const Array& targets) {
  const Geometry& g = contraction.geometry;
  for (int64_t index = 0; index < g.weights(); ++index) {
    const JoinedChannels channels(g, index);
    for_each_product(g, index, [&](int64_t row, int64_t column, int64_t y, int64_t x) {
      const bool inward = contraction.inward();
      const int64_t from =
          inward ? sources.at(channels.outer, y, x, sample) : sources.at(channels.inner, row, column, sample);
      const int64_t to =
          inward ? targets.at(channels.inner, row, column, sample) : targets.at(channels.outer, y, x, sample);
      target[static_cast<size_t>(to)] += weight[static_cast<size_t>(index)] * source[from];
    });
  }
}

// All targets, some columns at a time, in the form that the weights are packed for.
void gather_all(const Contraction& given, const core::GatherOperands<double>& operands, double* target) {
  const ContractionForm contraction = form_of(given, most_channels);
  const core::EvenTiles tiles(contraction.targets_per_group(), most_channels);
  const int64_t columns = contraction.target_columns_of(0);
  const int64_t at_a_time = 2 * core::columns_of_a_tile<LaneType, most_channels>(contraction);
  for (int64_t tile = 0; tile < contraction.geometry.groups * tiles.tiles; ++tile) {
    for (int64_t column = 0; column < columns; column += at_a_time) {
      const TargetRanges ranges = {{0, contraction.target_rows()}, {column, std::min(column + at_a_time, columns)}};
      core::gather<LaneType, most_channels>(contraction, tile / tiles.tiles, tile % tiles.tiles, ranges, operands,
                                            target);
    }
  }
}

void check_gather(const Contraction& contraction, bool accumulates, int64_t more_pitch) {
  const Geometry& g = contraction.geometry;
  const int64_t source_channels = contraction.inward() ? g.outer_channels : g.inner_channels;
  const int64_t target_channels = contraction.inward() ? g.inner_channels : g.outer_channels;
  const Array sources = {contraction.source_columns(), contraction.source_positions() + more_pitch};
  const Array targets = {contraction.target_columns(), contraction.target_positions()};
  std::vector<double> weight(static_cast<size_t>(g.weights()));
  for (double& each : weight) each = any_number();
  std::vector<double> bias(static_cast<size_t>(target_channels));
  for (double& each : bias) each = any_number();

  // Between the channels is what nobody may read.
  core::LaneArray<LaneType> source_lanes(source_channels * sources.pitch);
  auto* source = reinterpret_cast<double*>(source_lanes.begin());
  for (int64_t i = 0; i < source_channels * sources.pitch * LaneType::samples; ++i) {
    const bool between = i / LaneType::samples % sources.pitch >= contraction.source_positions();
    source[i] = between ? std::numeric_limits<double>::quiet_NaN() : any_number();
  }
  core::LaneArray<LaneType> target_lanes(target_channels * targets.pitch);
  auto* target = reinterpret_cast<double*>(target_lanes.begin());
  std::vector<double> expected(static_cast<size_t>(target_channels * targets.pitch * LaneType::samples));
  for (size_t i = 0; i < expected.size(); ++i) {
    target[i] = any_number();
    expected[i] = accumulates ? target[i] : bias[i / static_cast<size_t>(targets.pitch * LaneType::samples)];
  }

  std::vector<double> packed(weight.size());
  core::pack_weights(contraction, most_channels, weight.data(), packed.data());
  gather_all(contraction, {source, packed.data(), bias.data(), accumulates, more_pitch == 0 ? 0 : sources.pitch},
             target);
  for (int64_t sample = 0; sample < LaneType::samples; ++sample) {
    add_naively(contraction, weight, source, sources, sample, expected, targets);
  }
  double largest_error = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    const double error = std::abs(target[i] - expected[i]);
    largest_error = error <= largest_error ? largest_error : error;
  }
  CAPTURE(g.width.inner);
  CAPTURE(g.width.outer);
  REQUIRE(largest_error < 1e-12);
}

}  // namespace

TEST_CASE("a contraction is the sum over all taps and source channels") {
  for (int round = 0; round < 400; ++round) {
    const Geometry geometry = any_geometry();
    for (const Direction direction : {Direction::to_inner, Direction::to_outer}) {
      for (const bool accumulates : {false, true}) check_gather({geometry, direction}, accumulates, any_of(0, 2));
    }
  }
}

TEST_CASE("few targets of a strided contraction, whose phases are channels of their own") {
  for (int round = 0; round < 200; ++round) {
    Geometry geometry;
    geometry.groups = any_of(1, 2);
    geometry.inner_channels = geometry.groups * any_of(1, 5);
    geometry.outer_channels = geometry.groups * any_of(1, 2);
    geometry.height = {any_of(1, 5), any_of(1, 9), any_of(1, 4), any_of(1, 3), any_of(0, 2), 1};
    geometry.width = {any_of(1, 9), any_of(1, 19), 2 * any_of(1, 3), 2, any_of(0, 5), 1};
    const Contraction contraction = {geometry, Direction::to_outer};
    REQUIRE(form_of(contraction, most_channels).interleaving.phases == most_phases);
    for (const bool accumulates : {false, true}) check_gather(contraction, accumulates, any_of(0, 2));
  }
}

TEST_CASE("phases are no channels where they have not the same sources, or are too many") {
  Geometry geometry;
  geometry.outer_channels = 2;
  geometry.width = {8, 16, 4, 2, 2, 1};
  CHECK(can_interleave(geometry, 4));
  CHECK_FALSE(can_interleave(geometry, 3));
  CHECK(form_of({geometry, Direction::to_inner}, 4).interleaving.phases == 1);
  for (int64_t Axis::* const number : {&Axis::kernel, &Axis::stride, &Axis::dilation}) {
    Geometry other = geometry;
    ++(other.width.*number);
    CHECK_FALSE(can_interleave(other, 4));
  }
}

TEST_CASE("few channels take more columns, unless a tap reaches beyond the grid") {
  Geometry geometry;
  geometry.outer_channels = 3;
  geometry.inner_channels = 2;
  geometry.height = {2, 4, 4, 2, 1, 1};
  geometry.width = {12, 24, 4, 2, 1, 1};
  const Contraction contraction = {geometry, Direction::to_inner};
  CHECK(core::columns_of_a_tile<LaneType, 4>(contraction) == core::most_columns_of_few_channels);
  CHECK(core::columns_of_a_tile<LaneType, 3>(contraction) == core::most_columns);
  CHECK_FALSE(TargetColumns(contraction, 0, 6).lie_inside(contraction));
  CHECK(TargetColumns(contraction, 1, 6).lie_inside(contraction));
  CHECK_FALSE(TargetColumns(contraction, 6, 6).lie_inside(contraction));
  CHECK(TargetColumns(contraction, 5, 6).lie_inside(contraction));
  CHECK(TargetColumns(contraction, 0, 12).lie_inside(contraction, 1));
}
