#include "cpu/objective_gradient.hpp"

#include "core/cosine.hpp"
#include "core/require.hpp"
#include "cpu/blocks.hpp"
#include "cpu/kept_memory.hpp"

namespace gradcon::cpu {
namespace {

void check_trainable(const Chain& chain) {
  for (const ChainLayer& layer : chain.layers) {
    require(layer.kind != LayerKind::affine, "a chain with an affine layer is not trained");
  }
  require(chain.first_constrained >= chain.bottleneck,
          "a chain with a constrained layer before its bottleneck is not trained");
}

// 1 / norm, or 0 where the vector counts as zero, or NaN where the norm is not finite.
template <class T>
double inverse_norm(double norm) {
  const double zero = norm - norm;
  return norm <= portable::smallest_differentiable_norm<T> ? zero : 1 / norm + zero;
}

}  // namespace

template <class T>
ObjectiveGradient<T>::ObjectiveGradient(const Chain& chain, const std::vector<ArrayView<T>>& parameters,
                                        const std::vector<ArrayView<T>>& references, int64_t batch,
                                        const Threads& threads)
    : kernels_(kernels().of<T>()),
      batch_(batch),
      threads_(threads),
      packing_(kernels_.packed_channels, kernels_.pair_channels, chain.layers.size()),
      chain_{in_pairs<T>(chain, batch), make_training_layout(chain), {}} {
  check_trainable(chain);
  chain_.weights = packing_.packed_layers(chain_.chain, parameters, references, 0, threads);
}

template <class T>
void ObjectiveGradient<T>::run(const ImagesView<T>& images, const BatchView<T>& noise, double alpha,
                               const ObjectiveOutputs<T>& outputs) {
  const Chain& chain = chain_.chain;
  const int64_t blocks = (batch_ + kernels_.samples - 1) / kernels_.samples;
  const int64_t code = chain.bottleneck < 0 ? 0 : size_of(chain.layers[static_cast<size_t>(chain.bottleneck)].output);
  const int64_t size_of_copy = (chain_.numbers_of_a_lane() - chain_.layout.size) * kernels_.samples;
  const int64_t block_size = (kernels_.arrays_a_block * chain_.layout.size + code) * kernels_.samples + size_of_copy;
  const int64_t numbers = checked_product({blocks, block_size}, largest_array, "what is kept of the batch");
  const KeptMemory workspace(numbers * static_cast<int64_t>(sizeof(T)));
  T* arrays = reinterpret_cast<T*>(workspace.data());
  const TrainingProblem<T> problem = {
      chain_, images, noise, batch_, arrays, block_size, size_of_copy, outputs.reconstruction, outputs.latent,
  };
  const bool constrained = alpha != 0;
  share_blocks(threads_, blocks, [&](int64_t block, const ParallelFor& parallel_for) {
    kernels_.training_forward(problem, block, constrained, parallel_for);
  });
  if (constrained) constrain(problem, alpha, outputs);
  share_blocks(threads_, blocks, [&](int64_t block, const ParallelFor& parallel_for) {
    kernels_.training_backward(problem, block, constrained, parallel_for);
  });
  compute(problem, tasks(constrained, outputs));
}

template <class T>
void ObjectiveGradient<T>::constrain(const TrainingProblem<T>& problem, double alpha,
                                     const ObjectiveOutputs<T>& outputs) {
  std::vector<GradientTask<T>> primal;
  for (size_t index = 0; index < chain_.weights.size(); ++index) {
    const int64_t reference = chain_.chain.layers[index].reference;
    if (reference < 0) continue;
    T* gradient = outputs.primal[static_cast<size_t>(reference)];
    primal.push_back({static_cast<int64_t>(index), GradientOf::primal, gradient, nullptr});
  }
  compute(problem, primal);
  const double factor = -alpha / static_cast<double>(primal.size());
  share_parts(threads_, static_cast<int64_t>(primal.size()), [&](int64_t part) {
    const GradientTask<T>& task = primal[static_cast<size_t>(part)];
    const auto layer = static_cast<size_t>(task.layer);
    outputs.cosine[chain_.chain.layers[layer].reference] = static_cast<T>(direct(layer, factor, task.weight));
  });
}

// Points the tangent of a constrained weight along `factor` times the derivative of its cosine by the gradient, and
// returns the cosine.
template <class T>
double ObjectiveGradient<T>::direct(size_t layer, double factor, const T* gradient) {
  const ChainLayer& description = chain_.chain.layers[layer];
  LayerWeights<T>& weights = chain_.weights[layer];
  const int64_t size = description.geometry.weights();
  const double of_gradient = inverse_norm<T>(norm_of(gradient, size));
  const double of_reference = inverse_norm<T>(weights.reference_norm);
  double cosine = 0;
  for (int64_t i = 0; i < size; ++i) {
    cosine += static_cast<double>(gradient[i]) * of_gradient * static_cast<double>(weights.reference[i]) * of_reference;
  }
  cosine = portable::clamped_cosine(cosine);
  std::vector<T> direction(static_cast<size_t>(size));
  for (int64_t i = 0; i < size; ++i) {
    const double unit_gradient = static_cast<double>(gradient[i]) * of_gradient;
    const double unit_reference = static_cast<double>(weights.reference[i]) * of_reference;
    direction[static_cast<size_t>(i)] =
        static_cast<T>(factor * of_gradient * (unit_reference - cosine * unit_gradient));
  }
  weights.tangent_forward = packing_.packed(description, layer, forward_direction(description), direction.data());
  if (layer > 0) {
    weights.tangent_backward = packing_.packed(description, layer, backward_direction(description), direction.data());
  }
  return cosine;
}

template <class T>
std::vector<GradientTask<T>> ObjectiveGradient<T>::tasks(bool constrained, const ObjectiveOutputs<T>& outputs) const {
  const GradientOf of = constrained ? GradientOf::constrained : GradientOf::unconstrained;
  const auto gradient = [&](int64_t parameter) {
    return parameter < 0 ? nullptr : outputs.gradients[static_cast<size_t>(parameter)];
  };
  std::vector<GradientTask<T>> result;
  for (size_t index = 0; index < chain_.chain.layers.size(); ++index) {
    const ChainLayer& layer = chain_.chain.layers[index];
    if (!layer.is_bilinear()) continue;
    const auto at = static_cast<int64_t>(index);
    result.push_back({at, of, gradient(layer.weight), gradient(layer.bias)});
    if (layer.kind != LayerKind::bottleneck) continue;
    result.push_back({at, GradientOf::log_variance, gradient(layer.weight + 2), gradient(layer.bias + 2)});
  }
  return result;
}

template <class T>
void ObjectiveGradient<T>::compute(const TrainingProblem<T>& problem, const std::vector<GradientTask<T>>& tasks) const {
  constexpr int64_t chunks = 8;
  share_parts(threads_, static_cast<int64_t>(tasks.size()) * chunks, [&](int64_t part) {
    kernels_.training_gradient(problem, tasks[static_cast<size_t>(part / chunks)], part % chunks, chunks);
  });
}

template class ObjectiveGradient<float>;
template class ObjectiveGradient<double>;

}  // namespace gradcon::cpu
