// Functions of lanes, one number a sample.
#pragma once

#include <cmath>
#include <cstdint>

#include "core/lane.hpp"

namespace gradcon::GRADCON_CORE_NAMESPACE {

template <class T, int Samples, int Channels, class Function>
GRADCON_INLINE Lane<T, Samples, Channels> mapped(const Lane<T, Samples, Channels>& x, const Function& function) {
  Lane<T, Samples, Channels> result;
  for (int sample = 0; sample < Samples; ++sample) result.value[sample] = function(x.value[sample]);
  return result;
}

// e^x in float32, within 2 units in the last place: 2^n times the Taylor polynomial of the remainder, which is at most
// ln(2) / 2. Below -87.3 it is the smallest normal number, above 88.7 infinite; NaN stays NaN.
template <int Samples, int Channels>
GRADCON_INLINE Lane<float, Samples, Channels> exp_of(const Lane<float, Samples, Channels>& x) {
  using Vector = typename Lane<float, Samples, Channels>::Vector;
  using Integers [[gnu::vector_size(sizeof(int32_t) * Samples)]] = int32_t;
  constexpr float lowest = -87.33654f;
  constexpr float highest = 88.72283f;
  Vector inside = x.value < lowest ? Vector{} + lowest : x.value;
  inside = inside > highest ? Vector{} + highest : inside;
  const Vector powers = inside * 1.44269504f;
  // Adding and subtracting 1.5 * 2^23 rounds to the nearest integer.
  const Vector rounded = (powers + 12582912.0f) - 12582912.0f;
  const Vector remainder = inside - rounded * 0.693359375f + rounded * 2.12194440e-4f;
  Vector polynomial = Vector{} + 1.0f / 720;
  polynomial = polynomial * remainder + 1.0f / 120;
  polynomial = polynomial * remainder + 1.0f / 24;
  polynomial = polynomial * remainder + 1.0f / 6;
  polynomial = polynomial * remainder + 0.5f;
  polynomial = polynomial * remainder + 1.0f;
  polynomial = polynomial * remainder + 1.0f;
  // In two halves, because 2^128 is no float32.
  const Integers power = __builtin_convertvector(rounded == rounded ? rounded : Vector{}, Integers);
  const Integers half = power / 2;
  const Integers low = (half + 127) << 23;
  const Integers high = (power - half + 127) << 23;
  const Vector result = polynomial * reinterpret_cast<const Vector&>(low) * reinterpret_cast<const Vector&>(high);
  return {x.value > highest ? Vector{} + HUGE_VALF : result};
}

template <int Samples, int Channels>
GRADCON_INLINE Lane<double, Samples, Channels> exp_of(const Lane<double, Samples, Channels>& x) {
  return mapped(x, [](double value) { return std::exp(value); });
}

}  // namespace gradcon::GRADCON_CORE_NAMESPACE
