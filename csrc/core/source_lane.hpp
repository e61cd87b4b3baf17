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

  using Terms = Lane<T, Samples>;

  Terms terms;

  static GRADCON_INLINE SourceLane zero() { return {Terms::zero()}; }
  static GRADCON_INLINE SourceLane load_source(const T* sources) { return {Terms::load(sources)}; }
  static GRADCON_INLINE SourceLane load_weight(const T* of_sources) { return {Terms::load(of_sources)}; }
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
  // The sum of each of `Count` vectors. Halves of a vector are added until one number is left; and the halves of two
  // vectors are one vector, so that most additions serve several sums.
  template <int Count>
  static GRADCON_INLINE void sum_terms(const SourceLane* vectors, T* sums) {
    constexpr int here = Count < Samples ? Count : Samples;
    Terms level[here];
    GRADCON_UNROLL for (int i = 0; i < here; ++i) level[i] = vectors[i].terms;
    alignas(sizeof(Terms)) T of_vectors[Samples];
    joined<here, Samples / 2>(level).store(of_vectors);
    GRADCON_UNROLL for (int i = 0; i < here; ++i) sums[i] = of_vectors[i];
    if constexpr (Count > Samples) sum_terms<Count - Samples>(vectors + Samples, sums + Samples);
  }

 private:
  // Vectors that hold so many numbers of each sum, twice, become half as many with half of the numbers.
  template <int Count, int Numbers>
  static GRADCON_INLINE Terms joined(const Terms (&level)[Count]) {
    if constexpr (Numbers == 0) {
      return level[0];
    } else {
      Terms next[(Count + 1) / 2];
      GRADCON_UNROLL for (int i = 0; i < (Count + 1) / 2; ++i) {
        const Terms right = 2 * i + 1 < Count ? level[2 * i + 1] : Terms::zero();
        next[i] = with_halves_added<Numbers>(level[2 * i], right, std::make_integer_sequence<int, Samples>{});
      }
      return joined<(Count + 1) / 2, Numbers / 2>(next);
    }
  }

  template <int Numbers, int... Index>
  static GRADCON_INLINE Terms with_halves_added(const Terms& left, const Terms& right,
                                                std::integer_sequence<int, Index...>) {
    return {__builtin_shufflevector(left.value, right.value, place_of(Numbers, Index, 0)...) +
            __builtin_shufflevector(left.value, right.value, place_of(Numbers, Index, 1)...)};
  }

  // Where the first or second half of what is added to number `index` lies in two vectors.
  static constexpr int place_of(int numbers, int index, int half) {
    return (index / numbers * 2 + half) * numbers + index % numbers;
  }
};

}  // namespace gradcon::GRADCON_CORE_NAMESPACE
