// The losses of a chain and their gradients, on values in lanes.
#pragma once

#include <cstdint>

#include "core/chain.hpp"
#include "cuda/lanes.cuh"
#include "cuda/launch.cuh"

namespace gradcon::cuda {

// Of `samples` samples in lanes. For float and double.
template <class T>
class ChainLosses {
 public:
  ChainLosses(const Launcher& launcher, const Chain& chain, int64_t samples)
      : launcher_(launcher), chain_(chain), samples_(samples) {}

  // A loss for each sample, and the gradient by the output.
  void reconstruction(Lanes<T> output, Lanes<T> images, T* losses, Lanes<T> grad) const;
  // The same for the code of the bottleneck, which in scoring is the mean itself.
  void divergence(Lanes<T> mean, Lanes<T> log_variance, T* losses) const;
  // From the gradient by the code to that by the mean, in place, and by the log variance, in the place of the latter.
  void divergence_backward(Lanes<T> mean, Lanes<T> log_variance, Lanes<T> grad) const;

 private:
  int64_t sample_blocks() const { return ceil_div(samples_, warp_size); }
  int64_t code_size() const { return size_of(chain_.layers[static_cast<size_t>(chain_.bottleneck)].output); }

  const Launcher& launcher_;
  const Chain& chain_;
  int64_t samples_;
};

}  // namespace gradcon::cuda
