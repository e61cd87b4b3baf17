// Neighbouring numbers of a row, of which some may lie outside of it.
#pragma once

#include <cstdint>

#include "core/variant.hpp"
#include "cuda/thread_lane.cuh"

namespace gradcon::cuda {

__device__ __forceinline__ uint32_t lowest_bits(int64_t count, int most) {
  const int64_t bits = count < 0 ? 0 : count < most ? count : most;
  return (uint32_t{1} << bits) - 1;
}

// Which of `Count` positions, `step` apart, lie in [0, end): a bit each.
template <int Count>
__device__ __forceinline__ uint32_t inside(int64_t first, int64_t step, int64_t end) {
  static_assert(Count < 32);
  if (step == 1) return lowest_bits(end - first, Count) & ~lowest_bits(-first, Count);
  uint32_t bits = 0;
  GRADCON_UNROLL for (int i = 0; i < Count; ++i) {
    const int64_t position = first + i * step;
    if (position >= 0 && position < end) bits |= uint32_t{1} << i;
  }
  return bits;
}

// Of `Count` numbers of a sample, `step` positions apart, those whose bits are set; zeros in the place of the others.
template <int Count, class T>
__device__ __forceinline__ void read(const T* first, int64_t step, uint32_t set, T (&numbers)[Count]) {
  const int64_t between = step * warp_size;
  GRADCON_UNROLL for (int i = 0; i < Count; ++i, first += between) { numbers[i] = (set >> i & 1) != 0 ? *first : T(0); }
}

}  // namespace gradcon::cuda
