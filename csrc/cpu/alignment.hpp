// Alignment of a batch with references, and norms: how its samples fill the lanes, blocks of them over threads. Knows
// nothing of torch.
#pragma once

#include <cstdint>

#include "core/geometry.hpp"
#include "cpu/kernels.hpp"
#include "cpu/threads.hpp"

namespace gradcon::cpu {

// Cut into as many strips of rows as suit the batch, whatever the threads, so that these do not change a bit.
template <class T>
void align_convolution(const Geometry& geometry, const BatchView<T>& inner, const BatchView<T>& outer,
                       const AlignmentTask<T>& task, int64_t batch, const Threads& threads);

// Cut likewise. `norms` has room for one a sample.
template <class T>
void l1_norms_of_convolution(const Geometry& geometry, const BatchView<T>& inner, const BatchView<T>& outer, T* norms,
                             int64_t batch, const Threads& threads);

// One position a sample.
template <class T>
void align_linear(const LinearProblem<T>& problem, int64_t batch, const Threads& threads);

}  // namespace gradcon::cpu
