// The contractions of core/gather.hpp on values in lanes.
#pragma once

#include <cstdint>

#include "core/contraction.hpp"
#include "cuda/lanes.cuh"
#include "cuda/launch.cuh"

namespace gradcon::cuda {

// `weight` is (inner channels, outer channels / groups, taps), as it is; `bias` may be none. Where it accumulates, the
// sum begins with what the targets hold.
template <class T>
struct ContractionOperands {
  Lanes<T> source;
  const T* weight;
  const T* bias;
  Lanes<T> target;
  bool accumulates = false;
};

// `packed` has room for the weight. For float and double.
template <class T>
void contract(const Launcher& launcher, const Contraction& contraction, int64_t sample_blocks,
              const ContractionOperands<T>& operands, T* packed);

}  // namespace gradcon::cuda
