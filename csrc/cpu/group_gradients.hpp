// The gradients of a batch that is divided into groups of blocks: those of each group, and their sums.
#pragma once

#include <cstdint>
#include <vector>

#include "core/chain.hpp"
#include "core/packed_chain.hpp"
#include "cpu/threads.hpp"

namespace gradcon::cpu {

template <class T>
class GroupGradients {
 public:
  using Tasks = std::vector<GradientTask<T>>;

  // The results of `tasks` are the sums.
  GroupGradients(const Chain& chain, Tasks tasks, int64_t groups);

  const Tasks& tasks() const { return tasks_; }

  // How many numbers the groups have; a single one writes its gradients to where the sums go.
  int64_t numbers() const { return groups_ == 1 ? 0 : groups_ * numbers_of_a_group_; }

  // The tasks of one group, with their results among these numbers.
  Tasks of_group(int64_t group, T* numbers) const;

  // Sums over the groups in their order, in double.
  void add_up(T* numbers, const Threads& threads) const;

 private:
  int64_t weights_of(const GradientTask<T>& task) const;
  int64_t numbers_of(const GradientTask<T>& task) const;

  const Chain& chain_;
  Tasks tasks_;
  int64_t groups_;
  int64_t numbers_of_a_group_ = 0;
};

}  // namespace gradcon::cpu
