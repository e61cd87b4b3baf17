// How the work on one block is divided into parts.
//
// A thread that takes the same columns in every layer finds in its own cache most of what it reads: several threads may
// have outer caches of their own, from where another's numbers come no faster than from memory.
#pragma once

#include <algorithm>
#include <cstdint>

#include "core/parallel_for.hpp"
#include "core/variant.hpp"

namespace gradcon {

// Positions [begin, end) of an axis.
struct Range {
  int64_t begin;
  int64_t end;

  GRADCON_INLINE int64_t size() const { return end - begin; }
};

// Some of an array's channels, and some of its columns.
struct ArrayPart {
  Range channels;
  Range columns;
};

// Some targets of a contraction: rows, or pairs of rows, and columns of every phase of the stride.
struct TargetRanges {
  Range rows;
  Range columns;
};

namespace GRADCON_CORE_NAMESPACE {

inline Range part_of(int64_t size, int64_t part, int64_t parts) {
  return {part * size / parts, (part + 1) * size / parts};
}

// How many parts the threads find enough of, and the fewest columns that one of them has.
constexpr int64_t parts_of_an_axis = 8;
constexpr int64_t columns_of_a_part = 4;

inline bool has_parts_of_columns(int64_t columns) { return columns >= parts_of_an_axis * columns_of_a_part; }

// Calls function(part) for all of an array: columns shared among threads, or channels where there are few columns.
template <class Function>
void for_each_part(int64_t channels, int64_t columns, const ParallelFor& parallel_for, const Function& function) {
  if (parallel_for.is_serial()) return function(ArrayPart{{0, channels}, {0, columns}});
  if (has_parts_of_columns(columns)) {
    parallel_for(parts_of_an_axis,
                 [&](int64_t part) { function(ArrayPart{{0, channels}, part_of(columns, part, parts_of_an_axis)}); });
  } else {
    const int64_t parts = std::min(channels, parts_of_an_axis);
    parallel_for(parts, [&](int64_t part) { function(ArrayPart{part_of(channels, part, parts), {0, columns}}); });
  }
}

// What a contraction can be divided by. `tile_columns` are those of a tile in registers.
struct TargetAxes {
  int64_t channel_tiles;
  int64_t rows;
  int64_t columns;
  int64_t tile_columns;
};

// The parts of a contraction, in an order in which the outer caches are read little: some positions for all tiles of
// channels, then the next positions, where weights are small beside the sources; all positions for one tile, then the
// next tile, where sources are.
class TargetParts {
 public:
  TargetParts(const TargetAxes& axes, int64_t bytes_of_sources, int64_t bytes_of_weights, bool is_serial)
      : axes_(axes), positions_first_(reads_sources_once(axes, bytes_of_sources, bytes_of_weights)) {
    const int64_t column_tiles = quotient_up(axes.columns, axes.tile_columns);
    const int64_t wanted = positions_first_ ? parts_of_sources(bytes_of_sources) : 1;
    const bool shares_columns = !is_serial && (positions_first_ || axes.channel_tiles < shared);
    column_parts_ = std::min(shares_columns ? std::max(wanted, shared) : wanted, column_tiles);
    row_parts_ = std::min(quotient_up(wanted, column_parts_), axes.rows);
    if (!is_serial && axes.channel_tiles * column_parts_ < shared) row_parts_ = std::min(axes.rows, shared);
  }

  int64_t count() const { return axes_.channel_tiles * row_parts_ * column_parts_; }

  // Calls function(tile of channels, ranges).
  template <class Function>
  void visit(int64_t part, const Function& function) const {
    const int64_t positions = column_parts_ * row_parts_;
    const int64_t tile = positions_first_ ? part % axes_.channel_tiles : part / positions;
    const int64_t at = positions_first_ ? part / axes_.channel_tiles : part % positions;
    function(tile, TargetRanges{part_of(axes_.rows, at % row_parts_, row_parts_), columns(at / row_parts_)});
  }

 private:
  static int64_t quotient_up(int64_t dividend, int64_t divisor) { return (dividend + divisor - 1) / divisor; }
  static int64_t parts_of_sources(int64_t bytes) { return quotient_up(bytes, bytes_of_a_part); }

  // Each part of the sources costs all weights again, each tile of channels all sources, unless a cache keeps them.
  static bool reads_sources_once(const TargetAxes& axes, int64_t sources, int64_t weights) {
    if (sources > weights) return true;
    return sources > kept_bytes && parts_of_sources(sources) * weights < axes.channel_tiles * sources;
  }

  // Of whole tiles.
  Range columns(int64_t part) const {
    const Range some = part_of(quotient_up(axes_.columns, axes_.tile_columns), part, column_parts_);
    return {some.begin * axes_.tile_columns, std::min(some.end * axes_.tile_columns, axes_.columns)};
  }

  // What the second cache holds of sources beside a tile's weights and targets, for one part and at most.
  static constexpr int64_t bytes_of_a_part = 384 * 1024;
  static constexpr int64_t kept_bytes = 1024 * 1024;
  // As many parts as should be there where several threads take them.
  static constexpr int64_t shared = 4;

  TargetAxes axes_;
  bool positions_first_;
  int64_t column_parts_ = 1;
  int64_t row_parts_ = 1;
};

}  // namespace GRADCON_CORE_NAMESPACE
}  // namespace gradcon
