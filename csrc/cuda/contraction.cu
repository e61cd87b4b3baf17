// A warp takes one item of one block of samples: a tile of target channels at some columns of one row. Every target is
// written by one thread, in the order that gather_tile.cuh states, so the same input gives the same bits on every
// device.
#include "cuda/contraction.cuh"

#include "cuda/gather_tile.cuh"

namespace gradcon::cuda {
namespace {

// The items of one block of samples. Neighbours are at one place, so that the warps of a block read the same sources.
struct GatherItems {
  uint32_t tiles_of_group;
  uint32_t tiles;    // of all groups
  uint32_t phases;   // of the stride; the first one has the most columns
  uint32_t columns;  // tiles of a phase
  uint32_t rows;
  uint32_t columns_of_tile;

  // `channels` of a tile divide those of a group.
  GatherItems(const Contraction& contraction, int64_t channels, int64_t columns_of_tile)
      : tiles_of_group(static_cast<uint32_t>(contraction.targets_per_group() / channels)),
        tiles(static_cast<uint32_t>(contraction.geometry.groups) * tiles_of_group),
        phases(static_cast<uint32_t>(phases_of(contraction))),
        columns(static_cast<uint32_t>(columns_of(contraction, 0, columns_of_tile).tiles)),
        rows(static_cast<uint32_t>(contraction.target_rows())),
        columns_of_tile(static_cast<uint32_t>(columns_of_tile)) {}

  __host__ __device__ uint32_t count() const { return tiles * columns * phases * rows; }

  static __host__ __device__ portable::EvenTiles columns_of(const Contraction& contraction, int64_t phase,
                                                            int64_t columns_of_tile) {
    const int64_t shift = contraction.target_shift(contraction.geometry.width);
    return {(contraction.target_columns() - phase + shift - 1) / shift, columns_of_tile};
  }

 private:
  static int64_t phases_of(const Contraction& contraction) {
    return std::min(contraction.target_shift(contraction.geometry.width), contraction.target_columns());
  }
};

template <class T>
__global__ void __launch_bounds__(threads_per_block)
    pack_kernel(Contraction contraction, int64_t channels, const T* weight, T* packed) {
  const int64_t index = static_cast<int64_t>(blockIdx.x) * threads_per_block + threadIdx.x;
  if (index < contraction.geometry.weights()) packed[packed_place(contraction, channels, index)] = weight[index];
}

// Three blocks a multiprocessor leave 168 registers a thread.
template <class T, class Shape>
__global__ void __launch_bounds__(threads_per_block, 3)
    gather_kernel(Contraction contraction, GatherItems items, uint32_t sample_blocks, ContractionOperands<T> operands,
                  const T* packed) {
  const Piece piece(items.count());
  if (piece.block >= sample_blocks) return;
  const uint32_t tile = piece.index % items.tiles;
  const uint32_t place = piece.index / items.tiles;
  const uint32_t column_tile = place % items.columns;
  const uint32_t phase = place / items.columns % items.phases;
  const uint32_t row = place / items.columns / items.phases;

  const portable::EvenTiles columns = GatherItems::columns_of(contraction, phase, items.columns_of_tile);
  if (column_tile >= columns.tiles) return;
  const int64_t column = phase + columns.begin(column_tile) * contraction.target_shift(contraction.geometry.width);
  const int64_t channel = static_cast<int64_t>(tile) * Shape::channels;
  const int64_t group = tile / items.tiles_of_group;
  const int64_t source_position = group * contraction.sources_per_group() * contraction.source_positions();
  const int64_t target_position =
      channel * contraction.target_positions() + row * contraction.target_columns() + column;
  gather_tile<Shape, T>(contraction, {
                                         operands.source.at(piece.block, source_position, piece.lane),
                                         packed + tile * GatherWeights(contraction, Shape::channels).tile,
                                         operands.bias == nullptr ? nullptr : operands.bias + channel,
                                         operands.target.at(piece.block, target_position, piece.lane),
                                         operands.accumulates,
                                         Taps(contraction.taps(contraction.geometry.height, row)),
                                         Taps(contraction.taps(contraction.geometry.width, column)),
                                         static_cast<int32_t>(columns.extent(column_tile)),
                                     });
}

template <class T, class Shape>
void contract_in(const Launcher& launcher, const Contraction& contraction, int64_t sample_blocks,
                 const ContractionOperands<T>& operands, T* packed) {
  const GatherItems items(contraction, Shape::channels, Shape::columns);
  launcher.run(pack_kernel<T>, ceil_div(contraction.geometry.weights(), threads_per_block), contraction,
               int64_t{Shape::channels}, operands.weight, packed);
  launcher.run(gather_kernel<T, Shape>, ceil_div(items.count() * sample_blocks, warps_per_block), contraction, items,
               static_cast<uint32_t>(sample_blocks), operands, static_cast<const T*>(packed));
}

template <class T>
using Contract = void (*)(const Launcher&, const Contraction&, int64_t, const ContractionOperands<T>&, T*);

// Windows of several taps where neighbouring taps have neighbouring sources; the row of a kernel that has no group of
// them goes tap by tap.
template <class T, int Channels, int Columns>
Contract<T> with_taps(const Contraction& contraction) {
  const Axis& width = contraction.geometry.width;
  const TapRun taps = contraction.taps(width, 0);
  const int64_t shift = contraction.source_shift(width);
  if (taps.count > 1 && (taps.source_step == 1 || taps.source_step == -1)) {
    if (shift == 2 && taps.count % 4 == 0) return contract_in<T, GatherShape<Channels, Columns, 4, 2>>;
    if (shift == 1 && taps.count >= 3) return contract_in<T, GatherShape<Channels, Columns, 3, 1>>;
    if (shift == 1) return contract_in<T, GatherShape<Channels, Columns, 2, 1>>;
  }
  return contract_in<T, GatherShape<Channels, Columns, 1, 0>>;
}

// Tiles of as many columns as a phase of the targets has, as far as there are such tiles.
Contract<float> with_columns(const Contraction& contraction) {
  const int64_t columns = GatherItems::columns_of(contraction, 0, 8).extent(0);
  return columns <= 4   ? with_taps<float, 8, 4>(contraction)
         : columns == 7 ? with_taps<float, 8, 7>(contraction)
                        : with_taps<float, 8, 8>(contraction);
}

Contract<float> contract_for(float, const Contraction& contraction) {
  const int64_t channels = contraction.targets_per_group();
  return channels % 8 == 0   ? with_columns(contraction)
         : channels % 4 == 0 ? with_taps<float, 4, 8>(contraction)
         : channels % 3 == 0 ? with_taps<float, 3, 8>(contraction)
         : channels % 2 == 0 ? with_taps<float, 2, 8>(contraction)
                             : with_taps<float, 1, 8>(contraction);
}

// Numbers of float64 take twice the registers, and nobody is in a hurry with them.
Contract<double> contract_for(double, const Contraction& contraction) {
  return contraction.targets_per_group() % 4 == 0 ? contract_in<double, GatherShape<4, 4, 1, 0>>
                                                  : contract_in<double, GatherShape<1, 4, 1, 0>>;
}

}  // namespace

template <class T>
void contract(const Launcher& launcher, const Contraction& contraction, int64_t sample_blocks,
              const ContractionOperands<T>& operands, T* packed) {
  contract_for(T{}, contraction)(launcher, contraction, sample_blocks, operands, packed);
}

template void contract(const Launcher&, const Contraction&, int64_t, const ContractionOperands<float>&, float*);
template void contract(const Launcher&, const Contraction&, int64_t, const ContractionOperands<double>&, double*);

}  // namespace gradcon::cuda
