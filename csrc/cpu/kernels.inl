// The kernels of one instruction set. Included by one file a set, which says what to compile for, defines
// GRADCON_CORE_NAMESPACE, GRADCON_VECTOR_BYTES, GRADCON_TILE_SHAPE and the name of the table.
#include "core/conv_alignment.hpp"
#include "core/lane.hpp"
#include "core/linear_alignment.hpp"
#include "core/to_lanes.hpp"
#include "cpu/kernels.hpp"

namespace gradcon::cpu {
namespace {

namespace core = gradcon::GRADCON_CORE_NAMESPACE;

template <class T>
using VariantLane = core::Lane<T, GRADCON_VECTOR_BYTES / sizeof(T)>;

// The alignment of one block, with its dots in the workspace.
template <class T>
core::Alignment<VariantLane<T>> new_alignment(const AlignmentTask<T>& task, double* dots) {
  auto* sums = reinterpret_cast<core::Sum<VariantLane<T>>*>(dots);
  for (int64_t k = 0; k < task.count; ++k) sums[k] = {};
  return {sums, {}};
}

template <class T>
void write(const core::Alignment<VariantLane<T>>& alignment, int64_t first, int64_t count,
           const AlignmentTask<T>& task) {
  for (int64_t sample = 0; sample < count; ++sample) {
    T* dot = task.dot + (first + sample) * task.count;
    for (int64_t k = 0; k < task.count; ++k) dot[k] = static_cast<T>(alignment.dots[k].value[sample]);
    task.sq_norm[first + sample] = static_cast<T>(alignment.sq_norm.value[sample]);
  }
}

template <class T>
void conv_alignment(const ConvProblem<T>& problem, int64_t first, int64_t count, const Workspace<T>& workspace) {
  const Geometry& geometry = problem.geometry;
  const Axis& height = geometry.height;
  const Axis& width = geometry.width;
  T* inner = workspace.lanes;
  T* outer = inner + geometry.inner_size() * VariantLane<T>::samples;
  core::to_lanes<VariantLane<T>>(problem.inner, {geometry.inner_channels, height.inner, width.inner}, first, count,
                                 inner);
  core::to_lanes<VariantLane<T>>(problem.outer, {geometry.outer_channels, height.outer, width.outer}, first, count,
                                 outer);
  core::Alignment<VariantLane<T>> alignment = new_alignment(problem.task, workspace.dots);
  core::conv_alignment<VariantLane<T>, core::GRADCON_TILE_SHAPE>(
      geometry, inner, outer, {problem.task.references, problem.task.count}, alignment);
  write(alignment, first, count, problem.task);
}

template <class T>
void linear_alignment(const LinearProblem<T>& problem, int64_t first, int64_t count, const Workspace<T>& workspace) {
  T* input = workspace.lanes;
  T* grad_output = input + problem.inputs * VariantLane<T>::samples;
  core::to_lanes<VariantLane<T>>(problem.input, {problem.inputs, 1, 1}, first, count, input);
  core::to_lanes<VariantLane<T>>(problem.grad_output, {problem.outputs, 1, 1}, first, count, grad_output);
  core::Alignment<VariantLane<T>> alignment = new_alignment(problem.task, workspace.dots);
  core::linear_alignment<VariantLane<T>>(problem.inputs, problem.outputs, input, grad_output,
                                         {problem.task.references, problem.task.count}, alignment);
  write(alignment, first, count, problem.task);
}

template <class T>
constexpr TypedKernels<T> typed_kernels() {
  return {VariantLane<T>::samples, conv_alignment<T>, linear_alignment<T>, core::running_mean<T>};
}

}  // namespace

const Kernels GRADCON_KERNELS = {typed_kernels<float>(), typed_kernels<double>()};

}  // namespace gradcon::cpu
