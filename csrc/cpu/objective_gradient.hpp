// The gradient of the training objective for one batch, on a chain; see core/train_chain.hpp. Knows nothing of torch.
#pragma once

#include <cstdint>
#include <vector>

#include "core/chain.hpp"
#include "core/packed_chain.hpp"
#include "cpu/group_gradients.hpp"
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
  using Tasks = std::vector<GradientTask<T>>;

  int64_t groups() const;
  // How many of them are under way at the same time.
  int64_t groups_at_once() const;
  int64_t kept_size() const;
  int64_t passing_size() const;
  Tasks primal_tasks(const ObjectiveOutputs<T>& outputs) const;
  Tasks objective_tasks(bool constrained, const ObjectiveOutputs<T>& outputs) const;
  // Calls pass(group, block, parallel_for) for the blocks of every group of blocks, and forms its gradients; then adds
  // these up. `passing` is for groups_at_once().
  template <class Pass>
  void for_each_group(const TrainingProblem<T>& problem, const GroupGradients<T>& gradients, T* passing, T* numbers,
                      const Pass& pass) const;
  void compute(const TrainingProblem<T>& problem, const TrainingGroup<T>& group, const Tasks& tasks,
               const Threads& threads) const;
  void constrain(const Tasks& primal, double alpha, const ObjectiveOutputs<T>& outputs);
  double direct(size_t layer, double factor, const T* gradient);

  const TypedKernels<T>& kernels_;
  Chain chain_;
  std::vector<ArrayView<T>> references_;
  int64_t batch_;
  Threads threads_;
  bool in_channels_;
  const TrainingKernels<T>& training_;
  Packing<T> packing_;
  PackedChain<T> packed_;
  int64_t blocks_;
  int64_t blocks_of_a_group_;
};

}  // namespace gradcon::cpu
