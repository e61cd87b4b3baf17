// Parts of the work on a block: together they are the whole, and nothing is in two of them.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <vector>

#include "core/gather_pairs.hpp"
#include "core/parts.hpp"

using namespace gradcon;
namespace core = gradcon::GRADCON_CORE_NAMESPACE;
using core::TargetAxes;
using core::TargetParts;

namespace {

constexpr ParallelFor in_turn = {
    [](const void*, int64_t parts, ParallelFor::Part body, const void* state) {
      for (int64_t part = parts - 1; part >= 0; --part) body(state, part);
    },
    nullptr,
};

bool each_once(const std::vector<int>& counts) {
  return std::all_of(counts.begin(), counts.end(), [](int count) { return count == 1; });
}

std::vector<int> targets_of(const TargetAxes& axes, const TargetParts& parts) {
  std::vector<int> counts(static_cast<size_t>(axes.channel_tiles * axes.rows * axes.columns));
  for (int64_t part = 0; part < parts.count(); ++part) {
    parts.visit(part, [&](int64_t tile, const TargetRanges& ranges) {
      CHECK(ranges.columns.begin % axes.tile_columns == 0);
      for (int64_t row = ranges.rows.begin; row < ranges.rows.end; ++row) {
        for (int64_t column = ranges.columns.begin; column < ranges.columns.end; ++column) {
          ++counts[static_cast<size_t>((tile * axes.rows + row) * axes.columns + column)];
        }
      }
    });
  }
  return counts;
}

}  // namespace

TEST_CASE("every target of a contraction is in one part") {
  for (const int64_t tiles : {1, 2, 3, 8}) {
    for (const int64_t rows : {1, 2, 5, 33}) {
      for (const int64_t columns : {1, 3, 4, 14, 256}) {
        for (const int64_t tile_columns : {1, 3, 4}) {
          for (const int64_t bytes : {1, 1 << 18, 1 << 20, 1 << 26}) {
            const TargetAxes axes = {tiles, rows, columns, tile_columns};
            for (const bool is_serial : {true, false}) {
              REQUIRE(each_once(targets_of(axes, TargetParts(axes, bytes, 1 << 19, is_serial))));
            }
          }
        }
      }
    }
  }
}

TEST_CASE(
    "sources that no cache holds are read once, though weights are more, and in parts of rows where columns are few") {
  const TargetAxes axes = {32, 8, 8, 3};
  const TargetParts parts(axes, 3686400, 4194304, true);
  CHECK(parts.count() == 32 * 12);
  std::vector<std::vector<int64_t>> visits;
  for (int64_t part = 0; part < parts.count(); ++part) {
    parts.visit(part, [&](int64_t tile, const TargetRanges& ranges) {
      visits.push_back({ranges.columns.begin, ranges.columns.end, ranges.rows.begin, ranges.rows.end, tile});
    });
  }
  CHECK(std::is_sorted(visits.begin(), visits.end()));
  const TargetParts of_kept_sources(axes, 1 << 20, 4194304, true);
  CHECK(of_kept_sources.count() == 32);
  const TargetParts of_few_tiles({2, 8, 8, 3}, 3686400, 4194304, true);
  CHECK(of_few_tiles.count() == 2);
}

TEST_CASE("several threads find parts, and one thread reads the larger operand once") {
  const TargetAxes wide = {8, 32, 256, 4};
  CHECK(TargetParts(wide, 8 << 20, 1 << 17, true).count() > 8);
  CHECK(TargetParts(wide, 1 << 16, 1 << 17, true).count() == 8);
  const TargetAxes of_one_tile = {1, 32, 256, 4};
  CHECK(TargetParts(of_one_tile, 1 << 16, 1 << 17, true).count() == 1);
  CHECK(TargetParts(of_one_tile, 1 << 16, 1 << 17, false).count() == 4);
  const TargetAxes tall = {1, 512, 1, 4};
  CHECK(TargetParts(tall, 1 << 20, 1 << 10, false).count() == 4);
}

TEST_CASE("every position of an array is in one part") {
  for (const int64_t channels : {1, 3, 64}) {
    for (const int64_t columns : {1, 31, 32, 100}) {
      for (const ParallelFor& parallel_for : {ParallelFor{}, in_turn}) {
        std::vector<int> counts(static_cast<size_t>(channels * columns));
        core::for_each_part(channels, columns, parallel_for, [&](const ArrayPart& part) {
          for (int64_t channel = part.channels.begin; channel < part.channels.end; ++channel) {
            for (int64_t column = part.columns.begin; column < part.columns.end; ++column) {
              ++counts[static_cast<size_t>(channel * columns + column)];
            }
          }
        });
        REQUIRE(each_once(counts));
      }
    }
  }
}

TEST_CASE("columns of a copy lie before, in, or behind the grid") {
  for (const int64_t padding : {0, 1, 2}) {
    for (const int64_t grid : {3, 8, 40}) {
      const PairAxis axis = pair_axis({(grid + 2 * padding - 4) / 2 + 1, grid, 4, 2, padding, 1}, true);
      const Border border(axis, grid);
      for (int64_t begin = 0; begin < axis.sources; ++begin) {
        for (int64_t end = begin; end <= axis.sources; ++end) {
          const BorderedRange range(border, {begin, end});
          int64_t before = 0, inside = 0, first = -1;
          for (int64_t at = begin; at < end; ++at) {
            const int64_t column = at + axis.first_source;
            before += column < 0;
            if (column < 0 || column >= grid) continue;
            if (inside++ == 0) first = column;
          }
          REQUIRE(range.before == before);
          REQUIRE(range.inside == inside);
          REQUIRE(range.before + range.inside + range.after == end - begin);
          if (inside > 0) REQUIRE(range.first == first);
        }
      }
    }
  }
}
