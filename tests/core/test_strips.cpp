// Samples cut into strips of rows have the scores that they have in one piece.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/strips.hpp"
#include "spatial_chain.hpp"

TEST_CASE("scores depend neither on the number of strips nor on whether targets are computed in pairs") {
  for (int trial = 0; trial < 300; ++trial) {
    const Case c = spatial_case(3);
    REQUIRE(can_be_cut(c.chain()));
    const int64_t count = draw(1, 5);
    const std::vector<double> pixels = random_values(count * size_of(c.images), 1);
    const Chain chain = c.chain();
    const Scores whole = scores_of(c, chain, pixels, count);
    for (const Chain& some : {chain, in_pairs(chain)}) {
      for (const int64_t strips : {1, 2, 4}) {
        const Scores scores = scores_of(c, some, pixels, count, strips);
        check_close(scores.losses, whole.losses);
        check_close(scores.cosines, whole.cosines);
      }
    }
  }
}

TEST_CASE("a chain that mixes rows is not cut") {
  Case c;
  c.linear(c.images, c.images, true);
  CHECK_FALSE(can_be_cut(c.chain()));
}

// As wide as the widest vectors, which not every machine that runs this has.
using Wide = core::Lane<double, 16>;

TEST_CASE("rows are gathered from the strips where they count") {
  for (int trial = 0; trial < 500; ++trial) {
    const int64_t strips = int64_t{1} << draw(1, 4);
    const int64_t samples = Wide::samples / strips;
    CutRows cut = {draw(1, 70), 0, 0, draw(1, 3), strips};
    cut.step = draw(1, cut.grid_rows / strips + 2);
    cut.strip_rows = std::max(draw(1, 2) * cut.step, cut.grid_rows - (strips - 1) * cut.step);
    const SourceRows wanted = {draw(0, 1) == 1 ? cut.step : draw(1, 9), draw(-9, 9), draw(1, 12)};
    const auto size = static_cast<size_t>(cut.grid_rows * cut.columns * samples);
    const std::vector<double> grid = random_values(static_cast<int64_t>(size), 1);
    const auto at = [&](int64_t row, int64_t column, int64_t sample) {
      return row < 0 || row >= cut.grid_rows
                 ? 0.0
                 : grid[static_cast<size_t>((row * cut.columns + column) * samples + sample)];
    };
    const cpu::Scratch<double> lanes(cut.strip_rows * cut.columns * Wide::samples);
    for (int64_t i = 0; i < cut.strip_rows * cut.columns * Wide::samples; ++i) {
      const int64_t row = i / Wide::samples / cut.columns;
      lanes.data()[i] = at(i % Wide::samples / samples * cut.step + row, i / Wide::samples % cut.columns, i % samples);
    }
    core::clear_rows<Wide>(cut, {0, cut.columns}, lanes.data());
    const cpu::Scratch<double> gathered(wanted.count * cut.columns * Wide::samples);
    for (int64_t row = 0; row < wanted.count; ++row) {
      core::gather_row<Wide>(cut, wanted, row, cut.columns, lanes.data(),
                             gathered.data() + row * cut.columns * Wide::samples);
    }
    for (int64_t i = 0; i < wanted.count * cut.columns * Wide::samples; ++i) {
      const int64_t row = i / Wide::samples / cut.columns;
      const int64_t strip = i % Wide::samples / samples;
      const int64_t column = i / Wide::samples % cut.columns;
      REQUIRE(gathered.data()[i] == at(strip * wanted.step + wanted.first + row, column, i % samples));
    }
  }
}

TEST_CASE("norms of numbers that are spread over the lanes of a sample") {
  for (int64_t samples = 1; samples <= Wide::samples; samples *= 2) {
    Wide tile[3][4];
    std::vector<double> expected(static_cast<size_t>(samples));
    std::vector<double> expected_l1(static_cast<size_t>(samples));
    for (auto& row : tile) {
      for (Wide& number : row) {
        std::vector<double> sums(static_cast<size_t>(samples));
        for (int lane = 0; lane < Wide::samples; ++lane) {
          number.value[lane] = random_values(1, 1)[0];
          sums[static_cast<size_t>(lane % samples)] += number.value[lane];
        }
        for (size_t sample = 0; sample < sums.size(); ++sample) {
          expected[sample] += sums[sample] * sums[sample];
          expected_l1[sample] += std::abs(sums[sample]);
        }
      }
    }
    const core::StripSum<Wide> strip_sum = {samples};
    core::Sum<Wide> sq_norm;
    sq_norm.add(strip_sum.sum_of_tile<core::Square>(tile));
    strip_sum.join(sq_norm);
    core::Sum<Wide> l1_norm;
    l1_norm.add(strip_sum.sum_of_tile<core::Magnitude>(tile));
    strip_sum.join(l1_norm);
    core::Sum<Wide> one;
    const Wide joined = strip_sum.joined(tile[0][0]);
    one.add_product(joined, joined);
    for (int64_t sample = 0; sample < samples; ++sample) {
      CHECK(sq_norm.value[sample] == doctest::Approx(expected[static_cast<size_t>(sample)]));
      CHECK(l1_norm.value[sample] == doctest::Approx(expected_l1[static_cast<size_t>(sample)]));
    }
    strip_sum.join(one);
    double sum = 0;
    for (int64_t lane = 0; lane < Wide::samples; lane += samples) sum += tile[0][0].value[lane];
    CHECK(one.value[0] == doctest::Approx(sum * sum));
  }
}
