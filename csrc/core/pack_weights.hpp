// Weights in the order in which a contraction reads them.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "core/channel_lanes.hpp"
#include "core/gather.hpp"
#include "core/lane.hpp"
#include "core/to_lanes.hpp"

namespace gradcon::GRADCON_CORE_NAMESPACE {

// The weights that join a tile of targets to all sources: where the first of them lies, those of the next source or
// target, and the next tap behind it.
template <class T>
struct TileWeights {
  const T* first;
  int64_t source_stride;
  int64_t target_stride;
  int64_t sources;
  int64_t targets;
  int64_t taps;
  // From those of one source to the next among the packed ones.
  int64_t packed_targets = targets;
};

// Packs them as [tap][source][target]. Squares of taps and targets go through registers: of a single image's score this
// is a good part. Some sources at a time have their lines of memory read, and written, in one go.
template <class T>
inline void pack_tile(const TileWeights<T>& tile, T* packed) {
  constexpr int64_t side = 4;
  constexpr int64_t sources_at_a_time = 8;
  using Row = Lane<T, side>;
  const int64_t step = tile.sources * tile.packed_targets;
  const int64_t square_targets = tile.targets / side * side;
  const int64_t square_taps = tile.taps / side * side;
  const auto pack_squares = [&](int64_t source, int64_t tap) {
    const T* weight = tile.first + source * tile.source_stride + tap;
    T* place = packed + tap * step + source * tile.packed_targets;
    for (int64_t target = 0; target < square_targets; target += side) {
      Row square[side];
      GRADCON_UNROLL for (int64_t i = 0; i < side; ++i) square[i] =
          Row::load_unaligned(weight + (target + i) * tile.target_stride);
      transpose(square);
      GRADCON_UNROLL for (int64_t i = 0; i < side; ++i) square[i].store_unaligned(place + i * step + target);
    }
  };
  for (int64_t first = 0; first < tile.sources; first += sources_at_a_time) {
    const int64_t end = std::min(first + sources_at_a_time, tile.sources);
    for (int64_t tap = 0; tap < square_taps; tap += side) {
      for (int64_t source = first; source < end; ++source) pack_squares(source, tap);
    }
  }
  for (int64_t source = 0; source < tile.sources; ++source) {
    for (int64_t target = 0; target < tile.targets; ++target) {
      for (int64_t tap = target < square_targets ? square_taps : 0; tap < tile.taps; ++tap) {
        packed[tap * step + source * tile.packed_targets + target] =
            tile.first[source * tile.source_stride + target * tile.target_stride + tap];
      }
    }
  }
}

// The weights of an interleaved map, phases before taps: (inner channels, outer channels / groups, taps).
template <class T>
inline std::vector<T> phases_first(const Geometry& geometry, int64_t phases, const T* weight) {
  std::vector<T> result(static_cast<size_t>(geometry.weights()));
  const int64_t of_a_channel = phases * geometry.taps();
  for (int64_t i = 0; i < geometry.weights(); ++i) {
    const int64_t within = i % of_a_channel;
    const int64_t phase = within % phases;
    result[static_cast<size_t>(i - within + phase * geometry.taps() + within / phases)] = weight[i];
  }
  return result;
}

// Where the weights that join two channels lie, (inner channels, outer channels / groups, taps).
struct WeightSteps {
  int64_t source;
  int64_t target;

