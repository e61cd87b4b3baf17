// The losses of an autoencoder and their gradients, on values in lanes (gradcon_ext/losses.py).
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>

#include "core/chain.hpp"
#include "core/parallel_for.hpp"
#include "core/parts.hpp"
#include "core/sum.hpp"

namespace gradcon::GRADCON_CORE_NAMESPACE {

// A pixel's loss and its derivatives by the reconstruction.
template <class LaneType>
struct PixelLoss {
  LaneType loss;
  LaneType derivative;
  LaneType curvature;
};

template <class LaneType>
GRADCON_INLINE PixelLoss<LaneType> squared_error(const LaneType& output, const LaneType& image) {
  const auto difference = output.value - image.value;
  return {{difference * difference}, {2 * difference}, LaneType::broadcast(2)};
}

// The same of one sample.
template <class T>
struct SamplePixelLoss {
  T loss;
  T derivative;
  T curvature;
};

// Finite also where a pixel is reconstructed as exactly 0 or 1; the derivative is 0 where the output is clamped.
template <class T>
GRADCON_INLINE SamplePixelLoss<T> cross_entropy_of(T output, T image) {
  constexpr T least = T(1e-12);
  constexpr T most = 1 - std::numeric_limits<T>::epsilon();
  const T probability = output < least ? least : output > most ? most : output;
  const bool clamped = output < least || output > most;
  const T of_zero = (1 - image) / (1 - probability);
  const T of_one = image / probability;
  return {
      -(image * std::log(probability) + (1 - image) * std::log1p(-probability)),
      clamped ? T(0) : of_zero - of_one,
      clamped ? T(0) : of_zero / (1 - probability) + of_one / probability,
  };
}

template <class LaneType>
GRADCON_INLINE PixelLoss<LaneType> cross_entropy(const LaneType& output, const LaneType& image) {
  PixelLoss<LaneType> result;
  for (int sample = 0; sample < LaneType::samples; ++sample) {
    const auto pixel = cross_entropy_of(output.value[sample], image.value[sample]);
    result.loss.value[sample] = pixel.loss;
    result.derivative.value[sample] = pixel.derivative;
    result.curvature.value[sample] = pixel.curvature;
  }
  return result;
}

template <class LaneType>
GRADCON_INLINE PixelLoss<LaneType> pixel_loss(Reconstruction reconstruction, const LaneType& output,
                                              const LaneType& image) {
  return reconstruction == Reconstruction::squared_error ? squared_error(output, image) : cross_entropy(output, image);
}

// Sum over some pixels times `inverse`, and its gradient by the output times `scale`.
template <class LaneType, class T = typename LaneType::Scalar>
GRADCON_INLINE void add_pixels(Reconstruction reconstruction, int64_t pixels, T inverse, const T* output,
                               const T* images, const LaneType& scale, T* grad, Sum<LaneType>& loss) {
  const LaneType scaled = {scale.value * inverse};
  for (int64_t i = 0; i < pixels * LaneType::samples; i += LaneType::samples) {
    const PixelLoss<LaneType> pixel =
        pixel_loss(reconstruction, LaneType::load(output + i), LaneType::load(images + i));
    loss.add({pixel.loss.value * inverse});
    LaneType{pixel.derivative.value * scaled.value}.store(grad + i);
  }
}

// Calls function(part, first number, pixels) for runs of pixels. The shapes alone decide on the parts, so that sums
// over each do not depend on the threads.
template <class LaneType, class Function>
inline void for_each_run(const Extents& images, const ParallelFor& parallel_for, const Function& function) {
  const bool in_parts = has_parts_of_columns(images.columns);
  const int64_t parts = in_parts ? parts_of_an_axis : 1;
  parallel_for(parts, [&](int64_t part) {
    const Range columns = part_of(images.columns, part, parts);
    if (!in_parts) return function(part, int64_t{0}, size_of(images));
    for (int64_t row = 0; row < images.channels * images.rows; ++row) {
      function(part, (row * images.columns + columns.begin) * LaneType::samples, columns.size());
    }
  });
}

// Mean over the pixels, and its gradient by the output times `scale`.
template <class LaneType, class T = typename LaneType::Scalar>
inline void reconstruction_loss(const Chain& chain, const T* output, const T* images, const LaneType& scale, T* grad,
                                const ParallelFor& parallel_for, Sum<LaneType>& loss) {
  const T inverse = 1 / static_cast<T>(chain.pixels);
  Sum<LaneType> sums[parts_of_an_axis];
  for_each_run<LaneType>(chain.images, parallel_for, [&](int64_t part, int64_t at, int64_t pixels) {
    add_pixels(chain.reconstruction, pixels, inverse, output + at, images + at, scale, grad + at, sums[part]);
  });
  for (const Sum<LaneType>& sum : sums) loss.add_values(sum);
}

// The same gradient plus what it changes by along the tangent of the output. `tangent` and `grad` may be the same.
template <class LaneType, class T = typename LaneType::Scalar>
inline void reconstruction_tangent(const Chain& chain, const T* output, const T* images, const LaneType& scale,
                                   const T* tangent, const ParallelFor& parallel_for, T* grad) {
  const LaneType scaled = {scale.value * (1 / static_cast<T>(chain.pixels))};
  for_each_run<LaneType>(chain.images, parallel_for, [&](int64_t, int64_t at, int64_t pixels) {
    for (int64_t i = at; i < at + pixels * LaneType::samples; i += LaneType::samples) {
      const PixelLoss<LaneType> pixel =
          pixel_loss(chain.reconstruction, LaneType::load(output + i), LaneType::load(images + i));
      LaneType sum = pixel.derivative;
      sum.add_product(pixel.curvature, LaneType::load(tangent + i));
      LaneType{sum.value * scaled.value}.store(grad + i);
    }
  });
}

// Kullback-Leibler divergence of N(mean, exp(log variance)) to N(0, 1), in nats per pixel.
template <class LaneType, class T = typename LaneType::Scalar>
GRADCON_INLINE void divergence(const Extents& images, int64_t size, const T* mean, const T* log_variance,
                               Sum<LaneType>& loss) {
  const T half = T(0.5) / static_cast<T>(size_of(images));
  for (int64_t i = 0; i < size * LaneType::samples; i += LaneType::samples) {
    const LaneType m = LaneType::load(mean + i);
    const LaneType v = LaneType::load(log_variance + i);
    loss.add({half * (m.value * m.value + exp_of(v).value - v.value - 1)});
  }
}

// From the gradient by the code to that by the mean, in place, and by the log variance, in the place of the latter.
// Those of the divergence, times `scale`, are added.
template <class LaneType, class T = typename LaneType::Scalar>
GRADCON_INLINE void divergence_backward(const Extents& images, int64_t size, const T* mean, const T* code,
                                        const LaneType& scale, T* log_variance, T* grad) {
  const LaneType scaled = {scale.value * (1 / static_cast<T>(size_of(images)))};
  for (int64_t i = 0; i < size * LaneType::samples; i += LaneType::samples) {
    const LaneType m = LaneType::load(mean + i);
    const LaneType of_code = LaneType::load(grad + i);
    const LaneType variance = exp_of(LaneType::load(log_variance + i));
    const LaneType deviation = {LaneType::load(code + i).value - m.value};
    LaneType{((variance.value - 1) * scaled.value + of_code.value * deviation.value) / 2}.store(log_variance + i);
    LaneType{of_code.value + m.value * scaled.value}.store(grad + i);
  }
}

// code = mean + exp(log variance / 2) noise (Kingma and Welling, 2013).
template <class LaneType, class T = typename LaneType::Scalar>
inline void sample_code(int64_t size, const T* mean, const T* log_variance, const T* noise, T* code) {
  for (int64_t i = 0; i < size * LaneType::samples; i += LaneType::samples) {
    LaneType sum = LaneType::load(mean + i);
    sum.add_product(exp_of(LaneType{LaneType::load(log_variance + i).value / 2}), LaneType::load(noise + i));
    sum.store(code + i);
  }
}

}  // namespace gradcon::GRADCON_CORE_NAMESPACE
