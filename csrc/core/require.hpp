// What is refused, and the sizes that are computed from what a caller hands over: none is taken on trust.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <stdexcept>
#include <string>

namespace gradcon {

// Begins every message. By it gradcon_ext/ops/_catalogue.py knows a refusal, of which a newer torch passes on the text
// alone.
inline constexpr const char* refusal_prefix = "gradcon_ext: ";

[[noreturn]] inline void refuse(const std::string& message) { throw std::invalid_argument(refusal_prefix + message); }

inline void require(bool condition, const char* message) {
  if (!condition) refuse(message);
}

// Up to here a product of two numbers, plus a third, stays within 64 bits.
inline constexpr int64_t largest_extent = int64_t{1} << 31;
// Numbers of one sample: of any value of it, and of all that a chain keeps of it. 4 GiB of float32, times the lanes.
inline constexpr int64_t largest_sample = int64_t{1} << 30;
// Numbers of any other array, such as a weight, or a batch in training. 256 GiB of float32.
inline constexpr int64_t largest_array = int64_t{1} << 36;

[[noreturn]] inline void refuse_size(const char* what, int64_t largest) {
  refuse(std::string(what) + " is too large: more than " + std::to_string(largest) + " numbers");
}

// The product of sizes that are not negative, at most `largest`.
inline int64_t checked_product(std::initializer_list<int64_t> sizes, int64_t largest, const char* what) {
  int64_t product = 1;
  for (const int64_t size : sizes) {
    if (size < 0 || (size > 0 && product > largest / size)) refuse_size(what, largest);
    product *= size;
  }
  return product;
}

// Likewise the sum of two.
inline int64_t checked_sum(int64_t left, int64_t right, int64_t largest, const char* what) {
  if (left < 0 || right < 0 || left > largest || right > largest - left) refuse_size(what, largest);
  return left + right;
}

}  // namespace gradcon
