// The layers of a chain that are no contraction, on values in lanes.
#pragma once

#include <cstdint>

#include "core/chain.hpp"
#include "cuda/lanes.cuh"
#include "cuda/launch.cuh"

namespace gradcon::cuda {

// Source and target may be the same memory for all but upsampling. For float and double.
template <class T>
class ChainLayers {
 public:
  ChainLayers(const Launcher& launcher, int64_t sample_blocks) : launcher_(launcher), sample_blocks_(sample_blocks) {}

  void activate(const ChainLayer& layer, Lanes<T> source, Lanes<T> target) const;
  // `value` is what the activation takes its derivative from.
  void activate_backward(const ChainLayer& layer, Lanes<T> value, Lanes<T> grad_output, Lanes<T> grad_input) const;
  // Shift of nothing is the backward pass.
  void scale_channels(const Extents& extents, const T* scale, const T* shift, Lanes<T> source, Lanes<T> target) const;
  void upsample(const ChainLayer& layer, Lanes<T> source, Lanes<T> target) const;
  void upsample_backward(const ChainLayer& layer, Lanes<T> grad_output, Lanes<T> grad_input) const;

 private:
  // A warp for each of `pieces` of a block of samples.
  template <class... Parameters, class... Arguments>
  void run(void (*kernel)(Parameters...), int64_t pieces, Arguments... arguments) const {
    launcher_.run(kernel, ceil_div(pieces * sample_blocks_, warps_per_block), pieces, sample_blocks_, arguments...);
  }

  const Launcher& launcher_;
  int64_t sample_blocks_;
};

}  // namespace gradcon::cuda
