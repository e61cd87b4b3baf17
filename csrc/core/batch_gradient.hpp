// The weight gradient of a batch: that of every sample, summed.
#pragma once

#include <cstdint>
#include <vector>

#include "core/gradient_tiles.hpp"
#include "core/lane_array.hpp"
#include "core/to_lanes.hpp"
#include "core/weight_gradient.hpp"

namespace gradcon::GRADCON_CORE_NAMESPACE {

// The sum over samples of each of `Count` lanes, in the order of the samples.
template <class LaneType, int Count, class T = typename LaneType::Scalar>
GRADCON_INLINE void sum_samples(const LaneType* lanes, T* sums) {
  constexpr int samples = LaneType::samples;
  GRADCON_UNROLL for (int begin = 0; begin < Count; begin += samples) {
    LaneType square[samples];
    GRADCON_UNROLL for (int i = 0; i < samples; ++i) square[i] =
        begin + i < Count ? lanes[begin + i] : LaneType::zero();
    transpose(square);
    GRADCON_UNROLL for (int i = 1; i < samples; ++i) square[0].value += square[i].value;
    square[0].store(sums + begin);
  }
}

// Writes a tile's sums over samples to its place in the weight gradient.
template <class LaneType, int Phases, int InnerTile, int OuterTile, class T = typename LaneType::Scalar>
GRADCON_INLINE void write_sums(const LaneType* tile, const WeightStrides& strides, T* weight) {
  constexpr int count = InnerTile * OuterTile;
  alignas(sizeof(LaneType)) T sums[(count + LaneType::samples - 1) / LaneType::samples * LaneType::samples];
  sum_samples<LaneType, count>(tile, sums);
  for (int i = 0; i < InnerTile; ++i) {
    for (int o = 0; o < OuterTile; ++o) weight[strides.at<Phases>(i, o)] = sums[i * OuterTile + o];
  }
}

// A tile of a weight gradient at all taps.
struct PlacedTile {
  int64_t inner_extent;
  int64_t outer_extent;
  TilePlace place;
};

// Tiles of one of `chunks` pieces.
template <class Shape>
inline std::vector<PlacedTile> tiles_of_piece(const Geometry& geometry, int64_t chunk, int64_t chunks) {
  std::vector<PlacedTile> tiles;
  visit_tiles<Shape>(geometry, chunk, chunks, [&](auto inner, auto outer, const TilePlace& place) {
    tiles.push_back({inner(), outer(), place});
  });
  return tiles;
}

// What the second cache holds: sums of tiles, and the rows that are added to them.
constexpr int64_t bytes_of_sums = 256 * 1024;
constexpr int64_t bytes_of_rows = 640 * 1024;

// How many inner rows of these tiles' operands are taken at a time.
template <class LaneType>
inline int64_t rows_at_a_time(const Geometry& geometry, const PlacedTile* tiles, int64_t count) {
  int64_t inner_channels = 0, outer_channels = 0;
  for (int64_t i = 0; i < count; ++i) {
    const bool is_first = tiles[i].place.outer_channel == tiles[0].place.outer_channel;
    const bool is_new = i == 0 || tiles[i].place.outer_channel != tiles[i - 1].place.outer_channel;
    if (is_first) inner_channels += tiles[i].inner_extent;
    if (is_new) outer_channels += tiles[i].outer_extent;
  }
  const int64_t lanes_of_a_row =
      inner_channels * geometry.width.inner + outer_channels * geometry.height.stride * geometry.width.outer;
  const int64_t rows = bytes_of_rows / (lanes_of_a_row * static_cast<int64_t>(sizeof(LaneType)));
  return rows < 1 ? 1 : rows;
}

// The sums of some tiles. All of them take some rows before the next ones come, so that these are read from memory
// once.
template <class LaneType, class Shape, class T = typename LaneType::Scalar>
inline void gradient_of_tiles(const GeometryForm& geometry, const std::vector<TileOperands<T>>& pairs,
                              const PlacedTile* tiles, int64_t count, T* gradient) {
  const std::vector<Tap> taps = taps_by_phase(geometry);
  const WeightStrides strides(geometry);
  const int64_t lanes_of_a_tile = geometry.taps() * Shape::inner * Shape::outer;
  LaneArray<LaneType> sums(count * lanes_of_a_tile);
  const auto for_each_tile = [&](const auto& function) {
    for (int64_t i = 0; i < count; ++i) {
      visit_tile<Shape::phases, Shape::inner, Shape::outer>(
          tiles[i].inner_extent, tiles[i].outer_extent, tiles[i].place,
          [&](auto inner, auto outer, const TilePlace& place) {
            function(inner, outer, place, sums.begin() + i * lanes_of_a_tile);
          });
    }
  };
  const int64_t step = rows_at_a_time<LaneType>(geometry, tiles, count);
  for (const TileOperands<T>& pair : pairs) {
    for (int64_t first = 0; first < geometry.height.inner; first += step) {
      for_each_tile([&](auto inner, auto outer, const TilePlace& place, LaneType* lanes) {
        form_rows<LaneType, Shape::phases, inner(), outer()>(geometry, taps, place.operands<LaneType>(geometry, pair),
                                                             first, first + step, lanes);
      });
    }
  }
  for_each_tile([&](auto inner, auto outer, const TilePlace& place, const LaneType* lanes) {
    for (int64_t tap = 0; tap < geometry.taps(); ++tap) {
      write_sums<LaneType, Shape::phases, inner(), outer()>(lanes + tap * inner() * outer(), strides,
                                                            gradient + place.weight + tap * strides.tap);
    }
  });
}

// The same of a layer with one tap, of which nothing is read twice: each tile stays in registers.
template <class LaneType, class Shape, class T = typename LaneType::Scalar>
inline void gradient_of_one_tap(const GeometryForm& geometry, const std::vector<TileOperands<T>>& pairs,
                                const PlacedTile& tile, T* gradient) {
  const std::vector<Tap> taps = taps_by_phase(geometry);
  const WeightStrides strides(geometry);
  visit_tile<Shape::phases, Shape::inner, Shape::outer>(
      tile.inner_extent, tile.outer_extent, tile.place, [&](auto inner, auto outer, const TilePlace& place) {
        LaneType lanes[inner()][outer()] = {};
        for (const TileOperands<T>& pair : pairs) {
          form_tile<LaneType, Shape::phases>(geometry, place.operands<LaneType>(geometry, pair), taps[0].rows,
                                             taps[0].columns, lanes);
        }
        write_sums<LaneType, Shape::phases, inner(), outer()>(&lanes[0][0], strides, gradient + place.weight);
      });
}

// A weight gradient, summed over the samples of several pairs of arrays in their order: the blocks of a batch, say. One
// of `chunks` pieces of it. Tiles whose sums do not fit the cache together come one group after the other.
template <class LaneType, class Shape, class T = typename LaneType::Scalar>
inline void weight_gradient(const Geometry& layer_geometry, const std::vector<TileOperands<T>>& pairs, int64_t chunk,
                            int64_t chunks, T* gradient) {
  with_form_of<Shape>(layer_geometry, [&](const GeometryForm& geometry, auto shape) {
    using Tiles = decltype(shape);
    const std::vector<PlacedTile> tiles = tiles_of_piece<Tiles>(geometry, chunk, chunks);
    const auto count = static_cast<int64_t>(tiles.size());
    if (geometry.taps() == 1) {
      for (const PlacedTile& tile : tiles) gradient_of_one_tap<LaneType, Tiles>(geometry, pairs, tile, gradient);
      return;
    }
    const int64_t bytes_of_a_tile = geometry.taps() * Tiles::inner * Tiles::outer * int64_t{sizeof(LaneType)};
    const int64_t group = bytes_of_a_tile < bytes_of_sums ? bytes_of_sums / bytes_of_a_tile : 1;
    for (int64_t first = 0; first < count; first += group) {
      const int64_t some = count - first < group ? count - first : group;
      gradient_of_tiles<LaneType, Tiles>(geometry, pairs, tiles.data() + first, some, gradient);
    }
  });
}

}  // namespace gradcon::GRADCON_CORE_NAMESPACE
