#ifdef __x86_64__
#include "core/standard_headers.hpp"

#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx512f,avx512vl,avx512dq,avx512bw,avx2,fma"))), \
                             apply_to = function)
#else
#pragma GCC target("avx512f,avx512vl,avx512dq,avx512bw,avx2,fma")
#endif
#define GRADCON_CORE_NAMESPACE avx512
#define GRADCON_VECTOR_BYTES 64
#define GRADCON_TILE_SHAPE TileShape<4, 6>      // 24 accumulators of 32 registers
#define GRADCON_PACKED_CHANNELS 8               // 24 accumulators of 32 registers, in tiles of 3 columns
#define GRADCON_PAIR_SHAPE PairTileShape<2, 4>  // 24 accumulators
#define GRADCON_CHANNELS_IN_LANES true
#define GRADCON_KERNELS avx512_kernels
#include "cpu/kernels.inl"
#ifdef __clang__
#pragma clang attribute pop
#endif
#endif
