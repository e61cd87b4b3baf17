// Alignment of per-sample linear weight gradients for one position a sample, the outer product y x^T.
//
// Then |g|^2 = |x|^2 |y|^2 and <g, a> = <y, a x>: one multiply-add a weight instead of three. A linear layer with
// several positions is a convolution with a 1x1 kernel and goes to conv_alignment.
#pragma once

#include <cstdint>

#include "core/conv_alignment.hpp"
#include "core/sum.hpp"

namespace gradcon::GRADCON_CORE_NAMESPACE {

// In double, for one of the two vectors may be as small as the other is large.
template <class LaneType, class T = typename LaneType::Scalar>
GRADCON_INLINE Sum<LaneType> sq_norm_of(const T* lanes, int64_t channels) {
  Sum<LaneType> total;
  for (int64_t channel = 0; channel < channels; ++channel) {
    const LaneType value = LaneType::load(lanes + channel * LaneType::samples);
    total.add_product(value, value);
  }
  return total;
}

// Adds y[r] * sum_i reference[r, i] x[i] for `Rows` consecutive outputs r.
template <class LaneType, int Rows, class T = typename LaneType::Scalar>
inline void add_rows(const T* input, const T* grad_output, const T* reference, int64_t inputs, Sum<LaneType>& dot) {
  constexpr int samples = LaneType::samples;
  LaneType projected[Rows] = {};
  for (int64_t i = 0; i < inputs; ++i) {
    const LaneType x = LaneType::load(input + i * samples);
    GRADCON_UNROLL for (int row = 0; row < Rows; ++row) {
      projected[row].add_product(LaneType::broadcast(reference[row * inputs + i]), x);
    }
  }
  LaneType total = LaneType::zero();
  GRADCON_UNROLL for (int row = 0; row < Rows; ++row)
      total.add_product(projected[row], LaneType::load(grad_output + row * samples));
  dot.add(total);
}

// `input` (inputs) and `grad_output` (outputs) in lanes, each reference (outputs, inputs) contiguous.
template <class LaneType, class T = typename LaneType::Scalar>
inline void linear_alignment(int64_t inputs, int64_t outputs, const T* input, const T* grad_output,
                             const References<T>& references, Alignment<LaneType>& alignment) {
  constexpr int samples = LaneType::samples;
  constexpr int rows = 8;
  for (int64_t k = 0; k < references.count; ++k) {
    const T* reference = references.data + k * inputs * outputs;
    int64_t output = 0;
    for (; output + rows <= outputs; output += rows) {
      add_rows<LaneType, rows>(input, grad_output + output * samples, reference + output * inputs, inputs,
                               alignment.dots[k]);
    }
    for (; output < outputs; ++output) {
      add_rows<LaneType, 1>(input, grad_output + output * samples, reference + output * inputs, inputs,
                            alignment.dots[k]);
    }
  }
  const Sum<LaneType> input_sq_norm = sq_norm_of<LaneType>(input, inputs);
  const Sum<LaneType> output_sq_norm = sq_norm_of<LaneType>(grad_output, outputs);
  for (int sample = 0; sample < samples; ++sample) {
    alignment.sq_norm.value[sample] = input_sq_norm.value[sample] * output_sq_norm.value[sample];
  }
}

}  // namespace gradcon::GRADCON_CORE_NAMESPACE
