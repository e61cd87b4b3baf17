// Blocks of samples over threads.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>

#include "cpu/kept_memory.hpp"
#include "cpu/kernels.hpp"
#include "cpu/team.hpp"
#include "cpu/threads.hpp"

namespace gradcon::cpu {

// A way to divide a batch into blocks.
struct Blocks {
  int64_t count = 0;
  int64_t samples = 0;
  int64_t bytes = 0;
  // About what they all take, in multiply-adds of the widest lanes. More than any, where none has been found.
  double cost = std::numeric_limits<double>::infinity();
};

// The cheapest way so far, and the kernels that go with it.
template <class T>
struct BlockChoice {
  const TypedKernels<T>* kernels = &cpu::kernels().of<T>();
  Blocks blocks;

  // Takes a cheaper one, and tells whether it was.
  bool offer(const TypedKernels<T>& some, const Blocks& candidate) {
    if (candidate.cost >= blocks.cost) return false;
    kernels = &some;
    blocks = candidate;
    return true;
  }
};

// With samples cut into so many strips. A block takes some bytes, and some multiply-adds of a lane.
template <class T>
Blocks blocks_of(const TypedKernels<T>& kernels, int64_t strips, int64_t batch, int64_t bytes, double products);

// As many of the threads as so many multiply-adds are worth.
Threads threads_for(const Threads& threads, double products);

// Calls function(block, parallel_for) for every block: each thread takes some, or where there are fewer than threads,
// all share one at a time.
template <class Function>
void share_blocks(const Threads& threads, int64_t blocks, const Function& function) {
  if (blocks < threads.count) {
    with_team(threads, [&](const ParallelFor& parallel_for) {
      for (int64_t block = 0; block < blocks; ++block) function(block, parallel_for);
    });
  } else {
    share_parts(threads, blocks, [&](int64_t block) { function(block, ParallelFor{}); });
  }
}

// Calls function(block, workspace, parallel_for) for every block: each thread takes some, or where those are fewer than
// the threads, or not to be in memory at once, all share one at a time. The result of a block does not depend on it.
template <class Function>
void for_each_block(const Threads& threads, const Blocks& blocks, const Function& function) {
  if (std::min(blocks.count, most_bytes_at_once / std::max<int64_t>(blocks.bytes, 1)) < threads.count) {
    const KeptMemory workspace(blocks.bytes);
    return with_team(threads, [&](const ParallelFor& parallel_for) {
      for (int64_t block = 0; block < blocks.count; ++block) function(block, workspace.data(), parallel_for);
    });
  }
  share(threads, blocks.count, [&](const auto& next) {
    const KeptMemory workspace(blocks.bytes);
    for (int64_t block = next(); block < blocks.count; block = next()) {
      function(block, workspace.data(), ParallelFor{});
    }
  });
}

}  // namespace gradcon::cpu
