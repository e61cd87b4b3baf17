// The CPU kernels of one instruction set, as plain functions behind a table.
#pragma once

#include <cstdint>
#include <vector>

#include "core/batch_view.hpp"
#include "core/chain.hpp"
#include "core/geometry.hpp"
#include "core/packed_chain.hpp"
#include "core/parallel_for.hpp"
#include "core/running_mean.hpp"
#include "core/strips.hpp"

namespace gradcon::cpu {

// Several references, one behind the other, and where their alignments go.
template <class T>
struct AlignmentTask {
  const T* references = nullptr;  // (count, *weight)
  int64_t count = 0;
  T* dot = nullptr;      // (samples, count)
  T* sq_norm = nullptr;  // (samples)
};

template <class T>
struct ConvProblem {
  ConvInStrips in_strips;
  BatchView<T> inner;
  BatchView<T> outer;
};

template <class T>
struct LinearProblem {
  int64_t inputs = 0;
  int64_t outputs = 0;
  BatchView<T> input;
  BatchView<T> grad_output;
  AlignmentTask<T> task;
};

template <class T>
struct ScoreProblem {
  const PackedChain<T>& chain;
  ImagesView<T> images;
  ScoreOutputs<T> outputs;
};

// A batch whose loss is the mean over its samples. `kept` has `kept_size` numbers for each block of samples, 64-byte
// aligned: the kept arrays of core/train_chain.hpp, and the noise of the bottleneck.
template <class T>
struct TrainingProblem {
  const PackedChain<T>& chain;
  ImagesView<T> images;
  BatchView<T> noise;
  int64_t batch = 0;
  T* kept = nullptr;
  int64_t kept_size = 0;
  int64_t passing_size = 0;
  T* reconstruction = nullptr;  // (samples)
  T* latent = nullptr;          // (samples)
};

// Blocks [first, first + count), whose gradients are formed together. `passing` has `passing_size` numbers for each,
// 64-byte aligned: the other arrays, and the copy that a contraction reads.
template <class T>
struct TrainingGroup {
  int64_t first;
  int64_t count;
  T* passing;
};

// A thread's memory for one block of samples, 64-byte aligned.
template <class T>
struct Workspace {
  T* lanes;    // samples * (inner_size + outer_size), or samples * (inputs + outputs)
  void* dots;  // a core::Sum a reference, and of a convolution for each chunk
};

// The steps of core/train_chain.hpp: losses of one block, and with a constraint adjoints; its totals; one of `chunks`
// pieces of the gradient of a group. The arrays of a block take so many times Layout::size numbers a lane.
template <class T>
struct TrainingKernels {
  int kept_arrays;
  int passing_arrays;
  void (*forward)(const TrainingProblem<T>& problem, const TrainingGroup<T>& group, int64_t block, bool constrained,
                  const ParallelFor& parallel_for);
  void (*backward)(const TrainingProblem<T>& problem, const TrainingGroup<T>& group, int64_t block, bool constrained,
                   const ParallelFor& parallel_for);
  void (*gradient)(const TrainingProblem<T>& problem, const TrainingGroup<T>& group, const GradientTask<T>& task,
                   int64_t chunk, int64_t chunks);
};

// Of one sample a block, whose channels are side by side (core/channel_lanes.hpp).
template <class T>
struct ChannelKernels {
  void (*score_chain)(const ScoreProblem<T>& problem, int64_t sample, T* workspace, const ParallelFor& parallel_for);
  TrainingKernels<T> training;
};

template <class T>
struct TypedKernels {
  // Samples side by side: a block is this many, the last one may be shorter.
  int samples;
  int64_t bytes_of_a_dot;
  // In how many chunks a convolution is aligned, each with its own dots.
  int64_t alignment_chunks;
  // Samples [first, first + count).
  void (*conv_alignment)(const AlignmentTask<T>& task, const ConvProblem<T>& problem, int64_t first, int64_t count,
                         const Workspace<T>& workspace, const ParallelFor& parallel_for);
  // L1 norms instead, one a sample of the batch.
  void (*conv_l1_norm)(T* norms, const ConvProblem<T>& problem, int64_t first, int64_t count,
                       const Workspace<T>& workspace, const ParallelFor& parallel_for);
  // An alignment of one position a sample.
  void (*linear_alignment)(const LinearProblem<T>& problem, int64_t first, int64_t count,
                           const Workspace<T>& workspace);
  CosineSums (*running_mean)(T* mean, const T* grad, int64_t size, int64_t count);
  // Channels that weights are packed for, and in pairs.
  int packed_channels;
  int pair_channels;
  // The score of samples [first, first + count) in `samples` times PackedChain::numbers_of_a_lane() numbers, 64-byte
  // aligned.
  void (*score_chain)(const ScoreProblem<T>& problem, int64_t first, int64_t count, T* workspace,
                      const ParallelFor& parallel_for);
  TrainingKernels<T> training;
  // None where others have wider lanes.
  ChannelKernels<T> in_channels;
};

struct Kernels {
  TypedKernels<float> float32;
  TypedKernels<double> float64;

  template <class T>
  const TypedKernels<T>& of() const;
};

// Not inline: this is read behind the pragmas of the variants too, and code of theirs must be nobody else's.
template <>
const TypedKernels<float>& Kernels::of<float>() const;
template <>
const TypedKernels<double>& Kernels::of<double>() const;

extern const Kernels baseline_kernels;
extern const Kernels avx2_kernels;
extern const Kernels avx512_kernels;
extern const Kernels avx512_narrow_kernels;

// Those of the capability in use.
const Kernels& kernels();

// Those, and such with narrower lanes where there are any: for samples that would not fill more. Weights are packed
// alike for all of them.
template <class T>
std::vector<const TypedKernels<T>*> kernels_of_all_widths();

// What a multiply-add of all lanes costs, in those of the widest lanes.
template <class T>
double cost_of_a_product(const TypedKernels<T>& kernels);

// The chain with those contractions in pairs that take less time so, on the processor at hand and for so many samples.
// Pairs load about as many numbers as they multiply. Only where vectors are split do loads keep up with that; and only
// the registers of AVX-512 hold the sums, without which each would load its own weight.
template <class T>
Chain in_pairs(Chain chain, int64_t samples);

}  // namespace gradcon::cpu
