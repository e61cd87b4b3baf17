// The kernels of one instruction set. Included by one file a set, which says what to compile for, defines
// GRADCON_CORE_NAMESPACE, GRADCON_VECTOR_BYTES, GRADCON_TILE_SHAPE, GRADCON_PACKED_CHANNELS, GRADCON_PAIR_SHAPE,
// GRADCON_CHANNELS_IN_LANES and the name of the table.
#include "core/conv_alignment.hpp"
#include "core/conv_l1_norm.hpp"
#include "core/lane.hpp"
#include "core/layer_gradient.hpp"
#include "core/linear_alignment.hpp"
#include "core/score_chain.hpp"
#include "core/to_lanes.hpp"
#include "core/train_chain.hpp"
#include "cpu/kernels.hpp"

namespace gradcon::cpu {
namespace {

namespace core = gradcon::GRADCON_CORE_NAMESPACE;

template <class T>
using VariantLane = core::Lane<T, GRADCON_VECTOR_BYTES / sizeof(T)>;

template <class T>
using ChannelLane = core::Lane<T, VariantLane<T>::samples, VariantLane<T>::samples>;

using PairShape = core::GRADCON_PAIR_SHAPE;

template <class T>
void write(const core::Alignment<VariantLane<T>>& alignment, int64_t first, int64_t count,
           const AlignmentTask<T>& task) {
  for (int64_t sample = 0; sample < count; ++sample) {
    T* dot = task.dot + (first + sample) * task.count;
    for (int64_t k = 0; k < task.count; ++k) dot[k] = static_cast<T>(alignment.dots[k].value[sample]);
    task.sq_norm[first + sample] = static_cast<T>(alignment.sq_norm.value[sample]);
  }
}

// Samples in lanes, channels shared among threads: as many at a time as where they are neighbours go through registers.
template <class T>
void share_to_lanes(const BatchView<T>& batch, const Extents& extents, int64_t first, int64_t count,
                    const ParallelFor& parallel_for, T* lanes) {
  constexpr int samples = VariantLane<T>::samples;
  const int64_t parts = parallel_for.is_serial() || extents.channels < samples ? 1 : extents.channels / samples;
  parallel_for(parts, [&](int64_t part) {
    const Range channels = core::part_of(extents.channels, part, parts);
    BatchView<T> some = batch;
    some.data += channels.begin * batch.channel_stride;
    core::to_lanes<VariantLane<T>>(some, {channels.size(), extents.rows, extents.columns}, first, count,
                                   lanes + channels.begin * extents.rows * extents.columns * samples);
  });
}

// The two arrays of a convolution in lanes, one behind the other.
template <class T>
core::TileOperands<T> operands_to_lanes(const ConvProblem<T>& problem, int64_t first, int64_t count, T* lanes,
                                        const ParallelFor& parallel_for) {
  using LaneType = VariantLane<T>;
  const ConvInStrips& in_strips = problem.in_strips;
  const Geometry& geometry = in_strips.geometry;
  T* inner = lanes;
  T* outer = inner + geometry.inner_size() * LaneType::samples;
  if (in_strips.inner.strips == 1) {
    const Extents inner_extents = {geometry.inner_channels, geometry.height.inner, geometry.width.inner};
    const Extents outer_extents = {geometry.outer_channels, geometry.height.outer, geometry.width.outer};
    share_to_lanes(problem.inner, inner_extents, first, count, parallel_for, inner);
    share_to_lanes(problem.outer, outer_extents, first, count, parallel_for, outer);
  } else {
    core::for_each_part(geometry.inner_channels, geometry.width.inner, parallel_for, [&](const ArrayPart& part) {
      core::strips_to_lanes<LaneType>(problem.inner, in_strips.inner, part, first, count, inner);
    });
    core::for_each_part(geometry.outer_channels, geometry.width.outer, parallel_for, [&](const ArrayPart& part) {
      core::rows_to_lanes<LaneType>(problem.outer, in_strips.outer, in_strips.outer_rows, part, first, count, outer);
    });
  }
  return {inner, outer};
}

template <class T>
core::StripSum<VariantLane<T>> strip_sum_of(const ConvProblem<T>& problem) {
  return {VariantLane<T>::samples / problem.in_strips.inner.strips};
}

template <class T>
void conv_alignment(const AlignmentTask<T>& task, const ConvProblem<T>& problem, int64_t first, int64_t count,
                    const Workspace<T>& workspace, const ParallelFor& parallel_for) {
  using LaneType = VariantLane<T>;
  const core::TileOperands<T> operands = operands_to_lanes(problem, first, count, workspace.lanes, parallel_for);
  write(core::conv_alignment_in_chunks<LaneType, core::GRADCON_TILE_SHAPE>(
            problem.in_strips.geometry, operands, {task.references, task.count}, strip_sum_of(problem), parallel_for,
            static_cast<core::Sum<LaneType>*>(workspace.dots)),
        first, count, task);
}

template <class T>
void conv_l1_norm(T* norms, const ConvProblem<T>& problem, int64_t first, int64_t count, const Workspace<T>& workspace,
                  const ParallelFor& parallel_for) {
  using LaneType = VariantLane<T>;
  const core::TileOperands<T> operands = operands_to_lanes(problem, first, count, workspace.lanes, parallel_for);
  const core::Sum<LaneType> norm = core::conv_l1_norm_in_chunks<LaneType, core::GRADCON_TILE_SHAPE>(
      problem.in_strips.geometry, operands, strip_sum_of(problem), parallel_for);
  for (int64_t sample = 0; sample < count; ++sample) norms[first + sample] = static_cast<T>(norm.value[sample]);
}

template <class T>
void linear_alignment(const LinearProblem<T>& problem, int64_t first, int64_t count, const Workspace<T>& workspace) {
  T* input = workspace.lanes;
  T* grad_output = input + problem.inputs * VariantLane<T>::samples;
  core::to_lanes<VariantLane<T>>(problem.input, {problem.inputs, 1, 1}, first, count, input);
  core::to_lanes<VariantLane<T>>(problem.grad_output, {problem.outputs, 1, 1}, first, count, grad_output);
  auto* dots = static_cast<core::Sum<VariantLane<T>>*>(workspace.dots);
  for (int64_t k = 0; k < problem.task.count; ++k) dots[k] = {};
  core::Alignment<VariantLane<T>> alignment = {dots, {}};
  core::linear_alignment<VariantLane<T>>(problem.inputs, problem.outputs, input, grad_output,
                                         {problem.task.references, problem.task.count}, alignment);
  write(alignment, first, count, problem.task);
}

template <class T>
void images_to_lanes(const ImagesView<T>& images, const Extents& extents, int64_t first, int64_t count, T* lanes) {
  if (images.bytes.data != nullptr) {
    core::to_lanes<VariantLane<T>>(images.bytes, extents, first, count, lanes);
  } else {
    core::to_lanes<VariantLane<T>>(images.numbers, extents, first, count, lanes);
  }
}

// The same, of samples that are cut into strips.
template <class T>
void images_to_strips(const ImagesView<T>& images, const PackedChain<T>& packed, int64_t first, int64_t count,
                      const ParallelFor& parallel_for, T* lanes) {
  const Extents& strip = packed.chain.images;
  const CutRows& cut = packed.strips.values[0];
  core::for_each_part(strip.channels, strip.columns, parallel_for, [&](const ArrayPart& part) {
    if (images.bytes.data != nullptr) {
      core::strips_to_lanes<VariantLane<T>>(images.bytes, cut, part, first, count, lanes);
    } else {
      core::strips_to_lanes<VariantLane<T>>(images.numbers, cut, part, first, count, lanes);
    }
  });
}

template <class T>
void score_chain(const ScoreProblem<T>& problem, int64_t first, int64_t count, T* workspace,
                 const ParallelFor& parallel_for) {
  core::BlockScorer<VariantLane<T>, core::GRADCON_TILE_SHAPE, GRADCON_PACKED_CHANNELS, PairShape> scorer(
      problem.chain, workspace, parallel_for);
  if (problem.chain.strips.is_one()) {
    images_to_lanes(problem.images, problem.chain.chain.images, first, count, scorer.images());
  } else {
    images_to_strips(problem.images, problem.chain, first, count, parallel_for, scorer.images());
  }
  scorer.score(first, count, problem.outputs);
}

// The image of one sample, whose channels are side by side.
template <class T>
void image_to_channels(const ImagesView<T>& images, const ChannelArray& array, int64_t sample,
                       const ParallelFor& parallel_for, T* lanes) {
  const int64_t parts = core::has_parts_of_columns(array.extents.rows) ? core::parts_of_an_axis : 1;
  parallel_for(parts, [&](int64_t part) {
    const Range rows = core::part_of(array.extents.rows, part, parts);
    if (images.bytes.data != nullptr) {
      core::channels_to_lanes<ChannelLane<T>>(images.bytes, array, rows, sample, lanes);
    } else {
      core::channels_to_lanes<ChannelLane<T>>(images.numbers, array, rows, sample, lanes);
    }
  });
}

template <class T>
void score_chain_in_channels(const ScoreProblem<T>& problem, int64_t sample, T* workspace,
                             const ParallelFor& parallel_for) {
  core::BlockScorer<ChannelLane<T>, core::GRADCON_TILE_SHAPE, GRADCON_PACKED_CHANNELS, PairShape> scorer(
      problem.chain, workspace, parallel_for);
  image_to_channels(problem.images, problem.chain.strips.channels[0], sample, parallel_for, scorer.images());
  scorer.score(sample, 1, problem.outputs);
}

// One block of a batch in training.
template <class LaneType, class T = typename LaneType::Scalar>
struct TrainingBlock {
  static constexpr int64_t samples = LaneType::samples / LaneType::channels;

