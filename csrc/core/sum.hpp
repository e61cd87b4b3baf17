// Sums over tiles.
#pragma once

#include "core/variant.hpp"

namespace gradcon::GRADCON_CORE_NAMESPACE {

// A sum over many terms, kept in double whatever the lane holds: a float32 layer of 10^6 weights stays exact to 1e-7.
template <class LaneType>
struct Sum {
  static constexpr int samples = LaneType::samples;

  double value[samples] = {};

  GRADCON_INLINE void add(const LaneType& term) {
    alignas(sizeof(LaneType)) typename LaneType::Scalar terms[samples];
    term.store(terms);
    for (int sample = 0; sample < samples; ++sample) value[sample] += static_cast<double>(terms[sample]);
  }
};

}  // namespace gradcon::GRADCON_CORE_NAMESPACE
