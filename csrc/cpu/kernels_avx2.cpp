#ifdef __x86_64__
#include "core/standard_headers.hpp"

#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC target("avx2,fma")
#endif
#define GRADCON_CORE_NAMESPACE avx2
#define GRADCON_VECTOR_BYTES 32
#define GRADCON_TILE_SHAPE TileShape<4, 3>      // 12 accumulators of 16 registers
#define GRADCON_PACKED_CHANNELS 4               // 12 accumulators of 16 registers, in tiles of 3 columns
#define GRADCON_PAIR_SHAPE PairTileShape<1, 4>  // 12 accumulators
#define GRADCON_CHANNELS_IN_LANES true
#define GRADCON_KERNELS avx2_kernels
#include "cpu/kernels.inl"
#ifdef __clang__
#pragma clang attribute pop
#endif
#endif
