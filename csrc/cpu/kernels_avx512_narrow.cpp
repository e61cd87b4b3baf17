// AVX-512 with vectors of half its width: for few samples, which would leave the other half empty. Up to twice as many
// of these can be issued as of the wide ones, and sums are in the same order, so the results have the same bits.
#ifdef __x86_64__
#include "core/standard_headers.hpp"

#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx512f,avx512vl,avx512dq,avx512bw,avx2,fma"))), \
                             apply_to = function)
#else
#pragma GCC target("avx512f,avx512vl,avx512dq,avx512bw,avx2,fma")
#endif
#define GRADCON_CORE_NAMESPACE avx512_narrow
#define GRADCON_VECTOR_BYTES 32
#define GRADCON_TILE_SHAPE TileShape<4, 6>  // 24 accumulators of 32 registers
#define GRADCON_PACKED_CHANNELS 8  // as for the wide ones; 24 accumulators of 32 registers, in tiles of 3 columns
#define GRADCON_PAIR_SHAPE PairTileShape<2, 4>  // 24 accumulators; channels as for the wide ones
#define GRADCON_CHANNELS_IN_LANES false
#define GRADCON_KERNELS avx512_narrow_kernels
#include "cpu/kernels.inl"
#ifdef __clang__
#pragma clang attribute pop
#endif
#endif
