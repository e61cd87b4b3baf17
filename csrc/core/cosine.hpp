// The cosine of a gradient and its reference.
#pragma once

#include "core/variant.hpp"

namespace gradcon::GRADCON_CORE_NAMESPACE {

// One norm after the other: the product of two small ones would vanish.
GRADCON_INLINE double cosine_of(double dot, double norm, double reference_norm) {
  if (norm == 0 || reference_norm == 0) return 0;
  const double cosine = dot / norm / reference_norm;
  return cosine < -1 ? -1 : cosine > 1 ? 1 : cosine;
}

}  // namespace gradcon::GRADCON_CORE_NAMESPACE
