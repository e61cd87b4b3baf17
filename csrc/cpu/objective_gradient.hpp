// The gradient of the training objective for one batch, on a chain; see core/train_chain.hpp. Knows nothing of torch.
#pragma once

#include <cstdint>
#include <vector>

#include "core/chain.hpp"
#include "core/packed_chain.hpp"
#include "cpu/kernels.hpp"
#include "cpu/packing.hpp"
#include "cpu/scratch.hpp"
#include "cpu/threads.hpp"

namespace gradcon::cpu {

// Where the results go. Gradients are in the order and shape of the parameters, `primal` in those of the references.
template <class T>
struct ObjectiveOutputs {
  T* reconstruction;  // (samples)
  T* latent;          // (samples)
  T* cosine;          // (references)
  std::vector<T*> gradients;
  std::vector<T*> primal;
};

template <class T>
class ObjectiveGradient {
 public:
  // Throws std::invalid_argument for a chain that is scored but not trained: one with an affine layer, or with a
  // constrained layer before the bottleneck.
  ObjectiveGradient(const Chain& chain, const std::vector<ArrayView<T>>& parameters,
                    const std::vector<ArrayView<T>>& references, int64_t batch, const Threads& threads);

  // The objective is the mean loss less alpha times the mean cosine; without alpha, the loss. `noise` (samples, code)
  // is that of the bottleneck, where there is one.
  void run(const ImagesView<T>& images, const BatchView<T>& noise, double alpha, const ObjectiveOutputs<T>& outputs);

 private:
  void constrain(const TrainingProblem<T>& problem, double alpha, const ObjectiveOutputs<T>& outputs);
  double direct(size_t layer, double factor, const T* gradient);
  void compute(const TrainingProblem<T>& problem, const std::vector<GradientTask<T>>& tasks) const;
  std::vector<GradientTask<T>> tasks(bool constrained, const ObjectiveOutputs<T>& outputs) const;

  const TypedKernels<T>& kernels_;
  int64_t batch_;
  Threads threads_;
  Packing<T> packing_;
  PackedChain<T> chain_;
};

}  // namespace gradcon::cpu
