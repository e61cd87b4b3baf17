// Alignment of samples that are in lanes already.
#pragma once

#include <cstdint>

#include "cuda/launch.cuh"
#include "problems.hpp"

namespace gradcon::cuda {

// Where the alignments of a batch go: dot (samples, references), sq_norm (samples).
template <class T>
struct AlignmentOutput {
  T* dot;
  T* sq_norm;
};

// Samples [first, first + samples) of the outputs, from lanes [block of 32 samples][channel][row][column][sample] that
// begin with the first of them. `references` is (K, *weight), contiguous, of type T. For float and double.
template <class T>
void align_lanes(const Launcher& launcher, const Geometry& geometry, const T* inner, const T* outer,
                 const Tensor& references, int64_t first, int64_t samples, AlignmentTensors& outputs);

}  // namespace gradcon::cuda
