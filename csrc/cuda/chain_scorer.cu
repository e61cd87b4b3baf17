#include "cuda/chain_scorer.cuh"

#include <torch/csrc/stable/ops.h>

#include <algorithm>
#include <utility>

#include "core/packed_chain.hpp"
#include "cuda/align_lanes.cuh"
#include "cuda/alignment.cuh"
#include "cuda/contraction.cuh"
#include "cuda/cosines.cuh"
#include "cuda/to_lanes.cuh"

namespace gradcon::cuda {
namespace {

int64_t most_weights(const Chain& chain) {
  int64_t most = 0;
  for (const ChainLayer& layer : chain.layers) {
    if (layer.is_bilinear()) most = std::max(most, layer.geometry.weights());
  }
  return most;
}

}  // namespace

template <class T>
ChainScorer<T>::ChainScorer(const Launcher& launcher, const Chain& chain, std::vector<Tensor> parameters,
                            std::vector<Tensor> references)
    : launcher_(launcher),
      chain_(chain),
      layout_(make_scoring_layout(chain)),
      parameters_(std::move(parameters)),
      references_(std::move(references)),
      reference_norms_(
          torch::stable::new_empty(references_[0], {static_cast<int64_t>(references_.size())}, ScalarType::Double)),
      packed_(torch::stable::new_empty(references_[0], {most_weights(chain)})) {}

template <class T>
void ChainScorer<T>::score(const Tensor& images, ScoreTensors& outputs) {
  const int64_t batch = images.size(0);
  if (batch == 0) return;
  for (size_t index = 0; index < references_.size(); ++index) {
    norm<T>(launcher_, references_[index], data_of<double>(reference_norms_) + index);
  }
  if (chain_.bottleneck < 0) torch::stable::zero_(outputs.latent);
  const int64_t numbers_of_block = layout_.size * warp_size;
  const int64_t blocks_at_once = std::max<int64_t>(1, most_scalars_in_lanes / numbers_of_block);
  const int64_t blocks = std::min(blocks_at_once, ceil_div(batch, warp_size));
  Tensor workspace = torch::stable::new_empty(references_[0], {blocks * numbers_of_block});
  for (int64_t first = 0; first < batch; first += blocks * warp_size) {
    const int64_t samples = std::min(blocks * warp_size, batch - first);
    const Chunk chunk = {
        data_of<T>(workspace),
        first,
        samples,
        {launcher_, ceil_div(samples, warp_size)},
        {launcher_, chain_, references_[0], samples},
    };
    score_chunk(chunk, images, outputs);
  }
}

template <class T>
void ChainScorer<T>::score_chunk(const Chunk& chunk, const Tensor& images, ScoreTensors& outputs) {
  read_images(chunk, images);
  for (int64_t index = 0; index < layers(); ++index) forward(chunk, index, outputs);
  turn_ = 0;
  chunk.losses.reconstruction(value(chunk, layers()), value(chunk, 0), data_of<T>(outputs.reconstruction) + chunk.first,
                              grad(chunk));
  for (int64_t index = layers() - 1; index >= chain_.first_constrained; --index) {
    if (layer(index).reference >= 0) align(chunk, index, outputs);
    if (index > chain_.first_constrained) backward(chunk, index);
  }
}

template <class T>
void ChainScorer<T>::read_images(const Chunk& chunk, const Tensor& images) const {
  const auto read = [&](const auto& view) {
    to_lanes(launcher_, view, chain_.images, chunk.first, chunk.samples, value(chunk, 0));
  };
  if (images.scalar_type() == ScalarType::Byte) {
    read(view_of_images<uint8_t>(images));
  } else {
    read(view_of_images<T>(images));
  }
}

template <class T>
void ChainScorer<T>::forward(const Chunk& chunk, int64_t index, ScoreTensors& outputs) {
  const ChainLayer& l = layer(index);
  const Lanes<T> source = value(chunk, index);
  const Lanes<T> target = value(chunk, index + 1);
  switch (l.kind) {
    case Kind::conv:
    case Kind::conv_transposed:
    case Kind::linear:
      return contract(chunk, l, forward_direction(l), {l.weight, l.bias}, source, target);
    case Kind::bottleneck:
      return forward_bottleneck(chunk, index, outputs);
    case Kind::affine:
      return chunk.layers.scale_channels(l.input, parameter(l.weight), parameter(l.bias), source, target);
    case Kind::upsample:
      return chunk.layers.upsample(l, source, target);
    case Kind::reshape:
      return;
    default:
      return chunk.layers.activate(l, source, target);
  }
}

template <class T>
void ChainScorer<T>::forward_bottleneck(const Chunk& chunk, int64_t index, ScoreTensors& outputs) {
  const ChainLayer& l = layer(index);
  const Lanes<T> source = value(chunk, index);
  const Lanes<T> mean = in_lanes(chunk, layout_.mean);
  const Lanes<T> log_variance = in_lanes(chunk, layout_.log_variance);
  contract(chunk, l, forward_direction(l), {l.weight, l.bias}, source, mean);
  contract(chunk, l, forward_direction(l), {l.weight + 2, l.bias + 2}, source, log_variance);
  chunk.losses.divergence(mean, log_variance, data_of<T>(outputs.latent) + chunk.first);
}

template <class T>
void ChainScorer<T>::backward(const Chunk& chunk, int64_t index) {
  const ChainLayer& l = layer(index);
  const bool in_place = l.is_activation() || l.kind == Kind::affine || l.kind == Kind::reshape;
  const Lanes<T> grad_output = grad(chunk);
  if (!in_place) turn_ = 1 - turn_;
  const Lanes<T> grad_input = grad(chunk);
  switch (l.kind) {
    case Kind::conv:
    case Kind::conv_transposed:
    case Kind::linear:
      return contract(chunk, l, backward_direction(l), {l.weight, -1}, grad_output, grad_input);
    case Kind::bottleneck: {
      const Lanes<T> log_variance = in_lanes(chunk, layout_.log_variance);
      chunk.losses.divergence_backward(in_lanes(chunk, layout_.mean), log_variance, grad_output);
      contract(chunk, l, backward_direction(l), {l.weight, -1}, grad_output, grad_input);
      return contract(chunk, l, backward_direction(l), {l.weight + 2, -1, true}, log_variance, grad_input);
    }
    case Kind::affine:
      return chunk.layers.scale_channels(l.input, parameter(l.weight), nullptr, grad_output, grad_input);
    case Kind::upsample:
      return chunk.layers.upsample_backward(l, grad_output, grad_input);
    case Kind::reshape:
      return;
    default:
      return chunk.layers.activate_backward(l, value(chunk, derives_from_input(l.kind) ? index : index + 1),
                                            grad_output, grad_input);
  }
}

template <class T>
void ChainScorer<T>::contract(const Chunk& chunk, const ChainLayer& layer, Direction direction,
                              const Operands& operands, Lanes<T> source, Lanes<T> target) {
  cuda::contract<T>(launcher_, {layer.geometry, direction}, chunk.blocks(),
                    {source, parameter(operands.weight), parameter(operands.bias), target, operands.accumulates},
                    data_of<T>(packed_));
}

template <class T>
void ChainScorer<T>::align(const Chunk& chunk, int64_t index, ScoreTensors& outputs) {
  const ChainLayer& l = layer(index);
  const bool transposed = l.kind == Kind::conv_transposed;
  const Lanes<T> input = value(chunk, index);
  const Lanes<T> grad_output = grad(chunk);
  const Tensor& reference = references_[static_cast<size_t>(l.reference)];
  Tensor sums = torch::stable::new_empty(reference, {2 * chunk.samples}, ScalarType::Double);
  const AlignmentOutput<double> alignment = {data_of<double>(sums), data_of<double>(sums) + chunk.samples};
  align_lanes<T, double>(launcher_, l.geometry, transposed ? input : grad_output, transposed ? grad_output : input,
                         torch::stable::view(reference, {1, reference.numel()}), chunk.samples, alignment);
  const int64_t references = static_cast<int64_t>(references_.size());
  cosines(launcher_, alignment, static_cast<const double*>(data_of<double>(reference_norms_)) + l.reference,
          chunk.samples, data_of<T>(outputs.cosine) + chunk.first * references + l.reference, references);
}

template class ChainScorer<float>;
template class ChainScorer<double>;

}  // namespace gradcon::cuda
