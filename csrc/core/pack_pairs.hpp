// Weights in the order in which gather_pairs.hpp reads them.
#pragma once

#include <cstdint>

#include "core/gather_pairs.hpp"

namespace gradcon::GRADCON_CORE_NAMESPACE {

// The weights of the three points of both axes, [point of the rows][point of the columns], from those of the first and
// the second tap.
template <class T>
struct PointWeights {
  T of[3][3];

  GRADCON_INLINE PointWeights(T first_first, T first_second, T second_first, T second_second)
      : of{{first_first, first_first + first_second, first_second},
           {first_first + second_first, (first_first + second_first) + (first_second + second_second),
            first_second + second_second},
           {second_first, second_first + second_second, second_second}} {}
};

// Those of one source and one target: `packed` moved to them, with `extent` targets in the tile.
template <class T>
inline void pack_pair(const PairContraction& pairs, int64_t kernel_columns, const T* weight, int64_t extent,
                      T* packed) {
  const PairAxis& rows = pairs.rows;
  const PairAxis& columns = pairs.columns;
  const int64_t of_phase = 3 * extent * pairs.sources_per_group;
  const int64_t of_point = rows.source_phases * columns.source_phases * of_phase;
  for (int64_t phase = 0; phase < rows.target_phases * columns.target_phases; ++phase, packed += 3 * of_point) {
    const int64_t row_phase = phase / columns.target_phases;
    const int64_t column_phase = phase % columns.target_phases;
    for (int64_t source = 0; source < rows.source_phases * columns.source_phases; ++source) {
      const int64_t row = source / columns.source_phases;
      const int64_t column = source % columns.source_phases;
      const T* first = weight + rows.first_tap(row_phase, row) * kernel_columns;
      const T* second = weight + rows.second_tap(row_phase, row) * kernel_columns;
      const int64_t left = columns.first_tap(column_phase, column);
      const int64_t right = columns.second_tap(column_phase, column);
      const PointWeights<T> points(first[left], first[right], second[left], second[right]);
      for (int row_point = 0; row_point < 3; ++row_point) {
        for (int point = 0; point < 3; ++point) {
          packed[row_point * of_point + source * of_phase + point * extent] = points.of[row_point][point];
        }
      }
    }
  }
}

// Packs `weight` (inner channels, outer channels / groups, taps) for tiles of at most `most_channels` targets:
// [tile][phases of the targets][point of the rows][phases of the sources][source][point of the columns][target].
template <class T>
inline void pack_pairs(const Contraction& contraction, int64_t most_channels, const T* weight, T* packed) {
  const PairContraction pairs(contraction);
  const Geometry& geometry = contraction.geometry;
  const int64_t inner_stride = geometry.outer_channels_per_group() * geometry.taps();
  const int64_t source_stride = contraction.inward() ? geometry.taps() : inner_stride;
  const int64_t target_stride = contraction.inward() ? inner_stride : geometry.taps();
  const EvenTiles tiles(pairs.targets_per_group, most_channels);
  for (int64_t group = 0; group < geometry.groups; ++group) {
    const T* of_group = weight + group * geometry.inner_channels_per_group() * inner_stride;
    for (int64_t tile = 0; tile < tiles.tiles; ++tile) {
      const int64_t extent = tiles.extent(tile);
      for (int64_t source = 0; source < pairs.sources_per_group; ++source) {
        for (int64_t target = 0; target < extent; ++target) {
          pack_pair(pairs, geometry.width.kernel,
                    of_group + source * source_stride + (tiles.begin(tile) + target) * target_stride, extent,
                    packed + source * 3 * extent + target);
        }
      }
      packed += extent * pairs.weights_of_target();
    }
  }
}

}  // namespace gradcon::GRADCON_CORE_NAMESPACE
