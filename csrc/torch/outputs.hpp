// The tensors that ops return.
#pragma once

#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <cstdint>
#include <vector>

#include "core/packed_chain.hpp"
#include "torch/dispatch.hpp"

namespace gradcon {

// An alignment's outputs: dot (samples, references) and sq_norm (samples).
struct AlignmentTensors {
  Tensor dot;
  Tensor sq_norm;

  AlignmentTensors(const Tensor& input, const Tensor& references)
      : dot(torch::stable::new_empty(input, {input.size(0), references.size(0)}, computed_type(input))),
        sq_norm(torch::stable::new_empty(input, {input.size(0)}, computed_type(input))) {}
};

// Scores of a batch: reconstruction (samples), latent (samples), cosine (samples, references), and code (samples, code
// size), or (samples, 0) where it is not wanted.
struct ScoreTensors {
  Tensor reconstruction;
  Tensor latent;
  Tensor cosine;
  Tensor code;

  ScoreTensors(const Tensor& images, const std::vector<Tensor>& references, int64_t code_size)
      : reconstruction(torch::stable::new_empty(references[0], {images.size(0)})),
        latent(torch::stable::new_empty(references[0], {images.size(0)})),
        cosine(torch::stable::new_empty(references[0], {images.size(0), static_cast<int64_t>(references.size())})),
        code(torch::stable::new_empty(references[0], {images.size(0), code_size})) {}

  template <class T>
  ScoreOutputs<T> pointers() {
    return {reconstruction.mutable_data_ptr<T>(), latent.mutable_data_ptr<T>(), cosine.mutable_data_ptr<T>(),
            cosine.size(1), code.size(1) == 0 ? nullptr : code.mutable_data_ptr<T>()};
  }
};

}  // namespace gradcon
