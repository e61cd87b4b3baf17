// How channels are cut into tiles.
#pragma once

#include <cstdint>

#include "core/variant.hpp"

namespace gradcon::GRADCON_CORE_NAMESPACE {

// The fewest tiles of at most `most` channels, as even as they can be: 32 in sixes is 6 6 5 5 5 5, not 6 6 6 6 6 2.
struct EvenTiles {
  int64_t total;
  int64_t tiles;

  GRADCON_INLINE EvenTiles(int64_t channels, int64_t most) : total(channels), tiles((channels + most - 1) / most) {}
  GRADCON_INLINE int64_t begin(int64_t tile) const { return tile * total / tiles; }
  GRADCON_INLINE int64_t extent(int64_t tile) const { return begin(tile + 1) - begin(tile); }
};

// Tiles of exactly `Size` channels, of which there are at least as many. Where the size does not divide them, the last
// tile reaches back over channels that its neighbour has counted: less code than tiles of every size.
template <int Size>
struct OverlappingTiles {
  int64_t channels;

  GRADCON_INLINE int64_t count() const { return (channels + Size - 1) / Size; }
  GRADCON_INLINE int64_t begin(int64_t tile) const {
    return (tile + 1) * Size <= channels ? tile * Size : channels - Size;
  }
  // Leading channels of the tile that its neighbour has counted.
  GRADCON_INLINE int counted(int64_t tile) const { return static_cast<int>(tile * Size - begin(tile)); }
};

// Leading channels of a two-dimensional tile that are left out, because another tile has counted them.
struct Counted {
  int inner = 0;
  int outer = 0;
};

}  // namespace gradcon::GRADCON_CORE_NAMESPACE
