// Alignment of a linear layer's weight gradients where it has one position a sample.
#pragma once

#include <cstdint>

#include "core/batch_view.hpp"
#include "cuda/align_lanes.cuh"
#include "cuda/launch.cuh"
#include "cuda/to_lanes.cuh"

namespace gradcon::cuda {

// Inputs x and output gradients y of some samples, each a vector.
template <class Source>
struct VectorPairs {
  BatchView<Source> input;
  BatchView<Source> grad_output;
  int64_t inputs;
  int64_t outputs;
  int64_t samples;
};

// `projected` is a_k x, (samples, references, outputs), for references a_k. For float, double and the two halves.
template <class Source>
void align_vectors(const Launcher& launcher, const VectorPairs<Source>& pairs, const Computed<Source>* projected,
                   int64_t references, const AlignmentOutput<Computed<Source>>& output);

}  // namespace gradcon::cuda
