// Alignment of samples that are in lanes already.
#pragma once

#include <cstdint>

#include "core/conv_alignment.hpp"
#include "core/geometry.hpp"
#include "cuda/lanes.cuh"
#include "cuda/launch.cuh"

namespace gradcon::cuda {

// Where the alignments of some samples go: dot (samples, references), sq_norm (samples).
template <class T>
struct AlignmentOutput {
  T* dot;
  T* sq_norm;
};

// References are of the shape of the weight. For float and double, with sums of the same type or in double.
template <class T, class Result>
void align_lanes(const Launcher& launcher, const Geometry& geometry, Lanes<T> inner, Lanes<T> outer,
                 const portable::References<T>& references, int64_t samples, const AlignmentOutput<Result>& output);

// Replaces the alignments with one reference of those samples whose products have left the range of float32. The norm
// is on the device. For float and double, of which the latter loses none.
template <class T>
void align_lost_in_double(const Launcher& launcher, const Geometry& geometry, Lanes<T> inner, Lanes<T> outer,
                          const T* reference, const double* reference_norm, int64_t samples,
                          const AlignmentOutput<double>& output);

}  // namespace gradcon::cuda
