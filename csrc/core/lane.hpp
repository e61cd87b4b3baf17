// The lane of a CPU: one number for each of `samples` samples, side by side in a vector. Every loop of the core is
// written over a lane type; that of a GPU is in cuda/thread_lane.cuh.
//
// Arrays in lanes are laid out [channel][row][column][sample]; a position is `samples` scalars away from the next.
//
// Or they are the lanes of as many channels of one sample, [channel / channels][row][column][channel % channels], where
// an array has zeros behind its last channel. Then a vector of targets takes one source and a vector of weights, where
// it takes a vector of sources and one weight otherwise.
#pragma once

#include <cstdint>
#include <type_traits>

#include "core/variant.hpp"

namespace gradcon::GRADCON_CORE_NAMESPACE {

template <class T, int Samples, int Channels = 1>
struct Lane {
  static_assert(Channels == 1 || Channels == Samples);
  using Scalar = T;
  static constexpr int samples = Samples;
  static constexpr int channels = Channels;
  static constexpr int weights = Channels;  // of a product
  static constexpr bool sums_sources = false;
  static constexpr int accumulators = 4;  // As many additions are under way before the first has a result.
  using Vector [[gnu::vector_size(sizeof(T) * Samples), gnu::may_alias]] = T;
  using UnalignedVector [[gnu::vector_size(sizeof(T) * Samples), gnu::may_alias, gnu::aligned(alignof(T))]] = T;

  using Bits = std::conditional_t<sizeof(T) == sizeof(uint32_t), uint32_t, uint64_t>;
  using BitVector [[gnu::vector_size(sizeof(T) * Samples), gnu::may_alias]] = Bits;

  Vector value;

  static GRADCON_INLINE Lane zero() { return {Vector{}}; }
  // Not a sum with zeros: that would make 0 of -0, so no compiler may leave the addition out.
  static GRADCON_INLINE Lane broadcast(T scalar) { return {scalar - Vector{}}; }
  static GRADCON_INLINE Lane load(const T* aligned) { return {*reinterpret_cast<const Vector*>(aligned)}; }
  // The same in a register, where it stays: left to itself, a compiler would rather read memory once more for every
  // multiply-add than keep as many as it has to.
  static GRADCON_INLINE Lane load_to_register(const T* aligned) {
    Lane lane = load(aligned);
#if defined(__AVX512F__)
    if constexpr (sizeof(Vector) <= 64) asm("" : "+v"(lane.value));
#elif defined(__AVX__)
    if constexpr (sizeof(Vector) <= 32) asm("" : "+x"(lane.value));
#elif defined(__SSE2__)
    if constexpr (sizeof(Vector) <= 16) asm("" : "+x"(lane.value));
#endif
    return lane;
  }
  static GRADCON_INLINE Lane load_unaligned(const T* data) { return {*reinterpret_cast<const UnalignedVector*>(data)}; }
  // What a product takes of sources, or outer numbers, and of weights, or references, which are as many as channels.
  static GRADCON_INLINE Lane load_source(const T* source) {
    if constexpr (channels == 1) return load(source);
    return broadcast(*source);
  }
  static GRADCON_INLINE Lane load_weight(const T* weights) {
    if constexpr (channels == 1) return broadcast(*weights);
    return load(weights);
  }
  static GRADCON_INLINE Lane load_bias(const T* biases) { return load_weight(biases); }
  GRADCON_INLINE void store(T* aligned) const { *reinterpret_cast<Vector*>(aligned) = value; }
  GRADCON_INLINE void store_unaligned(T* data) const { *reinterpret_cast<UnalignedVector*>(data) = value; }
  GRADCON_INLINE void add_product(const Lane& left, const Lane& right) { value += left.value * right.value; }
  GRADCON_INLINE void add_magnitude(const Lane& number) {
    constexpr Bits all_but_the_sign = ~Bits{0} >> 1;
    value += reinterpret_cast<Vector>(reinterpret_cast<BitVector>(number.value) & all_but_the_sign);
  }
};

}  // namespace gradcon::GRADCON_CORE_NAMESPACE
