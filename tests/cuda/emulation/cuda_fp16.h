// Half precision as csrc/cuda uses it: it is widened, and no more.
#pragma once

#include <cmath>
#include <cstdint>

struct __half {
  uint16_t bits = 0;
};

inline float __half2float(__half half) {
  const int exponent = half.bits >> 10 & 31;
  const int fraction = half.bits & 1023;
  const float magnitude = exponent == 31  ? (fraction == 0 ? HUGE_VALF : NAN)
                          : exponent == 0 ? std::ldexp(static_cast<float>(fraction), -24)
                                          : std::ldexp(static_cast<float>(1024 + fraction), exponent - 25);
  return half.bits >> 15 ? -magnitude : magnitude;
}