  const TrainingProblem<T>& problem;
  int64_t first;
  int64_t count;
  core::BlockArrays<LaneType> arrays;

  TrainingBlock(const TrainingProblem<T>& of, const TrainingGroup<T>& group, int64_t block)
      : problem(of),
        first(block * samples),
        count(of.batch - first < samples ? of.batch - first : samples),
        arrays{of.chain.layout, of.kept + block * of.kept_size,
               group.passing + (block - group.first) * of.passing_size} {}

  T* noise() const { return arrays.behind_kept(); }

  // Images, and the noise of a bottleneck, with which channels are not in lanes.
  void fill(const ParallelFor& parallel_for) const {
    const Chain& chain = problem.chain.chain;
    if constexpr (LaneType::channels > 1) {
      return image_to_channels(problem.images, problem.chain.strips.channels[0], first, parallel_for, arrays.values(0));
    } else {
      images_to_lanes(problem.images, chain.images, first, count, arrays.values(0));
      if (chain.bottleneck < 0) return;
      const ChainLayer& bottleneck = chain.layers[static_cast<size_t>(chain.bottleneck)];
      core::to_lanes<LaneType>(problem.noise, {size_of(bottleneck.output), 1, 1}, first, count, noise());
    }
  }

  core::BlockTrainer<LaneType, GRADCON_PACKED_CHANNELS, PairShape> trainer(const ParallelFor& parallel_for) const {
    // Lanes past the last sample count for nothing.
    LaneType scale = LaneType::zero();
    for (int64_t lane = 0; lane < count * LaneType::channels; ++lane)
      scale.value[lane] = 1 / static_cast<T>(problem.batch);
    return {problem.chain, arrays, noise(), arrays.behind_passing(), scale, parallel_for};
  }
};

template <class LaneType, class T = typename LaneType::Scalar>
void training_forward(const TrainingProblem<T>& problem, const TrainingGroup<T>& group, int64_t block, bool constrained,
                      const ParallelFor& parallel_for) {
  const TrainingBlock<LaneType> at(problem, group, block);
  at.fill(parallel_for);
  core::Sum<LaneType> reconstruction;
  core::Sum<LaneType> latent;
  const auto trainer = at.trainer(parallel_for);
  trainer.forward(reconstruction, latent);
  if constexpr (LaneType::channels > 1) core::ChannelSum<LaneType>{}.join(reconstruction);
  for (int64_t sample = 0; sample < at.count; ++sample) {
    problem.reconstruction[at.first + sample] = static_cast<T>(reconstruction.value[sample]);
    problem.latent[at.first + sample] = static_cast<T>(latent.value[sample]);
  }
  if (constrained) trainer.backward_adjoints();
}

template <class LaneType, class T = typename LaneType::Scalar>
void training_backward(const TrainingProblem<T>& problem, const TrainingGroup<T>& group, int64_t block,
                       bool constrained, const ParallelFor& parallel_for) {
  TrainingBlock<LaneType>(problem, group, block).trainer(parallel_for).backward_totals(constrained);
}

template <class LaneType, class T = typename LaneType::Scalar>
void training_gradient(const TrainingProblem<T>& problem, const TrainingGroup<T>& group, const GradientTask<T>& task,
                       int64_t chunk, int64_t chunks) {
  std::vector<core::BlockArrays<LaneType>> blocks;
  for (int64_t block = group.first; block < group.first + group.count; ++block) {
    blocks.push_back(TrainingBlock<LaneType>(problem, group, block).arrays);
  }
  core::layer_gradient<LaneType, core::GRADCON_TILE_SHAPE>(problem.chain, blocks, task, chunk, chunks);
}

template <class LaneType>
constexpr TrainingKernels<typename LaneType::Scalar> training_kernels() {
  return {core::BlockArrays<LaneType>::kept_arrays, core::BlockArrays<LaneType>::passing_arrays,
          training_forward<LaneType>, training_backward<LaneType>, training_gradient<LaneType>};
}

// Those of one sample whose channels are side by side.
template <class T>
constexpr ChannelKernels<T> channel_kernels() {
  if constexpr (GRADCON_CHANNELS_IN_LANES) return {score_chain_in_channels<T>, training_kernels<ChannelLane<T>>()};
  return {};
}

template <class T>
constexpr TypedKernels<T> typed_kernels() {
  return {
      VariantLane<T>::samples,
      sizeof(core::Sum<VariantLane<T>>),
      core::alignment_chunks,
      conv_alignment<T>,
      conv_l1_norm<T>,
      linear_alignment<T>,
      core::running_mean<T>,
      GRADCON_PACKED_CHANNELS,
      PairShape::channels,
      score_chain<T>,
      training_kernels<VariantLane<T>>(),
      channel_kernels<T>(),
  };
}

}  // namespace

constexpr Kernels GRADCON_KERNELS = {typed_kernels<float>(), typed_kernels<double>()};

}  // namespace gradcon::cpu
