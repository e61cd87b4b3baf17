// The lane of a GPU: one sample a thread, 32 samples side by side in a warp.
#pragma once

#include <cmath>

#include "core/sum.hpp"
#include "core/variant.hpp"

namespace gradcon::cuda {

constexpr int warp_size = 32;

// Pointers are already moved to the thread's own sample, so a position is 32 scalars from the next.
template <class T>
struct ThreadLane {
  using Scalar = T;
  using Vector = T;
  static constexpr int samples = warp_size;
  static constexpr int channels = 1;

  T value;

  static __device__ __forceinline__ ThreadLane zero() { return {T(0)}; }
  static __device__ __forceinline__ ThreadLane broadcast(T scalar) { return {scalar}; }
  static __device__ __forceinline__ ThreadLane load(const T* data) { return {*data}; }
  static __device__ __forceinline__ ThreadLane load_to_register(const T* data) { return load(data); }
  static __device__ __forceinline__ ThreadLane load_source(const T* source) { return load(source); }
  static __device__ __forceinline__ ThreadLane load_weight(const T* weights) { return broadcast(*weights); }
  __device__ __forceinline__ void store(T* data) const { *data = value; }
  __device__ __forceinline__ void add_product(const ThreadLane& left, const ThreadLane& right) {
    value = fma(left.value, right.value, value);
  }
};

template <class T, class Function>
__device__ __forceinline__ ThreadLane<T> mapped(const ThreadLane<T>& x, const Function& function) {
  return {function(x.value)};
}

template <class T>
__device__ __forceinline__ ThreadLane<T> exp_of(const ThreadLane<T>& x) {
  return {std::exp(x.value)};
}

}  // namespace gradcon::cuda

namespace gradcon::portable {

// A thread adds up its own sample and no other.
template <class T>
struct Sum<cuda::ThreadLane<T>> {
  double value = 0;

  __device__ __forceinline__ void add(const cuda::ThreadLane<T>& term) { value += static_cast<double>(term.value); }
  __device__ __forceinline__ void add_product(const cuda::ThreadLane<T>& left, const cuda::ThreadLane<T>& right) {
    value += static_cast<double>(left.value) * static_cast<double>(right.value);
  }
};

}  // namespace gradcon::portable
