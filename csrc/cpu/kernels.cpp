#include "cpu/kernels.hpp"

#include "core/strips.hpp"
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
    case Capability::avx512_split:
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
std::vector<const TypedKernels<T>*> kernels_of_all_widths() {
#ifdef __x86_64__
  if (capability() >= Capability::avx512) return {&avx512_kernels.of<T>(), &avx512_narrow_kernels.of<T>()};
#endif
  return {&kernels().of<T>()};
}

template <class T>
double cost_of_a_product(const TypedKernels<T>& kernels) {
  if (&kernels == &cpu::kernels().of<T>()) return 1;
  // By measurement: a split vector takes nearly as long as two halves, a whole one little longer than one half.
  return capability() == Capability::avx512_split ? 0.58 : 0.9;
}

template <class T>
Chain in_pairs(Chain chain, int64_t samples) {
  if (capability() == Capability::avx512_split) {
    choose_pairs(chain, static_cast<double>(samples) / kernels().of<T>().samples);
  }
  return chain;
}

template double cost_of_a_product(const TypedKernels<float>&);
template double cost_of_a_product(const TypedKernels<double>&);
template Chain in_pairs<float>(Chain, int64_t);
template Chain in_pairs<double>(Chain, int64_t);
template std::vector<const TypedKernels<float>*> kernels_of_all_widths();
template std::vector<const TypedKernels<double>*> kernels_of_all_widths();

}  // namespace gradcon::cpu
