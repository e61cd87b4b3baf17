#include "cpu/capability.hpp"

#include <cstdlib>
#include <stdexcept>
#include <string>

namespace gradcon::cpu {
namespace {

constexpr const char* names[] = {"default", "avx2", "avx512", "avx512_split"};

Capability best_of_this_processor() {
#ifdef __x86_64__
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512bw")) {
    return __builtin_cpu_is("amdfam19h") ? Capability::avx512_split : Capability::avx512;
  }
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return Capability::avx2;
#endif
  return Capability::baseline;
}

Capability choose() {
  const Capability best = best_of_this_processor();
  const Capability last = best < Capability::avx512 ? best : Capability::avx512_split;
  const char* asked = std::getenv("GRADCON_CPU_CAPABILITY");
  if (asked == nullptr || *asked == '\0') return best;
  for (int candidate = 0; candidate <= static_cast<int>(Capability::avx512_split); ++candidate) {
    if (std::string(asked) != names[candidate]) continue;
    if (candidate <= static_cast<int>(last)) return static_cast<Capability>(candidate);
    throw std::runtime_error(std::string("GRADCON_CPU_CAPABILITY=") + asked +
                             " asks for instructions that this processor lacks; its best is " +
                             names[static_cast<int>(best)]);
  }
  throw std::runtime_error(std::string("GRADCON_CPU_CAPABILITY must be default, avx2, avx512 or avx512_split, got '") +
                           asked + "'");
}

}  // namespace

Capability capability() {
  static const Capability chosen = choose();
  return chosen;
}

const char* capability_name() { return names[static_cast<int>(capability())]; }

}  // namespace gradcon::cpu
