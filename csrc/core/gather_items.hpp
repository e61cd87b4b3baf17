// A contraction in small items, each a tile of target channels at up to most_columns columns of one row. For a
// processor with more threads than a layer has tiles of channels.
#pragma once

#include <cstdint>

#include "core/gather.hpp"

namespace gradcon::GRADCON_CORE_NAMESPACE {

// The items of one block of samples, neighbours at one place: they read the same sources.
struct GatherItems {
  int64_t tiles_of_group;
  int64_t tiles_of_all_groups;
  // Phases of the stride; the first one has the most columns.
  int64_t phases;
  int64_t column_tiles;
  int64_t rows;

  // `channels` of a tile divide those of a group.
  GRADCON_INLINE GatherItems(const Contraction& contraction, int64_t channels)
      : tiles_of_group(contraction.targets_per_group() / channels),
        tiles_of_all_groups(contraction.geometry.groups * tiles_of_group),
        phases(phases_of(contraction)),
        column_tiles(columns_of(contraction, 0).tiles),
        rows(contraction.target_rows()) {}

  GRADCON_INLINE int64_t count() const { return tiles_of_all_groups * column_tiles * phases * rows; }

  static GRADCON_INLINE EvenTiles columns_of(const Contraction& contraction, int64_t phase) {
    const int64_t shift = contraction.target_shift(contraction.geometry.width);
    return {(contraction.target_columns() - phase + shift - 1) / shift, most_columns};
  }

 private:
  static GRADCON_INLINE int64_t phases_of(const Contraction& contraction) {
    const int64_t shift = contraction.target_shift(contraction.geometry.width);
    return shift < contraction.target_columns() ? shift : contraction.target_columns();
  }
};

// The operands and `target` are those of the layer, the weights packed for tiles of `Channels`.
template <class LaneType, int Channels, class T = typename LaneType::Scalar>
GRADCON_INLINE void gather_item(const Contraction& contraction, const GatherItems& items, int64_t item,
                                const GatherOperands<T>& layer, T* target) {
  const int64_t tile = item % items.tiles_of_all_groups;
  const int64_t place = item / items.tiles_of_all_groups;
  const int64_t column_tile = place % items.column_tiles;
  const int64_t phase = place / items.column_tiles % items.phases;
  const int64_t row = place / items.column_tiles / items.phases;

  const EvenTiles column_tiles = GatherItems::columns_of(contraction, phase);
  if (column_tile >= column_tiles.tiles) return;
  const int64_t column = phase + column_tiles.begin(column_tile) * contraction.target_shift(contraction.geometry.width);
  const GatherOperands<T> operands =
      operands_of_tile<LaneType>(contraction, tile / items.tiles_of_group, tile * Channels, layer);
  const TapRun rows = contraction.taps(contraction.geometry.height, row);
  const TapRun columns = contraction.taps(contraction.geometry.width, column);
  const int64_t position = row * contraction.target_columns() + column;
  T* targets = target + (tile * Channels * contraction.target_positions() + position) * LaneType::samples;
  if (column_tiles.extent(column_tile) == 3) {
    gather_tile<LaneType, Channels, 3>(contraction, operands, rows, columns, targets);
  } else if (column_tiles.extent(column_tile) == 2) {
    gather_tile<LaneType, Channels, 2>(contraction, operands, rows, columns, targets);
  } else {
    gather_tile<LaneType, Channels, 1>(contraction, operands, rows, columns, targets);
  }
}

// Where pack_weights puts weight `index` of (inner channels, outer channels / groups, taps), for tiles of `channels`
// that divide those of a group.
GRADCON_INLINE int64_t packed_place(const Contraction& contraction, int64_t channels, int64_t index) {
  const PackedWeights packed(contraction);
  const int64_t outer_channels = contraction.geometry.outer_channels_per_group();
  const int64_t inner_channels = contraction.geometry.inner_channels_per_group();
  const int64_t tap = index % packed.taps;
  const int64_t outer = index / packed.taps % outer_channels;
  const int64_t inner = index / packed.taps / outer_channels % inner_channels;
  const int64_t group = index / packed.taps / outer_channels / inner_channels;
  const int64_t source = contraction.inward() ? outer : inner;
  const int64_t target = contraction.inward() ? inner : outer;
  const int64_t in_tile = target % channels;
  return packed.tile(group * contraction.targets_per_group() + target - in_tile) + packed.tap(tap, channels) +
         source * channels + in_tile;
}

}  // namespace gradcon::GRADCON_CORE_NAMESPACE
