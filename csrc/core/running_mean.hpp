// The cosine of a gradient to the running mean before it, and the mean's update, in one pass over memory.
#pragma once

#include <cstdint>

#include "core/variant.hpp"

namespace gradcon {

struct CosineSums {
  double dot = 0;
  double mean_sq_norm = 0;
  double grad_sq_norm = 0;
};

namespace GRADCON_CORE_NAMESPACE {

// Takes `grad` into the mean of the `count` gradients before it, and adds up what their cosine needs (before the
// update). Reduction order: eight interleaved sums in double, then those in order.
template <class T>
inline CosineSums running_mean(T* mean, const T* grad, int64_t size, int64_t count) {
  constexpr int interleaved = 8;
  double dot[interleaved] = {};
  double mean_sq_norm[interleaved] = {};
  double grad_sq_norm[interleaved] = {};
  const T share = static_cast<T>(1.0 / static_cast<double>(count + 1));
  const auto take = [&](int64_t index, int sum) {
    const double m = static_cast<double>(mean[index]);
    const double g = static_cast<double>(grad[index]);
    dot[sum] += m * g;
    mean_sq_norm[sum] += m * m;
    grad_sq_norm[sum] += g * g;
    mean[index] += (grad[index] - mean[index]) * share;
  };
  const int64_t whole = size / interleaved * interleaved;
  for (int64_t index = 0; index < whole; index += interleaved) {
    for (int sum = 0; sum < interleaved; ++sum) take(index + sum, sum);
  }
  for (int64_t index = whole; index < size; ++index) take(index, static_cast<int>(index - whole));
  CosineSums sums;
  for (int sum = 0; sum < interleaved; ++sum) {
    sums.dot += dot[sum];
    sums.mean_sq_norm += mean_sq_norm[sum];
    sums.grad_sq_norm += grad_sq_norm[sum];
  }
  return sums;
}

}  // namespace GRADCON_CORE_NAMESPACE
}  // namespace gradcon