  explicit WeightSteps(const Contraction& contraction) {
    const int64_t taps = contraction.geometry.taps();
    const int64_t inner = contraction.geometry.outer_channels_per_group() * taps;
    source = contraction.inward() ? taps : inner;
    target = contraction.inward() ? inner : taps;
  }
};

// Packs `weight` (inner channels, outer channels / groups, taps) for tiles of at most `most_channels` targets.
template <class T>
inline void pack_weights_as_they_are(const Contraction& contraction, int64_t most_channels, const T* weight,
                                     T* packed) {
  const Geometry& geometry = contraction.geometry;
  const int64_t sources = contraction.sources_per_group();
  const int64_t targets = contraction.targets_per_group();
  const int64_t taps = geometry.taps();
  const WeightSteps steps(contraction);
  const EvenTiles tiles(targets, most_channels);
  for (int64_t group = 0; group < geometry.groups; ++group) {
    const T* of_group = weight + group * geometry.weights() / geometry.groups;
    for (int64_t tile = 0; tile < tiles.tiles; ++tile) {
      const T* of_tile = of_group + tiles.begin(tile) * steps.target;
      const int64_t extent = tiles.extent(tile);
      pack_tile<T>({of_tile, steps.source, steps.target, sources, extent, taps}, packed);
      packed += taps * sources * extent;
    }
  }
}

// Packs the weights of a contraction without groups for tiles of at most so many vectors of targets, with zeros behind
// the last target.
template <class T>
inline void pack_vectors(const Contraction& contraction, int64_t lanes, int64_t most_vectors, const T* weight,
                         T* packed) {
  const int64_t sources = contraction.sources_per_group();
  const int64_t targets = contraction.targets_per_group();
  const int64_t taps = contraction.geometry.taps();
  const WeightSteps steps(contraction);
  const EvenTiles tiles(vectors_for(targets, lanes), most_vectors);
  for (int64_t tile = 0; tile < tiles.tiles; ++tile) {
    const int64_t first = tiles.begin(tile) * lanes;
    const int64_t room = tiles.extent(tile) * lanes;
    const int64_t here = std::min(room, targets - first);
    if (here < room) std::fill_n(packed, taps * sources * room, T(0));
    pack_tile<T>({weight + first * steps.target, steps.source, steps.target, sources, here, taps, room}, packed);
    packed += taps * sources * room;
  }
}

// Packs them for targets that are sums of vectors of sources: [tap][vector][target][source], with zeros behind the last
// source.
template <class T>
inline void pack_source_vectors(const Contraction& contraction, int64_t lanes, const T* weight, T* packed) {
  const int64_t sources = contraction.sources_per_group();
  const int64_t targets = contraction.targets_per_group();
  const int64_t taps = contraction.geometry.taps();
  const WeightSteps steps(contraction);
  const int64_t vectors = vectors_for(sources, lanes);
  std::fill_n(packed, taps * vectors * targets * lanes, T(0));
  for (int64_t source = 0; source < sources; ++source) {
    for (int64_t target = 0; target < targets; ++target) {
      const T* of_taps = weight + source * steps.source + target * steps.target;
      T* place = packed + (source / lanes * targets + target) * lanes + source % lanes;
      for (int64_t tap = 0; tap < taps; ++tap) place[tap * vectors * targets * lanes] = of_taps[tap];
    }
  }
}

// Packs rows of so many numbers, of each number a vector of rows: a bias, a scale, or a reference, whose rows are those
// of its inner channels.
template <class T>
inline void pack_rows(int64_t rows, int64_t numbers, int64_t lanes, const T* data, T* packed) {
  for (int64_t row = 0; row < rows; row += lanes) {
    const int64_t here = std::min(lanes, rows - row);
    if (here < lanes) std::fill_n(packed, numbers * lanes, T(0));
    pack_tile<T>({data + row * numbers, 0, numbers, 1, here, numbers, lanes}, packed);
    packed += numbers * lanes;
  }
}

// The same for the form in which a contraction is computed.
template <class T>
inline void pack_weights(const Contraction& contraction, int64_t most_channels, const T* weight, T* packed) {
  const ContractionForm form = form_of(contraction, most_channels);
  if (form.interleaving.phases == 1) return pack_weights_as_they_are(form, most_channels, weight, packed);
  pack_weights_as_they_are(form, most_channels, phases_first(form.geometry, form.interleaving.phases, weight).data(),
                           packed);
}

}  // namespace gradcon::GRADCON_CORE_NAMESPACE
