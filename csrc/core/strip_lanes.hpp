// Strips of rows in lanes: copies of the rows that other lanes hold, zeros beyond the grid, and sums over strips.
#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>

#include "core/parts.hpp"
#include "core/strips.hpp"
#include "core/sum.hpp"
#include "core/tile_sum.hpp"
#include "core/variant.hpp"

namespace gradcon::GRADCON_CORE_NAMESPACE {

// Sets a row of some samples to zero.
template <class LaneType, class T = typename LaneType::Scalar>
GRADCON_INLINE void clear_row(T* row, int64_t columns, int64_t samples) {
  for (int64_t column = 0; column < columns; ++column, row += LaneType::samples) {
    for (int64_t sample = 0; sample < samples; ++sample) row[sample] = 0;
  }
}

// Sets rows of one channel to zero that do not count, in some columns.
template <class LaneType, class T = typename LaneType::Scalar>
inline void clear_rows(const CutRows& cut, const Range& columns, T* channel) {
  const int64_t samples = LaneType::samples / cut.strips;
  for (int64_t strip = 0; strip < cut.strips; ++strip) {
    for (int64_t row = cut.rows_in(strip); row < cut.strip_rows; ++row) {
      T* target = channel + (row * cut.columns + columns.begin) * LaneType::samples + strip * samples;
      clear_row<LaneType>(target, columns.size(), samples);
    }
  }
}

// The lanes moved by `Shift` to the left, with zeros behind them.
template <int Shift, class LaneType, int... Index>
GRADCON_INLINE LaneType shifted(const LaneType& lane, std::integer_sequence<int, Index...>) {
  constexpr int samples = LaneType::samples;
  const auto zero = LaneType::zero().value;
  return {__builtin_shufflevector(lane.value, zero,
                                  (Index + Shift >= 0 && Index + Shift < samples ? Index + Shift : samples)...)};
}

template <int Shift, class LaneType, class T = typename LaneType::Scalar>
GRADCON_INLINE void copy_shifted(const T* source, int64_t columns, T* target) {
  for (int64_t i = 0; i < columns * LaneType::samples; i += LaneType::samples) {
    shifted<Shift>(LaneType::load(source + i), std::make_integer_sequence<int, LaneType::samples>{}).store(target + i);
  }
}

// Copies a row from strips that are `lanes` further on. Returns false where that is too far for a shuffle.
template <class LaneType, class T = typename LaneType::Scalar>
GRADCON_INLINE bool copy_row(int64_t lanes, const T* source, int64_t columns, T* target) {
  switch (lanes) {
    case 0:
      return copy_shifted<0, LaneType>(source, columns, target), true;
    case 1:
      return copy_shifted<1, LaneType>(source, columns, target), true;
    case -1:
      return copy_shifted<-1, LaneType>(source, columns, target), true;
    case 2:
      return copy_shifted<2, LaneType>(source, columns, target), true;
    case -2:
      return copy_shifted<-2, LaneType>(source, columns, target), true;
    case 4:
      return copy_shifted<4, LaneType>(source, columns, target), true;
    case -4:
      return copy_shifted<-4, LaneType>(source, columns, target), true;
    default:
      return false;
  }
}

// Copies some samples of a row from the lanes of one strip to those of another.
template <int Samples, class LaneType, class T = typename LaneType::Scalar>
GRADCON_INLINE void copy_samples(const T* source, int64_t columns, T* target) {
  for (int64_t i = 0; i < columns * LaneType::samples; i += LaneType::samples) {
    GRADCON_UNROLL for (int sample = 0; sample < Samples; ++sample) target[i + sample] = source[i + sample];
  }
}

// The same of a number that is known at run time: a power of two, less than there are lanes.
template <class LaneType, int Samples = LaneType::samples / 2, class T = typename LaneType::Scalar>
GRADCON_INLINE void copy_samples_of(int64_t samples, const T* source, int64_t columns, T* target) {
  if constexpr (Samples > 1) {
    if (samples < Samples) return copy_samples_of<LaneType, Samples / 2>(samples, source, columns, target);
  }
  copy_samples<Samples, LaneType>(source, columns, target);
}

// Some columns of a row for one strip, from the strip where it counts, or zeros beyond the grid.
template <class LaneType, class T = typename LaneType::Scalar>
GRADCON_INLINE void copy_to_strip(const CutRows& cut, int64_t grid_row, int64_t columns, const T* channel, T* target) {
  const int64_t samples = LaneType::samples / cut.strips;
  if (grid_row < 0 || grid_row >= cut.grid_rows) return clear_row<LaneType>(target, columns, samples);
  const int64_t strip = cut.strip_of(grid_row);
  const T* source = channel + (grid_row - strip * cut.step) * cut.columns * LaneType::samples + strip * samples;
  copy_samples_of<LaneType>(samples, source, columns, target);
}

// Gathers one of the rows of a channel that each strip reads.
template <class LaneType, class T = typename LaneType::Scalar>
inline void gather_row(const CutRows& cut, const SourceRows& wanted, int64_t row, int64_t columns, const T* channel,
                       T* target) {
  constexpr int lanes = LaneType::samples;
  const int64_t samples = lanes / cut.strips;
  int64_t strip = 0;
  // Where the sources are as far apart as the strips that they are in, a shuffle serves them all, but for rows that
  // count in the last strip beyond its step.
  const int64_t from_first = wanted.first + row + cut.strips * cut.step;
  if (wanted.step == cut.step && from_first >= 0) {
    const int64_t strips_on = from_first / cut.step - cut.strips;
    const int64_t local = from_first % cut.step;
    const T* source = channel + local * cut.columns * lanes;
    const bool reaches = local < cut.strip_rows;
    if (reaches && copy_row<LaneType>(strips_on * samples, source, columns, target)) {
      strip = strips_on > 0 ? std::max<int64_t>(cut.strips - strips_on, 0) : cut.strips;
    }
  }
  for (; strip < cut.strips; ++strip) {
    copy_to_strip<LaneType>(cut, strip * wanted.step + wanted.first + row, columns, channel, target + strip * samples);
  }
}

// Of every two neighbouring groups of `Shift` lanes the sum: that of the left vector in the first group's place, that
// of the right one in the second's.
template <int Shift, class LaneType, int... Index>
GRADCON_INLINE LaneType pair_sums(const LaneType& left, const LaneType& right, std::integer_sequence<int, Index...>) {
  constexpr int samples = LaneType::samples;
  const auto first = __builtin_shufflevector(left.value, right.value,
                                             (Index % (2 * Shift) < Shift ? Index : samples + Index - Shift)...);
  const auto second = __builtin_shufflevector(left.value, right.value,
                                              (Index % (2 * Shift) < Shift ? Index + Shift : samples + Index)...);
  return {first + second};
}

// The sums over a sample's lanes. `samples` is how many a block has: the lanes of one are so far apart.
template <class LaneType>
struct StripSum {
  int64_t samples = LaneType::samples;

