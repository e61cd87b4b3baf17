// Sums over the weights of a gradient tile.
#pragma once

#include <cstdint>

#include "core/variant.hpp"

namespace gradcon::GRADCON_CORE_NAMESPACE {

// What a weight adds to a squared norm.
struct Square {
  template <class LaneType>
  static GRADCON_INLINE void add(const LaneType& number, LaneType& sum) {
    sum.add_product(number, number);
  }
};

// What it adds to an L1 norm.
struct Magnitude {
  template <class LaneType>
  static GRADCON_INLINE void add(const LaneType& number, LaneType& sum) {
    sum.add_magnitude(number);
  }
};

// One chain of additions through a whole tile would take a CPU longer than forming a tile of few positions does.
template <class LaneType>
GRADCON_INLINE LaneType sum_of(const LaneType (&accumulators)[LaneType::accumulators]) {
  LaneType sum = accumulators[0];
  GRADCON_UNROLL for (int index = 1; index < LaneType::accumulators; ++index) sum.value += accumulators[index].value;
  return sum;
}

template <class Term, class LaneType, int InnerTile, int OuterTile>
GRADCON_INLINE LaneType sum_of_tile(const LaneType (&gradient)[InnerTile][OuterTile]) {
  LaneType accumulators[LaneType::accumulators] = {};
  GRADCON_UNROLL for (int o = 0; o < OuterTile; ++o) {
    GRADCON_UNROLL for (int i = 0; i < InnerTile; ++i) {
      Term::add(gradient[i][o], accumulators[i % LaneType::accumulators]);
    }
  }
  return sum_of(accumulators);
}

// Where each sample has one lane there is nothing to join; core/strip_lanes.hpp has the StripSum of several.
struct NothingToJoin {
  template <class Term, class Tile>
  GRADCON_INLINE auto sum_of_tile(const Tile& tile) const {
    return GRADCON_CORE_NAMESPACE::sum_of_tile<Term>(tile);
  }
  template <class LaneType>
  GRADCON_INLINE LaneType joined(const LaneType& number) const {
    return number;
  }
};

}  // namespace gradcon::GRADCON_CORE_NAMESPACE
