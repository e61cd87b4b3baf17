// What the alignment ops share on the CPU.
#pragma once

#include <torch/csrc/stable/ops.h>

#include "cpu/kernels.hpp"
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

}  // namespace gradcon::cpu