  GRADCON_INLINE bool is_needed() const { return samples < LaneType::samples; }

  // The sum of a gradient tile whose numbers are each spread over the lanes of a sample, again spread over them.
  template <class Term, int Inner, int Outer>
  GRADCON_INLINE LaneType sum_of_tile(const LaneType (&tile)[Inner][Outer]) const {
    if (!is_needed()) return GRADCON_CORE_NAMESPACE::sum_of_tile<Term>(tile);
    LaneType numbers[Inner * Outer];
    GRADCON_UNROLL for (int i = 0; i < Inner; ++i) {
      GRADCON_UNROLL for (int o = 0; o < Outer; ++o) numbers[i * Outer + o] = tile[i][o];
    }
    return sum_of_numbers<Term, LaneType::samples / 2>(numbers);
  }

  // The sums of single numbers, each in one lane of its sample, and zeros in the others.
  template <int Shift = LaneType::samples / 2>
  GRADCON_INLINE LaneType joined(const LaneType& number) const {
    if constexpr (Shift > 0) {
      if (Shift >= samples) return joined<Shift / 2>(pair_sums_of<Shift>(number, LaneType::zero()));
    }
    return number;
  }

  GRADCON_INLINE void join(Sum<LaneType>& sum) const {
    for (int64_t lane = samples; lane < LaneType::samples; ++lane) sum.value[lane % samples] += sum.value[lane];
  }

 private:
  template <int Shift>
  static GRADCON_INLINE LaneType pair_sums_of(const LaneType& left, const LaneType& right) {
    return pair_sums<Shift>(left, right, std::make_integer_sequence<int, LaneType::samples>{});
  }

  // Two vectors of partial sums become one, until each number stands in one lane.
  template <class Term, int Shift, int Count>
  GRADCON_INLINE LaneType sum_of_numbers(const LaneType (&numbers)[Count]) const {
    if constexpr (Shift > 0) {
      if (Shift >= samples) {
        LaneType pairs[(Count + 1) / 2];
        GRADCON_UNROLL for (int i = 0; i < (Count + 1) / 2; ++i) {
          pairs[i] = pair_sums_of<Shift>(numbers[2 * i], 2 * i + 1 < Count ? numbers[2 * i + 1] : LaneType::zero());
        }
        return sum_of_numbers<Term, Shift / 2>(pairs);
      }
    }
    LaneType sum = LaneType::zero();
    GRADCON_UNROLL for (int i = 0; i < Count; ++i) Term::add(numbers[i], sum);
    return sum;
  }
};

}  // namespace gradcon::GRADCON_CORE_NAMESPACE
