// The kernels of one instruction set. Included by one file a set, which says what to compile for, defines
// GRADCON_CORE_NAMESPACE, GRADCON_VECTOR_BYTES, GRADCON_TILE_SHAPE and the name of the table.
#include "core/conv_alignment.hpp"
#include "core/linear_alignment.hpp"
#include "cpu/kernels.hpp"

namespace gradcon::cpu {
namespace {

namespace core = gradcon::GRADCON_CORE_NAMESPACE;

template <class T>
using VariantLane = core::Lane<T, GRADCON_VECTOR_BYTES / sizeof(T)>;

template <class T>
void write(const core::Alignment<VariantLane<T>>& alignment, int64_t first, int64_t count, T* dot, T* sq_norm) {
  for (int64_t sample = 0; sample < count; ++sample) {
    dot[first + sample] = static_cast<T>(alignment.dot.value[sample]);
    sq_norm[first + sample] = static_cast<T>(alignment.sq_norm.value[sample]);
  }
}

template <class T>
void conv_alignment(const ConvProblem<T>& problem, int64_t first, int64_t count, T* lanes) {
  const Geometry& geometry = problem.geometry;
  const Axis& height = geometry.height;
  const Axis& width = geometry.width;
  T* inner = lanes;
  T* outer = lanes + geometry.inner_size() * VariantLane<T>::samples;
  core::to_lanes<VariantLane<T>>(problem.inner, {geometry.inner_channels, height.inner, width.inner}, first, count,
                                 inner);
  core::to_lanes<VariantLane<T>>(problem.outer, {geometry.outer_channels, height.outer, width.outer}, first, count,
                                 outer);
  core::Alignment<VariantLane<T>> alignment;
  core::conv_alignment<VariantLane<T>, core::GRADCON_TILE_SHAPE>(geometry, inner, outer, problem.reference, alignment);
  write<T>(alignment, first, count, problem.dot, problem.sq_norm);
}

template <class T>
void linear_alignment(const LinearProblem<T>& problem, int64_t first, int64_t count, T* lanes) {
  T* input = lanes;
  T* grad_output = lanes + problem.inputs * VariantLane<T>::samples;
  core::to_lanes<VariantLane<T>>(problem.input, {problem.inputs, 1, 1}, first, count, input);
  core::to_lanes<VariantLane<T>>(problem.grad_output, {problem.outputs, 1, 1}, first, count, grad_output);
  core::Alignment<VariantLane<T>> alignment;
  core::linear_alignment<VariantLane<T>>(problem.inputs, problem.outputs, input, grad_output, problem.reference,
                                         alignment);
  write<T>(alignment, first, count, problem.dot, problem.sq_norm);
}

template <class T>
constexpr TypedKernels<T> typed_kernels() {
  return {VariantLane<T>::samples, conv_alignment<T>, linear_alignment<T>, core::running_mean<T>};
}

}  // namespace

const Kernels GRADCON_KERNELS = {typed_kernels<float>(), typed_kernels<double>()};

}  // namespace gradcon::cpu
