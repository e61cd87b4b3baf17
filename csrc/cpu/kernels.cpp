#include "cpu/kernels.hpp"

#include "cpu/capability.hpp"

namespace gradcon::cpu {

const Kernels& kernels() {
#ifdef __x86_64__
  switch (capability()) {
    case Capability::avx512:
      return avx512_kernels;
    case Capability::avx2:
      return avx2_kernels;
    case Capability::baseline:
      break;
  }
#endif
  return baseline_kernels;
}

}  // namespace gradcon::cpu
