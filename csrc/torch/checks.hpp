// What keeps the kernels inside their memory; the Python wrappers have already told a user what is wrong in their
// terms.
#pragma once

#include <torch/csrc/stable/tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "core/require.hpp"
#include "torch/dispatch.hpp"

namespace gradcon {

inline void check_alike(const Tensor& tensor, const Tensor& like, const char* name) {
  if (tensor.scalar_type() == like.scalar_type() && tensor.device() == like.device()) return;
  refuse(std::string(name) + " must have the dtype and device of the first tensor");
}

inline void check_references(const Tensor& references, const Tensor& input) {
  require(references.scalar_type() == computed_type(input) && references.device() == input.device(),
          "references must be float64 for float64 input and else float32, and on the same device");
}

inline void check_chain_tensors(const Tensor& images, const std::vector<Tensor>& parameters,
                                const std::vector<Tensor>& references) {
  require(!references.empty(), "expected one or more references");
  require(images.dim() == 4, "images must be (N, C, H, W)");
  for (const Tensor& tensor : parameters) check_alike(tensor, references[0], "a parameter");
  for (const Tensor& tensor : references) check_alike(tensor, references[0], "a reference");
  require(images.device() == references[0].device(), "images and references must be on the same device");
  require(images.scalar_type() == ScalarType::Byte || images.scalar_type() == references[0].scalar_type(),
          "images must be bytes or of the dtype of the references");
}

inline void check_running_mean(const Tensor& mean, const Tensor& grad, int64_t count) {
  check_alike(grad, mean, "grad");
  require(mean.is_contiguous(), "mean must be contiguous");
  require(mean.sizes().equals(grad.sizes()), "mean and grad must have the same shape");
  require(count >= 0, "count must not be negative");
}

}  // namespace gradcon
