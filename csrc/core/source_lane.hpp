// Sources in lanes: where the channels of one sample lie side by side and a contraction has few targets, a vector of
// sources takes as many weights, and its sum is one target.
#pragma once

#include <cstdint>
#include <utility>

#include "core/lane.hpp"

namespace gradcon::GRADCON_CORE_NAMESPACE {

// What core/gather.hpp asks of a lane. The targets of a position are neighbours, as its channels are.
template <class T, int Samples>
struct SourceLane {
  using Scalar = T;
  static constexpr int samples = Samples;
  static constexpr int channels = 1;
  static constexpr int weights = Samples;
  static constexpr bool sums_sources = true;

  Lane<T, Samples> terms;

  static GRADCON_INLINE SourceLane zero() { return {Lane<T, Samples>::zero()}; }
  static GRADCON_INLINE SourceLane load_source(const T* sources) { return {Lane<T, Samples>::load(sources)}; }
  static GRADCON_INLINE SourceLane load_weight(const T* of_sources) { return {Lane<T, Samples>::load(of_sources)}; }
  // A target, or its bias, is a sum of one term.
  static GRADCON_INLINE SourceLane load(const T* target) {
    SourceLane sum = zero();
    sum.terms.value[0] = *target;
    return sum;
  }
  static GRADCON_INLINE SourceLane load_bias(const T* bias) { return load(bias); }
  GRADCON_INLINE void add_product(const SourceLane& left, const SourceLane& right) {
    terms.add_product(left.terms, right.terms);
  }
  // The first channel's sum with zeros behind it, where the other channels' go.
  GRADCON_INLINE void store_with_zeros(T* aligned) const {
    Lane<T, Samples> vector = Lane<T, Samples>::zero();
    vector.value[0] = sum_of_terms(terms, std::make_integer_sequence<int, Samples / 2>{});
    vector.store(aligned);
  }
  GRADCON_INLINE void store(T* target) const {
    *target = sum_of_terms(terms, std::make_integer_sequence<int, Samples / 2>{});
  }

 private:
  // Halves are added until one number is left.
  template <int Terms, int... Index>
  static GRADCON_INLINE T sum_of_terms(const Lane<T, Terms>& all, std::integer_sequence<int, Index...>) {
    using Half = Lane<T, Terms / 2>;
    const Half sums = {__builtin_shufflevector(all.value, all.value, Index...) +
                       __builtin_shufflevector(all.value, all.value, (Terms / 2 + Index)...)};
    if constexpr (Terms == 4) {
      return sums.value[0] + sums.value[1];
    } else if constexpr (Terms == 2) {
      return all.value[0] + all.value[1];
    } else {
      return sum_of_terms(sums, std::make_integer_sequence<int, Terms / 4>{});
    }
  }
};

}  // namespace gradcon::GRADCON_CORE_NAMESPACE
