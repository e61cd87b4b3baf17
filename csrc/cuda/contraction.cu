// A warp takes one item of core/gather_items.hpp of one block of samples. Every target is written by one thread, in the
// order that core/gather.hpp states, so the same input gives the same bits on every device.
#include "cuda/contraction.cuh"

#include "core/gather_items.hpp"

namespace gradcon::cuda {
namespace {

template <class T>
__global__ void __launch_bounds__(threads_per_block)
    pack_kernel(Contraction contraction, int64_t channels, const T* weight, T* packed) {
  const int64_t index = static_cast<int64_t>(blockIdx.x) * threads_per_block + threadIdx.x;
  if (index < contraction.geometry.weights()) {
    packed[portable::packed_place(contraction, channels, index)] = weight[index];
  }
}

// Four blocks a multiprocessor leave 128 registers a thread.
template <class T, int Channels>
__global__ void __launch_bounds__(threads_per_block, 4)
    gather_kernel(Contraction contraction, portable::GatherItems items, int64_t sample_blocks,
                  ContractionOperands<T> operands, const T* packed) {
  const Piece piece(items.count());
  if (piece.block >= sample_blocks) return;
  const portable::GatherOperands<T> layer = {
      operands.source.at(piece.block, 0, piece.lane),
      packed,
      operands.bias,
      operands.accumulates,
  };
  portable::gather_item<ThreadLane<T>, Channels>(contraction, items, piece.index, layer,
                                                 operands.target.at(piece.block, 0, piece.lane));
}

template <class T, int Channels>
void contract_in(const Launcher& launcher, const Contraction& contraction, int64_t sample_blocks,
                 const ContractionOperands<T>& operands, T* packed) {
  const portable::GatherItems items(contraction, Channels);
  launcher.run(pack_kernel<T>, ceil_div(contraction.geometry.weights(), threads_per_block), contraction,
               int64_t{Channels}, operands.weight, packed);
  launcher.run(gather_kernel<T, Channels>, ceil_div(items.count() * sample_blocks, warps_per_block), contraction, items,
               sample_blocks, operands, static_cast<const T*>(packed));
}

}  // namespace

// The largest tile that divides the channels: 8x3 targets read 11 numbers for 24 multiply-adds. float64 takes twice the
// registers.
template <class T>
void contract(const Launcher& launcher, const Contraction& contraction, int64_t sample_blocks,
              const ContractionOperands<T>& operands, T* packed) {
  constexpr int largest = sizeof(T) == 4 ? 8 : 4;
  const int64_t channels = contraction.targets_per_group();
  const auto run = channels % largest == 0 ? contract_in<T, largest>
                   : channels % 4 == 0     ? contract_in<T, 4>
                   : channels % 3 == 0     ? contract_in<T, 3>
                   : channels % 2 == 0     ? contract_in<T, 2>
                                           : contract_in<T, 1>;
  run(launcher, contraction, sample_blocks, operands, packed);
}

template void contract(const Launcher&, const Contraction&, int64_t, const ContractionOperands<float>&, float*);
template void contract(const Launcher&, const Contraction&, int64_t, const ContractionOperands<double>&, double*);

}  // namespace gradcon::cuda
