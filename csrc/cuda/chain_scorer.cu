#include "cuda/chain_scorer.cuh"

#include <algorithm>

#include "cuda/align_lanes.cuh"
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

template <class T>
int64_t size_of(const ArrayView<T>& array) {
  int64_t size = 1;
  for (const int64_t extent : array.shape) size *= extent;
  return size;
}

}  // namespace

template <class T>
ChainScorer<T>::ChainScorer(const Launcher& launcher, const Chain& chain, const std::vector<ArrayView<T>>& parameters,
                            const std::vector<ArrayView<T>>& references)
    : launcher_(launcher),
      chain_(chain),
      layout_(make_scoring_layout(chain)),
      parameters_(parameters),
      references_(references),
      reference_norms_(launcher.array<double>(static_cast<int64_t>(references.size()))),
      packed_(launcher.array<T>(most_weights(chain))) {}

template <class T>
void ChainScorer<T>::score(const ImagesView<T>& images, int64_t batch, const ScoreOutputs<T>& outputs) {
  if (batch == 0) return;
  for (size_t index = 0; index < references_.size(); ++index) {
    norm(launcher_, references_[index].data, size_of(references_[index]), reference_norms_.data() + index);
  }
  if (chain_.bottleneck < 0) launcher_.fill_with_zeros(outputs.latent, batch);
  const int64_t numbers_of_block = layout_.size * warp_size;
  const int64_t blocks_at_once = std::max<int64_t>(1, most_numbers_in_lanes / numbers_of_block);
  const int64_t blocks = std::min(blocks_at_once, ceil_div(batch, warp_size));
  const auto workspace = launcher_.array<T>(blocks * numbers_of_block);
  for (int64_t first = 0; first < batch; first += blocks * warp_size) {
    const int64_t samples = std::min(blocks * warp_size, batch - first);
    const Chunk chunk = {
        workspace.data(), first, samples, {launcher_, ceil_div(samples, warp_size)}, {launcher_, chain_, samples},
    };
    score_chunk(chunk, images, outputs);
  }
}

template <class T>
void ChainScorer<T>::score_chunk(const Chunk& chunk, const ImagesView<T>& images, const ScoreOutputs<T>& outputs) {
  read_images(chunk, images);
  for (int64_t index = 0; index < layers(); ++index) forward(chunk, index, outputs);
  if (outputs.code != nullptr) {
    const int64_t features = size_of_code(chain_);
    from_lanes(launcher_, value(chunk, chain_.first_constrained), features, chunk.samples,
               outputs.code + chunk.first * features);
  }
  turn_ = 0;
  chunk.losses.reconstruction(value(chunk, layers()), value(chunk, 0), outputs.reconstruction + chunk.first,
                              grad(chunk));
  for (int64_t index = layers() - 1; index >= chain_.first_constrained; --index) {
    if (layer(index).reference >= 0) align(chunk, index, outputs);
    if (index > chain_.first_constrained) backward(chunk, index);
  }
}

template <class T>
void ChainScorer<T>::read_images(const Chunk& chunk, const ImagesView<T>& images) const {
  const auto read = [&](const auto& view) {
    to_lanes(launcher_, view, chain_.images, chunk.first, chunk.samples, value(chunk, 0));
  };
  if (images.bytes.data != nullptr) {
    read(images.bytes);
  } else {
    read(images.numbers);
  }
}

template <class T>
void ChainScorer<T>::forward(const Chunk& chunk, int64_t index, const ScoreOutputs<T>& outputs) {
  const ChainLayer& l = layer(index);
  const Lanes<T> source = value(chunk, index);
  const Lanes<T> target = value(chunk, index + 1);
  switch (l.kind) {
    case LayerKind::conv:
    case LayerKind::conv_transposed:
    case LayerKind::linear:
      return contract(chunk, l, forward_direction(l), {l.weight, l.bias}, source, target);
    case LayerKind::bottleneck:
      return forward_bottleneck(chunk, index, outputs);
    case LayerKind::affine:
      return chunk.layers.scale_channels(l.input, parameter(l.weight), parameter(l.bias), source, target);
    case LayerKind::upsample:
      return chunk.layers.upsample(l, source, target);
    case LayerKind::reshape:
      return;
    default:
      return chunk.layers.activate(l, source, target);
  }
}

template <class T>
void ChainScorer<T>::forward_bottleneck(const Chunk& chunk, int64_t index, const ScoreOutputs<T>& outputs) {
  const ChainLayer& l = layer(index);
  const Lanes<T> source = value(chunk, index);
  const Lanes<T> mean = in_lanes(chunk, layout_.mean);
  const Lanes<T> log_variance = in_lanes(chunk, layout_.log_variance);
  contract(chunk, l, forward_direction(l), {l.weight, l.bias}, source, mean);
  contract(chunk, l, forward_direction(l), {l.weight + 2, l.bias + 2}, source, log_variance);
  chunk.losses.divergence(mean, log_variance, outputs.latent + chunk.first);
}

template <class T>
void ChainScorer<T>::backward(const Chunk& chunk, int64_t index) {
  const ChainLayer& l = layer(index);
  const Lanes<T> grad_output = grad(chunk);
  if (!l.passes_gradient_in_place()) turn_ = 1 - turn_;
  const Lanes<T> grad_input = grad(chunk);
  switch (l.kind) {
    case LayerKind::conv:
    case LayerKind::conv_transposed:
    case LayerKind::linear:
      return contract(chunk, l, backward_direction(l), {l.weight, -1}, grad_output, grad_input);
    case LayerKind::bottleneck: {
      const Lanes<T> log_variance = in_lanes(chunk, layout_.log_variance);
      chunk.losses.divergence_backward(in_lanes(chunk, layout_.mean), log_variance, grad_output);
      contract(chunk, l, backward_direction(l), {l.weight, -1}, grad_output, grad_input);
      return contract(chunk, l, backward_direction(l), {l.weight + 2, -1, true}, log_variance, grad_input);
    }
    case LayerKind::affine:
      return chunk.layers.scale_channels(l.input, parameter(l.weight), nullptr, grad_output, grad_input);
    case LayerKind::upsample:
      return chunk.layers.upsample_backward(l, grad_output, grad_input);
    case LayerKind::reshape:
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
                    packed_.data());
}

template <class T>
void ChainScorer<T>::align(const Chunk& chunk, int64_t index, const ScoreOutputs<T>& outputs) {
  const ChainLayer& l = layer(index);
  const bool transposed = l.kind == LayerKind::conv_transposed;
  const Lanes<T> inner = transposed ? value(chunk, index) : grad(chunk);
  const Lanes<T> outer = transposed ? grad(chunk) : value(chunk, index);
  const T* reference = references_[static_cast<size_t>(l.reference)].data;
  const double* reference_norm = reference_norms_.data() + l.reference;
  const auto sums = launcher_.array<double>(2 * chunk.samples);
  const AlignmentOutput<double> alignment = {sums.data(), sums.data() + chunk.samples};
  align_lanes<T, double>(launcher_, l.geometry, inner, outer, {reference, 1}, chunk.samples, alignment);
  align_lost_in_double(launcher_, l.geometry, inner, outer, reference, reference_norm, chunk.samples, alignment);
  cosines(launcher_, alignment, reference_norm, chunk.samples,
          outputs.cosine + chunk.first * outputs.references + l.reference, outputs.references);
}

template class ChainScorer<float>;
template class ChainScorer<double>;

}  // namespace gradcon::cuda
