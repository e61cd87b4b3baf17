// Tests' side of the emulated GPU.
#pragma once

#include <cstdint>
#include <memory>

#include "cuda/launch.cuh"

// How many kernels were launched; for Python too.
extern "C" __attribute__((visibility("default"))) int64_t emulated_launches;

namespace emulation {

// Threads of a block run in another order from here on.
void shuffle(uint32_t seed);

// Memory of the process, of exactly the size that is asked for, filled with NaN: an address sanitizer sees every access
// beyond it, and what is read before it is written shows.
class Launcher : public gradcon::cuda::Launcher {
 public:
  Launcher() : gradcon::cuda::Launcher(0, nullptr) {}

 private:
  std::shared_ptr<void> allocate(int64_t bytes) const override;
};

}  // namespace emulation
