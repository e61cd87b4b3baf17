// From alignments to cosines.
#pragma once

#include <cstdint>

#include "cuda/align_lanes.cuh"
#include "cuda/launch.cuh"

namespace gradcon::cuda {

// The norm of an array, in double and on the device. For float and double.
template <class T>
void norm(const Launcher& launcher, const T* data, int64_t size, double* result);

// Cosines to one reference, `stride` apart, from its dots and the squared norms of `samples` samples.
template <class T>
void cosines(const Launcher& launcher, const AlignmentOutput<double>& alignment, const double* reference_norm,
             int64_t samples, T* result, int64_t stride);

}  // namespace gradcon::cuda
