// Every processor of the architecture the compiler targets: SSE2 on x86-64, NEON on 64-bit ARM. Both have 16-byte
// vectors.
#define GRADCON_CORE_NAMESPACE baseline
#define GRADCON_VECTOR_BYTES 16
#define GRADCON_TILE_SHAPE TileShape<3, 3>      // 9 accumulators of 16 registers
#define GRADCON_PACKED_CHANNELS 4               // 12 accumulators of 16 registers, in tiles of 3 columns
#define GRADCON_PAIR_SHAPE PairTileShape<1, 4>  // 12 accumulators
#define GRADCON_CHANNELS_IN_LANES true
#define GRADCON_KERNELS baseline_kernels
#include "cpu/kernels.inl"
