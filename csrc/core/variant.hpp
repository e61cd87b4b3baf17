// The namespace that the core lives in.
//
// The core is header-only and compiled once for every instruction set. Without a namespace of its own each inline
// function would exist several times under one name, and the linker could keep the AVX-512 copy for a processor that
// has none.
#pragma once

#ifndef GRADCON_CORE_NAMESPACE
#define GRADCON_CORE_NAMESPACE portable
#endif

#ifdef __CUDACC__
#define GRADCON_HOST_DEVICE __host__ __device__
#else
#define GRADCON_HOST_DEVICE
#endif

// The contractions keep a tile of accumulators in registers, which only works once everything around it is inlined.
#define GRADCON_INLINE GRADCON_HOST_DEVICE inline __attribute__((always_inline))

// In front of a loop over a register tile: indices must be constants for the tile to stay in registers.
#if defined(__CUDACC__) || defined(__clang__)
#define GRADCON_UNROLL _Pragma("unroll")
#else
#define GRADCON_UNROLL _Pragma("GCC unroll 16")
#endif

// In front of a loop that nvcc by itself unrolls, which leaves registers for fewer warps.
#ifdef __CUDACC__
#define GRADCON_KEEP_ROLLED _Pragma("unroll 1")
#else
#define GRADCON_KEEP_ROLLED
#endif
