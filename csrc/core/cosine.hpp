// The one rule of the cosine of a gradient and its reference. Its twin, which states it in full, is
// gradcon_ext/alignment/cosine.py.
#pragma once

#include "core/variant.hpp"

namespace gradcon::GRADCON_CORE_NAMESPACE {

// Norm up to which a vector counts as zero, 1e-146: the squares of float64 numbers that small vanish.
constexpr double smallest_norm = 0x1p-485;

// Norm up to which a vector of T counts as zero where its cosine is differentiated. That of float32 is its smallest
// number over its epsilon.
template <class T>
constexpr double smallest_differentiable_norm = sizeof(T) == sizeof(float) ? 0x1p-103 : smallest_norm;

GRADCON_INLINE double clamped_cosine(double cosine) { return cosine < -1 ? -1 : cosine > 1 ? 1 : cosine; }

// One norm after the other: the product of two small ones would vanish.
GRADCON_INLINE double cosine_of(double dot, double norm, double reference_norm) {
  // What is not finite gives NaN, and a finite number less itself 0.
  const double zero = (norm - norm) + (reference_norm - reference_norm);
  if (norm <= smallest_norm || reference_norm <= smallest_norm) return zero;
  return clamped_cosine(dot / norm / reference_norm + zero);
}

}  // namespace gradcon::GRADCON_CORE_NAMESPACE
