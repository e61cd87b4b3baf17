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

}  // namespace gradcon::GRADCON_CORE_NAMESPACE
