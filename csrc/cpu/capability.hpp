// What the CPU kernels run with: the best that this processor has, or what GRADCON_CPU_CAPABILITY asks for.
#pragma once

namespace gradcon::cpu {

// Instruction sets, and of AVX-512 two kinds of processors: those that execute 64 bytes at a time, and those that split
// them into halves (Zen 4), where loads keep up with twice as many multiply-adds.
enum class Capability { baseline, avx2, avx512, avx512_split };

// Decided on the first call. Throws std::runtime_error when GRADCON_CPU_CAPABILITY names no capability ("default",
// "avx2", "avx512", "avx512_split") or one that this processor lacks; of AVX-512 it may be either kind.
Capability capability();

// The name that GRADCON_CPU_CAPABILITY would have to hold.
const char* capability_name();

}  // namespace gradcon::cpu
