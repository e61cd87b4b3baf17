// From a tensor's type to that of C++.
#pragma once

#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/core/ScalarType.h>

#include "core/require.hpp"

namespace gradcon {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

// What is computed in: float64 for itself, float32 for everything narrower.
inline ScalarType computed_type(const Tensor& tensor) {
  return tensor.scalar_type() == ScalarType::Double ? ScalarType::Double : ScalarType::Float;
}

// Calls `function` with a zero of the tensor's C++ type.
template <class Function>
void dispatch_floating(const Tensor& tensor, const Function& function) {
  switch (tensor.scalar_type()) {
    case ScalarType::Float:
      return function(float{});
    case ScalarType::Double:
      return function(double{});
    default:
      refuse("expected float32 or float64");
  }
}

}  // namespace gradcon
