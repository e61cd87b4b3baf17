// The weight gradient of a batch: that of every sample, summed.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "core/channel_lanes.hpp"
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

// Where a layer's weight gradient goes, (inner channels, outer channels / groups, taps).
template <class T>
struct WeightGradient {
  T* weight;
  // In lanes of channels how many there are, which need not fill the last vector.
  int64_t inner_channels = 0;

  // The same of a tile, from its first weight on.
  template <class LaneType>
  GRADCON_INLINE WeightGradient of_tile(const TilePlace& place, const WeightStrides& strides) const {
    constexpr int64_t channels = LaneType::channels;
    return {weight + place.weight + place.inner_channel * (channels - 1) * strides.inner,
            inner_channels - place.inner_channel * channels};
  }
};

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

// Writes a tile whose lanes are inner channels.
template <class LaneType, int Phases, int InnerTile, int OuterTile, class T = typename LaneType::Scalar>
GRADCON_INLINE void write_channels(const LaneType* tile, const WeightStrides& strides,
                                   const WeightGradient<T>& gradient) {
  const int64_t count = std::min<int64_t>(gradient.inner_channels, InnerTile * LaneType::channels);
  for (int64_t channel = 0; channel < count; ++channel) {
    const LaneType* of_vector = tile + channel / LaneType::channels * OuterTile;
    for (int o = 0; o < OuterTile; ++o) {
      gradient.weight[strides.at<Phases>(channel, o)] = of_vector[o].value[channel % LaneType::channels];
    }
  }
}

// Writes the tiles of one place at every tap, whose lanes lie one tile behind the other.
template <class LaneType, int Phases, int InnerTile, int OuterTile, class T = typename LaneType::Scalar>
GRADCON_INLINE void write_tiles(const GeometryForm& geometry, const TilePlace& place, const LaneType* lanes,
                                const WeightGradient<T>& layer) {
  const WeightStrides strides(geometry);
  WeightGradient<T> gradient = layer.template of_tile<LaneType>(place, strides);
  for (int64_t tap = 0; tap < geometry.taps(); ++tap) {
    if constexpr (LaneType::channels == 1) {
      write_sums<LaneType, Phases, InnerTile, OuterTile>(lanes, strides, gradient.weight);
    } else {
      write_channels<LaneType, Phases, InnerTile, OuterTile>(lanes, strides, gradient);
    }
    lanes += InnerTile * OuterTile;
    gradient.weight += strides.tap;
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
  // In lanes of channels the outer ones are single numbers.
  const int64_t outer_vectors = vectors_for(outer_channels, LaneType::channels);
  const int64_t lanes_of_a_row =
      inner_channels * geometry.width.inner + outer_vectors * geometry.height.stride * geometry.width.outer;
  const int64_t rows = bytes_of_rows / (lanes_of_a_row * static_cast<int64_t>(sizeof(LaneType)));
  return rows < 1 ? 1 : rows;
}

// The sums of some tiles. All of them take some rows before the next ones come, so that these are read from memory
// once.
template <class LaneType, class Shape, class T = typename LaneType::Scalar>
inline void gradient_of_tiles(const GeometryForm& geometry, const std::vector<TileOperands<T>>& pairs,
                              const PlacedTile* tiles, int64_t count, const WeightGradient<T>& gradient) {
  const std::vector<Tap> taps = taps_by_phase(geometry);
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
    write_tiles<LaneType, Shape::phases, inner(), outer()>(geometry, place, lanes, gradient);
  });
}

// The same of a layer with one tap, of which nothing is read twice: each tile stays in registers.
template <class LaneType, class Shape, class T = typename LaneType::Scalar>
inline void gradient_of_one_tap(const GeometryForm& geometry, const std::vector<TileOperands<T>>& pairs,
                                const PlacedTile& tile, const WeightGradient<T>& gradient) {
  const std::vector<Tap> taps = taps_by_phase(geometry);
  visit_tile<Shape::phases, Shape::inner, Shape::outer>(
      tile.inner_extent, tile.outer_extent, tile.place, [&](auto inner, auto outer, const TilePlace& place) {
        LaneType lanes[inner()][outer()] = {};
        for (const TileOperands<T>& pair : pairs) {
          form_tile<LaneType, Shape::phases>(geometry, place.operands<LaneType>(geometry, pair), taps[0].rows,
                                             taps[0].columns, lanes);
        }
        write_tiles<LaneType, Shape::phases, inner(), outer()>(geometry, place, &lanes[0][0], gradient);
      });
}

// A weight gradient, summed over the samples of several pairs of arrays in their order: the blocks of a batch, say. One
// of `chunks` pieces of it. Tiles whose sums do not fit the cache together come one group after the other.
template <class LaneType, class Shape, class T = typename LaneType::Scalar>
inline void weight_gradient(const Geometry& layer_geometry, const std::vector<TileOperands<T>>& pairs, int64_t chunk,
                            int64_t chunks, const WeightGradient<T>& gradient) {
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
