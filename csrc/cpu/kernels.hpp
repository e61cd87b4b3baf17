// The CPU kernels of one instruction set, as plain functions behind a table.
#pragma once

#include <cstdint>

#include "core/geometry.hpp"
#include "core/running_mean.hpp"
#include "core/to_lanes.hpp"

namespace gradcon::cpu {

// What a convolution's alignment reads; writes one dot and one squared norm a sample.
template <class T>
struct ConvProblem {
  Geometry geometry;
  BatchView<T> inner;
  BatchView<T> outer;
  const T* reference = nullptr;
  T* dot = nullptr;
  T* sq_norm = nullptr;
};

template <class T>
struct LinearProblem {
  int64_t inputs = 0;
  int64_t outputs = 0;
  BatchView<T> input;
  BatchView<T> grad_output;
  const T* reference = nullptr;
  T* dot = nullptr;
  T* sq_norm = nullptr;
};

template <class T>
struct TypedKernels {
  // Samples side by side: a block is this many, the last one may be shorter.
  int samples;
  // Samples [first, first + count). `lanes` is scratch of samples * (inner_size + outer_size) scalars, 64-byte aligned.
  void (*conv_alignment)(const ConvProblem<T>& problem, int64_t first, int64_t count, T* lanes);
  // The same for one position a sample; scratch of samples * (inputs + outputs) scalars.
  void (*linear_alignment)(const LinearProblem<T>& problem, int64_t first, int64_t count, T* lanes);
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
