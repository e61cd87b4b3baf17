// What the alignment ops share on the CPU.
#pragma once

#include <torch/csrc/stable/ops.h>

#include "cpu/kernels.hpp"
#include "torch/cpu/blocks.hpp"
#include "torch/dispatch.hpp"
#include "torch/outputs.hpp"

namespace gradcon::cpu {

// Half precision is widened in a pass of its own, which is little beside the contraction.
inline Tensor in_computed_type(const Tensor& tensor) { return torch::stable::to(tensor, computed_type(tensor)); }

template <class T>
AlignmentTask<T> task_of(const Tensor& references, AlignmentTensors& outputs) {
  return {references.const_data_ptr<T>(), references.size(0), outputs.dot.mutable_data_ptr<T>(),
          outputs.sq_norm.mutable_data_ptr<T>()};
}

template <class T>
void align_convolution(const Geometry& geometry, const BatchView<T>& inner, const BatchView<T>& outer,
                       const AlignmentTask<T>& task, int64_t batch) {
  const ConvProblem<T> problem = {geometry, inner, outer, task};
  const TypedKernels<T>& kernel = kernels().of<T>();
  const Blocks blocks = {batch, kernel.samples, geometry.inner_size() + geometry.outer_size(),
                         task.count * kernel.bytes_of_a_dot,
                         static_cast<double>(geometry.weights()) * static_cast<double>(geometry.inner_positions())};
  for_each_block<T>(blocks, [&](int64_t first, int64_t count, const Workspace<T>& workspace) {
    kernel.conv_alignment(problem, first, count, workspace);
  });
}

}  // namespace gradcon::cpu
