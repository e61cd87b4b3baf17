// Alignment of samples that are in lanes already.
#pragma once

#include <cstdint>

#include "cuda/lanes.cuh"
#include "cuda/launch.cuh"
#include "problems.hpp"

namespace gradcon::cuda {

// Where the alignments of some samples go: dot (samples, references), sq_norm (samples).
template <class T>
struct AlignmentOutput {
  T* dot;
  T* sq_norm;
};

// `references` is (K, *weight), contiguous, of type T. For float and double, with sums of the same type or in double.
template <class T, class Result>
void align_lanes(const Launcher& launcher, const Geometry& geometry, Lanes<T> inner, Lanes<T> outer,
                 const Tensor& references, int64_t samples, const AlignmentOutput<Result>& output);

}  // namespace gradcon::cuda
