#include "cpu/alignment.hpp"

#include <algorithm>

#include "cpu/blocks.hpp"

namespace gradcon::cpu {
namespace {

// To bring a number to its lane takes as long as so many multiply-adds.
constexpr double products_of_filling = 4;

// A block's workspace: what is in lanes, and behind it the dots.
template <class T>
int64_t bytes_of_lanes(const TypedKernels<T>& kernels, int64_t numbers) {
  return kernels.samples * numbers * static_cast<int64_t>(sizeof(T));
}

template <class T, class Align>
void align_blocks(const Threads& threads, const Blocks& blocks, int64_t batch, int64_t bytes_of_dots,
                  const Align& align) {
  for_each_block(threads, blocks, [&](int64_t block, std::byte* workspace, const ParallelFor& parallel_for) {
    const int64_t first = block * blocks.samples;
    const Workspace<T> parts = {reinterpret_cast<T*>(workspace), workspace + blocks.bytes - bytes_of_dots};
    align(first, std::min(blocks.samples, batch - first), parts, parallel_for);
  });
}

}  // namespace

template <class T>
void align_convolution(const Geometry& geometry, const BatchView<T>& inner, const BatchView<T>& outer,
                       const AlignmentTask<T>& task, int64_t batch, const Threads& threads) {
  const TypedKernels<T>& kernels = kernels_for<T>(batch);
  const int64_t bytes_of_dots = kernels.alignment_chunks * task.count * kernels.bytes_of_a_dot;
  ConvInStrips best;
  Blocks blocks = {};
  for (int64_t count = 1; count <= kernels.samples; count *= 2) {
    const ConvInStrips in_strips = cut(geometry, count);
    const int64_t numbers = in_strips.geometry.inner_size() + in_strips.geometry.outer_size();
    const Blocks some = blocks_of(batch, kernels.samples / count, bytes_of_lanes(kernels, numbers) + bytes_of_dots,
                                  products_of(in_strips.geometry) + products_of_filling * static_cast<double>(numbers));
    if (count > 1 && some.cost() >= blocks.cost()) continue;
    best = in_strips;
    blocks = some;
  }
  const ConvProblem<T> problem = {best, inner, outer, task};
  align_blocks<T>(threads_for(threads, products_of(geometry) * static_cast<double>(batch)), blocks, batch,
                  bytes_of_dots, [&](auto... part) { kernels.conv_alignment(problem, part...); });
}

template <class T>
void align_linear(const LinearProblem<T>& problem, int64_t batch, const Threads& threads) {
  const TypedKernels<T>& kernels = kernels_for<T>(batch);
  const int64_t bytes_of_dots = problem.task.count * kernels.bytes_of_a_dot;
  const double products = static_cast<double>(problem.inputs) * static_cast<double>(problem.outputs) *
                          static_cast<double>(problem.task.count);
  const Blocks blocks = blocks_of(batch, kernels.samples,
                                  bytes_of_lanes(kernels, problem.inputs + problem.outputs) + bytes_of_dots, products);
  // A block is one thread's.
  align_blocks<T>({threads_for(threads, products * static_cast<double>(batch))}, blocks, batch, bytes_of_dots,
                  [&](int64_t first, int64_t count, const Workspace<T>& workspace, const ParallelFor&) {
                    kernels.linear_alignment(problem, first, count, workspace);
                  });
}

template void align_convolution<float>(const Geometry&, const BatchView<float>&, const BatchView<float>&,
                                       const AlignmentTask<float>&, int64_t, const Threads&);
template void align_convolution<double>(const Geometry&, const BatchView<double>&, const BatchView<double>&,
                                        const AlignmentTask<double>&, int64_t, const Threads&);
template void align_linear<float>(const LinearProblem<float>&, int64_t, const Threads&);
template void align_linear<double>(const LinearProblem<double>&, int64_t, const Threads&);

}  // namespace gradcon::cpu
