// What the alignment ops share on the GPU: from tensors to what csrc/cuda takes.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "core/conv_alignment.hpp"
#include "core/require.hpp"
#include "cuda/align_lanes.cuh"
#include "torch/cuda/launcher.cuh"
#include "torch/dispatch.hpp"
#include "torch/outputs.hpp"

namespace gradcon::cuda {

// Calls `function` with a zero of the tensor's element type on the GPU.
template <class Function>
void dispatch_element(const Tensor& tensor, const Function& function) {
  switch (tensor.scalar_type()) {
    case ScalarType::Float:
      return function(float{});
    case ScalarType::Double:
      return function(double{});
    case ScalarType::Half:
      return function(__half{});
    case ScalarType::BFloat16:
      return function(__nv_bfloat16{});
    default:
      refuse("expected float32, float64, float16 or bfloat16");
  }
}

// Contiguous references, one behind the other.
template <class T>
portable::References<T> references_of(const Tensor& references) {
  return {static_cast<const T*>(references.data_ptr()), references.size(0)};
}

template <class T>
AlignmentOutput<T> output_of(AlignmentTensors& outputs) {
  return {data_of<T>(outputs.dot), data_of<T>(outputs.sq_norm)};
}

}  // namespace gradcon::cuda
