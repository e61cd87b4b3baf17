// Activations and their derivatives. `mapped` and `exp_of` are those of the lane, found by its namespace.
#pragma once

#include <cmath>
#include <cstdint>

#include "core/chain.hpp"

namespace gradcon::GRADCON_CORE_NAMESPACE {

// Each has forward(input); backward(grad, value), the gradient by the input; and curvature(value), the second
// derivative. `value` is the output, or for a GELU the input.
template <class LaneType>
struct Relu {
  using V = typename LaneType::Vector;
  GRADCON_INLINE LaneType forward(const LaneType& x) const { return {x.value < 0 ? V{} : x.value}; }
  GRADCON_INLINE LaneType backward(const LaneType& grad, const LaneType& value) const {
    return {value.value > 0 ? grad.value : V{}};
  }
  GRADCON_INLINE LaneType curvature(const LaneType&) const { return LaneType::zero(); }
};

template <class LaneType>
struct LeakyRelu {
  typename LaneType::Scalar slope;
  GRADCON_INLINE LaneType forward(const LaneType& x) const { return {x.value < 0 ? x.value * slope : x.value}; }
  GRADCON_INLINE LaneType backward(const LaneType& grad, const LaneType& value) const {
    return {value.value > 0 ? grad.value : grad.value * slope};
  }
  GRADCON_INLINE LaneType curvature(const LaneType&) const { return LaneType::zero(); }
};

template <class LaneType>
struct Elu {
  using T = typename LaneType::Scalar;
  T alpha;
  GRADCON_INLINE LaneType forward(const LaneType& x) const {
    return mapped(x, [this](T value) { return value > 0 ? value : alpha * std::expm1(value); });
  }
  GRADCON_INLINE LaneType backward(const LaneType& grad, const LaneType& value) const {
    return {value.value > 0 ? grad.value : grad.value * (value.value + alpha)};
  }
  GRADCON_INLINE LaneType curvature(const LaneType& value) const {
    return {value.value > 0 ? value.value * 0 : value.value + alpha};
  }
};

template <class LaneType>
struct Sigmoid {
  GRADCON_INLINE LaneType forward(const LaneType& x) const { return {1 / (1 + exp_of(LaneType{-x.value}).value)}; }
  GRADCON_INLINE LaneType backward(const LaneType& grad, const LaneType& value) const {
    return {grad.value * value.value * (1 - value.value)};
  }
  GRADCON_INLINE LaneType curvature(const LaneType& value) const {
    return {value.value * (1 - value.value) * (1 - 2 * value.value)};
  }
};

template <class LaneType>
struct Tanh {
  using T = typename LaneType::Scalar;
  GRADCON_INLINE LaneType forward(const LaneType& x) const {
    return mapped(x, [](T value) { return std::tanh(value); });
  }
  GRADCON_INLINE LaneType backward(const LaneType& grad, const LaneType& value) const {
    return {grad.value * (1 - value.value * value.value)};
  }
  GRADCON_INLINE LaneType curvature(const LaneType& value) const {
    return {-2 * value.value * (1 - value.value * value.value)};
  }
};

// x times the normal distribution function (Hendrycks and Gimpel, 2016).
template <class LaneType>
struct Gelu {
  using T = typename LaneType::Scalar;
  static GRADCON_INLINE T distribution(T x) { return (1 + std::erf(x * T(0.70710678118654752440))) / 2; }
  static GRADCON_INLINE T density(T x) { return T(0.39894228040143267794) * std::exp(-x * x / 2); }
  GRADCON_INLINE LaneType forward(const LaneType& x) const {
    return mapped(x, [](T value) { return value * distribution(value); });
  }
  GRADCON_INLINE LaneType backward(const LaneType& grad, const LaneType& value) const {
    const auto slope = [](T x) { return distribution(x) + x * density(x); };
    return {grad.value * mapped(value, slope).value};
  }
  GRADCON_INLINE LaneType curvature(const LaneType& value) const {
    return mapped(value, [](T x) { return density(x) * (2 - x * x); });
  }
};

// The same with the distribution function approximated by a hyperbolic tangent.
template <class LaneType>
struct GeluTanh {
  using T = typename LaneType::Scalar;
  static constexpr T scale = T(0.79788456080286535588);
  static constexpr T cubic = T(0.044715);
  static GRADCON_INLINE T tangent(T x) { return std::tanh(scale * (x + cubic * x * x * x)); }
  GRADCON_INLINE LaneType forward(const LaneType& x) const {
    return mapped(x, [](T value) { return value * (1 + tangent(value)) / 2; });
  }
  GRADCON_INLINE LaneType backward(const LaneType& grad, const LaneType& value) const {
    const auto slope = [](T x) {
      const T t = tangent(x);
      return (1 + t + x * (1 - t * t) * scale * (1 + 3 * cubic * x * x)) / 2;
    };
    return {grad.value * mapped(value, slope).value};
  }
  GRADCON_INLINE LaneType curvature(const LaneType& value) const {
    return mapped(value, [](T x) {
      const T t = tangent(x);
      const T inner = scale * (1 + 3 * cubic * x * x);
      const T slope = (1 - t * t) * inner;
      return slope + x * ((1 - t * t) * scale * 6 * cubic * x - 2 * t * slope * inner) / 2;
    });
  }
};

// Calls `function` with the activation of a layer.
template <class LaneType, class Function>
GRADCON_INLINE void with_activation(const ChainLayer& layer, const Function& function) {
  const auto constant = static_cast<typename LaneType::Scalar>(layer.constant);
  switch (layer.kind) {
    case LayerKind::relu:
      return function(Relu<LaneType>{});
    case LayerKind::leaky_relu:
      return function(LeakyRelu<LaneType>{constant});
    case LayerKind::elu:
      return function(Elu<LaneType>{constant});
    case LayerKind::gelu:
      return function(Gelu<LaneType>{});
    case LayerKind::gelu_tanh:
      return function(GeluTanh<LaneType>{});
    case LayerKind::sigmoid:
      return function(Sigmoid<LaneType>{});
    case LayerKind::tanh:
      return function(Tanh<LaneType>{});
    default:
      return;
  }
}

}  // namespace gradcon::GRADCON_CORE_NAMESPACE
