#include "cpu/alignment.hpp"

#include <algorithm>

#include "cpu/blocks.hpp"

namespace gradcon::cpu {
namespace {

// To bring a number to its lane takes as long as so many multiply-adds.
constexpr double products_of_filling = 4;

// A block's workspace: what is in lanes, and behind it the dots.
template <class T>
int64_t bytes_of(const TypedKernels<T>& kernels, int64_t numbers, int64_t dots = 0) {
  return kernels.samples * numbers * static_cast<int64_t>(sizeof(T)) + dots * kernels.bytes_of_a_dot;
}

template <class T, class Align>
void align_blocks(const Threads& threads, const BlockChoice<T>& choice, int64_t batch, int64_t numbers,
                  const Align& align) {
  for_each_block(threads, choice.blocks, [&](int64_t block, std::byte* workspace, const ParallelFor& parallel_for) {
    const int64_t first = block * choice.blocks.samples;
    const Workspace<T> parts = {reinterpret_cast<T*>(workspace), workspace + bytes_of(*choice.kernels, numbers)};
    align(first, std::min(choice.blocks.samples, batch - first), parts, parallel_for);
  });
}

// Cuts the samples into as many strips as suit the batch, and calls run(kernels, problem, block...) for every block.
template <class T, class Run>
void for_each_block_of_convolution(const Geometry& geometry, const BatchView<T>& inner, const BatchView<T>& outer,
                                   int64_t references, int64_t batch, const Threads& threads, const Run& run) {
  BlockChoice<T> choice;
  ConvInStrips in_strips;
  for (int64_t strips = 1; strips <= kernels().of<T>().samples; strips *= 2) {
    const ConvInStrips candidate = cut(geometry, strips);
    const int64_t numbers = candidate.geometry.inner_size() + candidate.geometry.outer_size();
    const double work = products_of(candidate.geometry) + products_of_filling * static_cast<double>(numbers);
    for (const TypedKernels<T>* some : kernels_of_all_widths<T>()) {
      if (strips > some->samples) continue;
      const int64_t dots = some->alignment_chunks * references;
      const Blocks blocks = blocks_of(*some, strips, batch, bytes_of(*some, numbers, dots), work);
      if (choice.offer(*some, blocks)) in_strips = candidate;
    }
  }
  const ConvProblem<T> problem = {in_strips, inner, outer};
  const int64_t numbers = in_strips.geometry.inner_size() + in_strips.geometry.outer_size();
  const double products = products_of(geometry) * static_cast<double>(batch);
  align_blocks(threads_for(threads, products), choice, batch, numbers,
               [&](auto... block) { run(*choice.kernels, problem, block...); });
}

}  // namespace

template <class T>
void align_convolution(const Geometry& geometry, const BatchView<T>& inner, const BatchView<T>& outer,
                       const AlignmentTask<T>& task, int64_t batch, const Threads& threads) {
  for_each_block_of_convolution(
      geometry, inner, outer, task.count, batch, threads,
      [&](const TypedKernels<T>& kernels, const auto&... part) { kernels.conv_alignment(task, part...); });
}

template <class T>
void l1_norms_of_convolution(const Geometry& geometry, const BatchView<T>& inner, const BatchView<T>& outer, T* norms,
                             int64_t batch, const Threads& threads) {
  for_each_block_of_convolution(
      geometry, inner, outer, 0, batch, threads,
      [&](const TypedKernels<T>& kernels, const auto&... part) { kernels.conv_l1_norm(norms, part...); });
}

template <class T>
void align_linear(const LinearProblem<T>& problem, int64_t batch, const Threads& threads) {
  const auto products = static_cast<double>(problem.inputs * problem.outputs * problem.task.count);
  const int64_t numbers = problem.inputs + problem.outputs;
  BlockChoice<T> choice;
  for (const TypedKernels<T>* some : kernels_of_all_widths<T>()) {
    choice.offer(*some, blocks_of(*some, 1, batch, bytes_of(*some, numbers, problem.task.count), products));
  }
  const auto align = [&](int64_t first, int64_t count, const Workspace<T>& workspace, const ParallelFor&) {
    choice.kernels->linear_alignment(problem, first, count, workspace);
  };
  align_blocks(threads_for(threads, products * static_cast<double>(batch)), choice, batch, numbers, align);
}

template void align_convolution<float>(const Geometry&, const BatchView<float>&, const BatchView<float>&,
                                       const AlignmentTask<float>&, int64_t, const Threads&);
template void align_convolution<double>(const Geometry&, const BatchView<double>&, const BatchView<double>&,
                                        const AlignmentTask<double>&, int64_t, const Threads&);
template void l1_norms_of_convolution<float>(const Geometry&, const BatchView<float>&, const BatchView<float>&, float*,
                                             int64_t, const Threads&);
template void l1_norms_of_convolution<double>(const Geometry&, const BatchView<double>&, const BatchView<double>&,
                                              double*, int64_t, const Threads&);
template void align_linear<float>(const LinearProblem<float>&, int64_t, const Threads&);
template void align_linear<double>(const LinearProblem<double>&, int64_t, const Threads&);

}  // namespace gradcon::cpu
