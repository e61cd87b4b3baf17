#include "cpu/objective_gradient.hpp"

#include <algorithm>
#include <atomic>
#include <utility>

#include "core/channel_lanes.hpp"
#include "core/cosine.hpp"
#include "core/require.hpp"
#include "cpu/blocks.hpp"
#include "cpu/channel_cost.hpp"
#include "cpu/kept_memory.hpp"

namespace gradcon::cpu {
namespace {

// What the outer caches of a thread hold. Of small images fewer than these take longer: each group writes gradients of
// its own.
constexpr int64_t bytes_of_a_group = 16 << 20;

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

// Whether a step takes less time with the channels of one sample side by side. It is judged by the score, whose
// contractions are those of a step, though not as often.
template <class T>
bool takes_less_in_channels(const Chain& chain, int64_t batch) {
  if (!can_be_in_channels(chain)) return false;
  const TypedKernels<T>& of_samples = kernels().of<T>();
  const int64_t arrays = of_samples.training.kept_arrays + of_samples.training.passing_arrays;
  const auto cost = [&](const ChainInStrips& in_lanes, int64_t lanes_of_a_sample, double products) {
    const int64_t numbers = arrays * make_training_layout(in_lanes.chain).size * of_samples.samples;
    return blocks_of(of_samples, lanes_of_a_sample, batch, numbers * static_cast<int64_t>(sizeof(T)), products).cost;
  };
  const ChainInStrips samples = {chain, {}};
  const ChainInStrips channels = in_channels(chain, of_samples.samples, chain.first_constrained);
  return cost(channels, of_samples.samples, products_of_channels(channels, batch)) <
         cost(samples, 1, products_of_a_lane(samples));
}

// The chain as the kernels see it.
template <class T>
PackedChain<T> in_lanes(const Chain& chain, int64_t channels_of_a_vector) {
  ChainInStrips strips = {chain, {}};
  if (channels_of_a_vector > 1) strips = in_channels(chain, channels_of_a_vector, 0);
  Layout layout = make_training_layout(strips.chain);
  return {std::move(strips.chain), std::move(layout), {}, std::move(strips.strips)};
}

// How many blocks have their gradients formed together. With samples side by side that is all of them, whose sums stay
// in lanes; otherwise as many as leave their passing arrays in the outer caches.
int64_t size_of_group(bool in_channels, int64_t blocks, int64_t bytes_of_a_block) {
  if (!in_channels) return blocks;
  return std::clamp<int64_t>(bytes_of_a_group / bytes_of_a_block, 1, blocks);
}

}  // namespace

template <class T>
ObjectiveGradient<T>::ObjectiveGradient(const Chain& chain, const std::vector<ArrayView<T>>& parameters,
                                        const std::vector<ArrayView<T>>& references, int64_t batch,
                                        const Threads& threads)
    : kernels_(kernels().of<T>()),
      chain_(in_pairs<T>(chain, batch)),
      references_(references),
      batch_(batch),
      threads_(threads),
      in_channels_(takes_less_in_channels<T>(chain_, batch)),
      training_(in_channels_ ? kernels_.in_channels.training : kernels_.training),
      packing_(kernels_.packed_channels, kernels_.pair_channels, chain.layers.size(),
               in_channels_ ? kernels_.samples : 1),
      packed_(in_lanes<T>(chain_, in_channels_ ? kernels_.samples : 1)),
      blocks_(in_channels_ ? batch : (batch + kernels_.samples - 1) / kernels_.samples),
      blocks_of_a_group_(size_of_group(in_channels_, blocks_, passing_size() * static_cast<int64_t>(sizeof(T)))) {
  check_trainable(chain);
  packed_.weights = packing_.packed_layers(chain_, parameters, {}, 0, threads);
}

template <class T>
int64_t ObjectiveGradient<T>::kept_size() const {
  const int64_t code =
      chain_.bottleneck < 0 ? 0 : size_of(chain_.layers[static_cast<size_t>(chain_.bottleneck)].output);
  return (training_.kept_arrays * packed_.layout.size + code) * kernels_.samples;
}

template <class T>
int64_t ObjectiveGradient<T>::passing_size() const {
  const int64_t copy = packed_.numbers_of_a_lane() - packed_.layout.size;
  return (training_.passing_arrays * packed_.layout.size + copy) * kernels_.samples;
}

template <class T>
int64_t ObjectiveGradient<T>::groups() const {
  return (blocks_ + blocks_of_a_group_ - 1) / blocks_of_a_group_;
}

template <class T>
int64_t ObjectiveGradient<T>::groups_at_once() const {
  return groups() < threads_.count ? 1 : threads_.count;
}

template <class T>
void ObjectiveGradient<T>::run(const ImagesView<T>& images, const BatchView<T>& noise, double alpha,
                               const ObjectiveOutputs<T>& outputs) {
  const bool constrained = alpha != 0;
  const GroupGradients<T> primal(chain_, constrained ? primal_tasks(outputs) : Tasks{}, groups());
  const GroupGradients<T> objective(chain_, objective_tasks(constrained, outputs), groups());
  const auto numbers_of = [&](int64_t count, int64_t size) {
    return checked_product({count, size}, largest_array, "what is kept of the batch");
  };
  const int64_t kept = numbers_of(blocks_, kept_size());
  const int64_t passing = numbers_of(groups_at_once() * blocks_of_a_group_, passing_size());
  const int64_t of_groups = std::max(primal.numbers(), objective.numbers());
  const KeptMemory workspace((kept + passing + of_groups) * static_cast<int64_t>(sizeof(T)));
  T* begin = reinterpret_cast<T*>(workspace.data());
  const TrainingProblem<T> problem = {
      packed_, images, noise, batch_, begin, kept_size(), passing_size(), outputs.reconstruction, outputs.latent,
  };
  T* passing_arrays = begin + kept;
  T* numbers = passing_arrays + passing;
  for_each_group(problem, primal, passing_arrays, numbers,
                 [&](const TrainingGroup<T>& group, int64_t block, const ParallelFor& parallel_for) {
                   training_.forward(problem, group, block, constrained, parallel_for);
                 });
  if (constrained) constrain(primal.tasks(), alpha, outputs);
  for_each_group(problem, objective, passing_arrays, numbers,
                 [&](const TrainingGroup<T>& group, int64_t block, const ParallelFor& parallel_for) {
                   training_.backward(problem, group, block, constrained, parallel_for);
                 });
}

template <class T>
template <class Pass>
void ObjectiveGradient<T>::for_each_group(const TrainingProblem<T>& problem, const GroupGradients<T>& gradients,
                                          T* passing, T* numbers, const Pass& pass) const {
  const auto run_one = [&](int64_t index, int64_t place, const Threads& threads) {
    const int64_t first = index * blocks_of_a_group_;
    const TrainingGroup<T> group = {first, std::min(blocks_of_a_group_, blocks_ - first),
                                    passing + place * blocks_of_a_group_ * problem.passing_size};
    share_blocks(threads, group.count,
                 [&](int64_t block, const ParallelFor& parallel_for) { pass(group, first + block, parallel_for); });
    compute(problem, group, gradients.of_group(index, numbers), threads);
  };
  if (groups_at_once() == 1) {
    for (int64_t index = 0; index < groups(); ++index) run_one(index, 0, threads_);
  } else {
    std::atomic<int64_t> places{0};
    share(threads_, groups(), [&](const auto& next) {
      const int64_t place = places++;
      for (int64_t index = next(); index < groups(); index = next()) run_one(index, place, {});
    });
  }
  gradients.add_up(numbers, threads_);
}

template <class T>
void ObjectiveGradient<T>::compute(const TrainingProblem<T>& problem, const TrainingGroup<T>& group, const Tasks& tasks,
                                   const Threads& threads) const {
  constexpr int64_t chunks = 8;
  share_parts(threads, static_cast<int64_t>(tasks.size()) * chunks, [&](int64_t part) {
    training_.gradient(problem, group, tasks[static_cast<size_t>(part / chunks)], part % chunks, chunks);
  });
}

template <class T>
typename ObjectiveGradient<T>::Tasks ObjectiveGradient<T>::primal_tasks(const ObjectiveOutputs<T>& outputs) const {
  Tasks result;
  for (size_t index = 0; index < chain_.layers.size(); ++index) {
    const int64_t reference = chain_.layers[index].reference;
    if (reference < 0) continue;
    T* gradient = outputs.primal[static_cast<size_t>(reference)];
    result.push_back({static_cast<int64_t>(index), GradientOf::primal, gradient, nullptr});
  }
  return result;
}

template <class T>
void ObjectiveGradient<T>::constrain(const Tasks& primal, double alpha, const ObjectiveOutputs<T>& outputs) {
  const double factor = -alpha / static_cast<double>(primal.size());
  share_parts(threads_, static_cast<int64_t>(primal.size()), [&](int64_t part) {
    const GradientTask<T>& task = primal[static_cast<size_t>(part)];
    const auto layer = static_cast<size_t>(task.layer);
    outputs.cosine[chain_.layers[layer].reference] = static_cast<T>(direct(layer, factor, task.weight));
  });
}

// Points the tangent of a constrained weight along `factor` times the derivative of its cosine by the gradient, and
// returns the cosine.
template <class T>
double ObjectiveGradient<T>::direct(size_t layer, double factor, const T* gradient) {
  const ChainLayer& description = chain_.layers[layer];
  const T* reference = references_[static_cast<size_t>(description.reference)].data;
  const int64_t size = description.geometry.weights();
  const double of_gradient = inverse_norm<T>(norm_of(gradient, size));
  const double of_reference = inverse_norm<T>(norm_of(reference, size));
  double cosine = 0;
  for (int64_t i = 0; i < size; ++i) {
    cosine += static_cast<double>(gradient[i]) * of_gradient * static_cast<double>(reference[i]) * of_reference;
  }
  cosine = portable::clamped_cosine(cosine);
  std::vector<T> direction(static_cast<size_t>(size));
  for (int64_t i = 0; i < size; ++i) {
    const double unit_gradient = static_cast<double>(gradient[i]) * of_gradient;
    const double unit_reference = static_cast<double>(reference[i]) * of_reference;
    direction[static_cast<size_t>(i)] =
        static_cast<T>(factor * of_gradient * (unit_reference - cosine * unit_gradient));
  }
  LayerWeights<T>& weights = packed_.weights[layer];
  weights.tangent_forward = packing_.packed(description, layer, forward_direction(description), direction.data());
  if (layer > 0) {
    weights.tangent_backward = packing_.packed(description, layer, backward_direction(description), direction.data());
  }
  return cosine;
}

template <class T>
typename ObjectiveGradient<T>::Tasks ObjectiveGradient<T>::objective_tasks(bool constrained,
                                                                           const ObjectiveOutputs<T>& outputs) const {
  const GradientOf of = constrained ? GradientOf::constrained : GradientOf::unconstrained;
  const auto gradient = [&](int64_t parameter) {
    return parameter < 0 ? nullptr : outputs.gradients[static_cast<size_t>(parameter)];
  };
  Tasks result;
  for (size_t index = 0; index < chain_.layers.size(); ++index) {
    const ChainLayer& layer = chain_.layers[index];
    if (!layer.is_bilinear()) continue;
    const auto at = static_cast<int64_t>(index);
    result.push_back({at, of, gradient(layer.weight), gradient(layer.bias)});
    if (layer.kind != LayerKind::bottleneck) continue;
    result.push_back({at, GradientOf::log_variance, gradient(layer.weight + 2), gradient(layer.bias + 2)});
  }
  return result;
}

template class ObjectiveGradient<float>;
template class ObjectiveGradient<double>;

}  // namespace gradcon::cpu
