// The CPU kernels of one instruction set, as plain functions behind a table.
#pragma once

#include <cstdint>

#include "core/batch_view.hpp"
#include "core/geometry.hpp"
#include "core/running_mean.hpp"

namespace gradcon::cpu {

// Several references, one behind the other, and where their alignments go.
template <class T>
struct AlignmentTask {
  const T* references = nullptr;  // (count, *weight)
  int64_t count = 0;
  T* dot = nullptr;      // (samples, count)
  T* sq_norm = nullptr;  // (samples)
};

template <class T>
struct ConvProblem {
  Geometry geometry;
  BatchView<T> inner;
  BatchView<T> outer;
  AlignmentTask<T> task;
};

template <class T>
struct LinearProblem {
  int64_t inputs = 0;
  int64_t outputs = 0;
  BatchView<T> input;
  BatchView<T> grad_output;
  AlignmentTask<T> task;
};

// A thread's memory for one block of samples, 64-byte aligned.
template <class T>
struct Workspace {
  T* lanes;      // samples * (inner_size + outer_size), or samples * (inputs + outputs)
  double* dots;  // samples * references
};

template <class T>
struct TypedKernels {
  // Samples side by side: a block is this many, the last one may be shorter.
  int samples;
  // Samples [first, first + count).
  void (*conv_alignment)(const ConvProblem<T>& problem, int64_t first, int64_t count, const Workspace<T>& workspace);
  // The same for one position a sample.
  void (*linear_alignment)(const LinearProblem<T>& problem, int64_t first, int64_t count,
                           const Workspace<T>& workspace);
  CosineSums (*running_mean)(T* mean, const T* grad, int64_t size, int64_t count);
};

struct Kernels {
  TypedKernels<float> float32;
  TypedKernels<double> float64;

  template <class T>
  const TypedKernels<T>& of() const;
};

template <>
inline const TypedKernels<float>& Kernels::of<float>() const {
  return float32;
}

template <>
inline const TypedKernels<double>& Kernels::of<double>() const {
  return float64;
}

extern const Kernels baseline_kernels;
extern const Kernels avx2_kernels;
extern const Kernels avx512_kernels;

// Those of the capability in use.
const Kernels& kernels();

}  // namespace gradcon::cpu
