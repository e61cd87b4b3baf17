#include "cpu/kernels.hpp"

#include "cpu/capability.hpp"

namespace gradcon::cpu {

template <>
const TypedKernels<float>& Kernels::of<float>() const {
  return float32;
}

template <>
const TypedKernels<double>& Kernels::of<double>() const {
  return float64;
}

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

template <class T>
const TypedKernels<T>& kernels_for(int64_t batch) {
#ifdef __x86_64__
  const TypedKernels<T>& narrow = avx512_narrow_kernels.of<T>();
  if (capability() == Capability::avx512 && batch <= narrow.samples) return narrow;
#endif
  return kernels().of<T>();
}

template const TypedKernels<float>& kernels_for<float>(int64_t batch);
template const TypedKernels<double>& kernels_for<double>(int64_t batch);

}  // namespace gradcon::cpu
