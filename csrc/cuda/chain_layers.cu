// A warp takes a piece of a layer that to the loops of core/elementwise.hpp is a layer of its own: one number, or for
// an upsampling one row of the smaller image.
#include "cuda/chain_layers.cuh"

#include "core/elementwise.hpp"

namespace gradcon::cuda {
namespace {

template <class T>
__global__ void __launch_bounds__(threads_per_block)
    activate_kernel(int64_t numbers, int64_t sample_blocks, ChainLayer number, Lanes<T> source, Lanes<T> target) {
  const Piece piece(numbers);
  if (piece.block >= sample_blocks) return;
  portable::activate<ThreadLane<T>>(number, source.at(piece.block, piece.index, piece.lane),
                                    target.at(piece.block, piece.index, piece.lane));
}

template <class T>
__global__ void __launch_bounds__(threads_per_block)
    activate_backward_kernel(int64_t numbers, int64_t sample_blocks, ChainLayer number, Lanes<T> value,
                             Lanes<T> grad_output, Lanes<T> grad_input) {
  const Piece piece(numbers);
  if (piece.block >= sample_blocks) return;
  portable::activate_backward<ThreadLane<T>>(number, value.at(piece.block, piece.index, piece.lane),
                                             grad_output.at(piece.block, piece.index, piece.lane),
                                             grad_input.at(piece.block, piece.index, piece.lane));
}

template <class T>
__global__ void __launch_bounds__(threads_per_block)
    scale_channels_kernel(int64_t numbers, int64_t sample_blocks, int64_t positions, const T* scale, const T* shift,
                          Lanes<T> source, Lanes<T> target) {
  const Piece piece(numbers);
  if (piece.block >= sample_blocks) return;
  const int64_t channel = piece.index / positions;
  portable::scale_channels<ThreadLane<T>>({1, 1, 1}, scale + channel, shift == nullptr ? nullptr : shift + channel,
                                          source.at(piece.block, piece.index, piece.lane),
                                          target.at(piece.block, piece.index, piece.lane));
}

template <class T>
__global__ void __launch_bounds__(threads_per_block)
    upsample_kernel(int64_t rows, int64_t sample_blocks, ChainLayer row, Lanes<T> source, Lanes<T> target) {
  const Piece piece(rows);
  if (piece.block >= sample_blocks) return;
  portable::upsample<ThreadLane<T>>(row, source.at(piece.block, piece.index * size_of(row.input), piece.lane),
                                    target.at(piece.block, piece.index * size_of(row.output), piece.lane));
}

template <class T>
__global__ void __launch_bounds__(threads_per_block)
    upsample_backward_kernel(int64_t rows, int64_t sample_blocks, ChainLayer row, Lanes<T> grad_output,
                             Lanes<T> grad_input) {
  const Piece piece(rows);
  if (piece.block >= sample_blocks) return;
  portable::upsample_backward<ThreadLane<T>>(row,
                                             grad_output.at(piece.block, piece.index * size_of(row.output), piece.lane),
                                             grad_input.at(piece.block, piece.index * size_of(row.input), piece.lane));
}

ChainLayer number_of(ChainLayer layer) {
  layer.input = layer.output = {1, 1, 1};
  return layer;
}

int64_t rows_of(const ChainLayer& layer) { return layer.input.channels * layer.input.rows; }

ChainLayer row_of(ChainLayer layer) {
  layer.output = {1, layer.output.rows / layer.input.rows, layer.output.columns};
  layer.input = {1, 1, layer.input.columns};
  return layer;
}

}  // namespace

template <class T>
void ChainLayers<T>::activate(const ChainLayer& layer, Lanes<T> source, Lanes<T> target) const {
  run(activate_kernel<T>, size_of(layer.input), number_of(layer), source, target);
}

template <class T>
void ChainLayers<T>::activate_backward(const ChainLayer& layer, Lanes<T> value, Lanes<T> grad_output,
                                       Lanes<T> grad_input) const {
  run(activate_backward_kernel<T>, size_of(layer.input), number_of(layer), value, grad_output, grad_input);
}

template <class T>
void ChainLayers<T>::scale_channels(const Extents& extents, const T* scale, const T* shift, Lanes<T> source,
                                    Lanes<T> target) const {
  run(scale_channels_kernel<T>, size_of(extents), extents.rows * extents.columns, scale, shift, source, target);
}

template <class T>
void ChainLayers<T>::upsample(const ChainLayer& layer, Lanes<T> source, Lanes<T> target) const {
  run(upsample_kernel<T>, rows_of(layer), row_of(layer), source, target);
}

template <class T>
void ChainLayers<T>::upsample_backward(const ChainLayer& layer, Lanes<T> grad_output, Lanes<T> grad_input) const {
  run(upsample_backward_kernel<T>, rows_of(layer), row_of(layer), grad_output, grad_input);
}

template class ChainLayers<float>;
template class ChainLayers<double>;

}  // namespace gradcon::cuda
