// Sums over tiles.
#pragma once

#include "core/variant.hpp"

namespace gradcon::GRADCON_CORE_NAMESPACE {

// A sum over many terms, kept in double whatever the lane holds: a float32 layer of 10^6 weights stays exact to 1e-7.
// Terms of one tile may be added in the lane's precision first, which costs a tenth of the time.
template <class LaneType>
struct Sum {
  static constexpr int samples = LaneType::samples;

  LaneType of_tile = {};
  double value[samples] = {};

  GRADCON_INLINE void add(const LaneType& term) {
    alignas(sizeof(LaneType)) typename LaneType::Scalar terms[samples];
    term.store(terms);
    for (int sample = 0; sample < samples; ++sample) value[sample] += static_cast<double>(terms[sample]);
  }

  // The product in double, too.
  GRADCON_INLINE void add_product(const LaneType& left, const LaneType& right) {
    alignas(sizeof(LaneType)) typename LaneType::Scalar lefts[samples];
    alignas(sizeof(LaneType)) typename LaneType::Scalar rights[samples];
    left.store(lefts);
    right.store(rights);
    for (int sample = 0; sample < samples; ++sample) {
      value[sample] += static_cast<double>(lefts[sample]) * static_cast<double>(rights[sample]);
    }
  }

  GRADCON_INLINE void add_values(const Sum& other) {
    for (int sample = 0; sample < samples; ++sample) value[sample] += other.value[sample];
  }

  GRADCON_INLINE void add_within_tile(const LaneType& term) { of_tile.value += term.value; }

  GRADCON_INLINE void end_tile() {
    add(of_tile);
    of_tile = LaneType::zero();
  }
};

}  // namespace gradcon::GRADCON_CORE_NAMESPACE
