// The lane of a GPU: one sample a thread, 32 samples side by side in a warp.
#pragma once

#include "core/variant.hpp"

namespace gradcon::cuda {

constexpr int warp_size = 32;

// Pointers are already moved to the thread's own sample, so a position is 32 scalars from the next.
template <class T>
struct ThreadLane {
  using Scalar = T;
  static constexpr int samples = warp_size;

  T value;

  static __device__ __forceinline__ ThreadLane zero() { return {T(0)}; }
  static __device__ __forceinline__ ThreadLane broadcast(T scalar) { return {scalar}; }
  static __device__ __forceinline__ ThreadLane load(const T* data) { return {*data}; }
  __device__ __forceinline__ void add_product(const ThreadLane& left, const ThreadLane& right) {
    value = fma(left.value, right.value, value);
  }
};

}  // namespace gradcon::cuda
