// The cosine of a gradient to the running mean before it, and the mean's update.
#pragma once

#include <cstdint>

#include "cuda/launch.cuh"

namespace gradcon::cuda {

// Takes `grad` into the mean of the `count` gradients before it; the cosine is 0 where there were none. For float and
// double.
template <class T>
void running_mean(const Launcher& launcher, T* mean, const T* grad, int64_t size, int64_t count, T* cosine);

}  // namespace gradcon::cuda
