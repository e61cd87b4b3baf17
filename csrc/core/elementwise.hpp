// The layers of a chain that are no contraction, on values in lanes.
#pragma once

#include <cstdint>

#include "core/activation.hpp"
#include "core/chain.hpp"

namespace gradcon::GRADCON_CORE_NAMESPACE {

template <class LaneType, class T = typename LaneType::Scalar>
GRADCON_INLINE void activate(const ChainLayer& layer, const T* source, T* target) {
  const int64_t end = size_of(layer.input) * LaneType::samples;
  with_activation<LaneType>(layer, [&](const auto& activation) {
    for (int64_t i = 0; i < end; i += LaneType::samples) {
      activation.forward(LaneType::load(source + i)).store(target + i);
    }
  });
}

// `value` is what the activation takes its derivative from.
template <class LaneType, class T = typename LaneType::Scalar>
GRADCON_INLINE void activate_backward(const ChainLayer& layer, const T* value, const T* grad_output, T* grad_input) {
  const int64_t end = size_of(layer.input) * LaneType::samples;
  with_activation<LaneType>(layer, [&](const auto& activation) {
    for (int64_t i = 0; i < end; i += LaneType::samples) {
      activation.backward(LaneType::load(grad_output + i), LaneType::load(value + i)).store(grad_input + i);
    }
  });
}

// Adds the second derivative times the tangent of the input times the gradient by the output.
template <class LaneType, class T = typename LaneType::Scalar>
inline void add_curvature(const ChainLayer& layer, const T* value, const T* tangent, const T* grad_output, T* sum) {
  if (is_piecewise_linear(layer.kind)) return;
  const int64_t end = size_of(layer.input) * LaneType::samples;
  with_activation<LaneType>(layer, [&](const auto& activation) {
    for (int64_t i = 0; i < end; i += LaneType::samples) {
      LaneType total = LaneType::load(sum + i);
      const LaneType slope_tangent = {activation.curvature(LaneType::load(value + i)).value *
                                      LaneType::load(tangent + i).value};
      total.add_product(slope_tangent, LaneType::load(grad_output + i));
      total.store(sum + i);
    }
  });
}

// Shift of nothing is the backward pass. In lanes of channels both are padded with zeros.
template <class LaneType, class T = typename LaneType::Scalar>
GRADCON_INLINE void scale_channels(const Extents& extents, const T* scale, const T* shift, const T* source, T* target) {
  for (int64_t channel = 0; channel < extents.channels; ++channel) {
    for (int64_t position = 0; position < extents.rows * extents.columns; ++position) {
      LaneType value =
          shift == nullptr ? LaneType::zero() : LaneType::load_weight(shift + channel * LaneType::channels);
      value.add_product(LaneType::load(source), LaneType::load_weight(scale + channel * LaneType::channels));
      value.store(target);
      source += LaneType::samples;
      target += LaneType::samples;
    }
  }
}

// Every position of the larger image takes the value of the one it lies in.
template <class LaneType, class T = typename LaneType::Scalar>
GRADCON_INLINE void upsample(const ChainLayer& layer, const T* source, T* target) {
  const Extents& small = layer.input;
  const Extents& large = layer.output;
  const int64_t row_factor = large.rows / small.rows;
  const int64_t column_factor = large.columns / small.columns;
  for (int64_t line = 0; line < large.channels * large.rows; ++line) {
    const int64_t source_row = line / large.rows * small.rows + line % large.rows / row_factor;
    for (int64_t column = 0; column < large.columns; ++column) {
      const int64_t position = source_row * small.columns + column / column_factor;
      LaneType::load(source + position * LaneType::samples).store(target);
      target += LaneType::samples;
    }
  }
}

// Sums the gradients of the positions that one value went to.
template <class LaneType, class T = typename LaneType::Scalar>
GRADCON_INLINE void upsample_backward(const ChainLayer& layer, const T* grad_output, T* grad_input) {
  const Extents& small = layer.input;
  const Extents& large = layer.output;
  const int64_t row_factor = large.rows / small.rows;
  const int64_t column_factor = large.columns / small.columns;
  const LaneType one = LaneType::broadcast(T(1));
  for (int64_t line = 0; line < small.channels * small.rows; ++line) {
    const int64_t first_row = line / small.rows * large.rows + line % small.rows * row_factor;
    for (int64_t column = 0; column < small.columns; ++column) {
      LaneType sum = LaneType::zero();
      for (int64_t row = first_row; row < first_row + row_factor; ++row) {
        const T* grads = grad_output + (row * large.columns + column * column_factor) * LaneType::samples;
        for (int64_t i = 0; i < column_factor; ++i) sum.add_product(LaneType::load(grads + i * LaneType::samples), one);
      }
      sum.store(grad_input);
      grad_input += LaneType::samples;
    }
  }
}

}  // namespace gradcon::GRADCON_CORE_NAMESPACE
