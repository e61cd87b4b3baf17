// Which instruction set the CPU kernels run with: the best this processor has, or what GRADCON_CPU_CAPABILITY asks for.
#pragma once

namespace gradcon::cpu {

enum class Capability { baseline, avx2, avx512 };

// Decided on the first call. Throws std::runtime_error when GRADCON_CPU_CAPABILITY names no capability ("default",
// "avx2", "avx512") or one that this processor lacks.
Capability capability();

// The name that GRADCON_CPU_CAPABILITY would have to hold.
const char* capability_name();

}  // namespace gradcon::cpu
