// Blocks of samples over threads.
#pragma once

#include <torch/csrc/stable/ops.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "cpu/kernels.hpp"
#include "cpu/scratch.hpp"

namespace gradcon::cpu {

// Waking a second thread costs more than this many multiply-adds (about 0.1 ms) where another process holds its core.
constexpr double least_work_of_a_thread = 4e6;

// How many samples there are, how many make a block, and what one sample needs.
struct Blocks {
  int64_t batch;
  int64_t samples;
  int64_t scalars_per_sample;
  int64_t bytes_of_dots;
  double work_per_sample;
};

// Runs function(first sample, count, workspace) for every block, each thread with a workspace of its own.
// A sample's result does not depend on how the blocks fall to the threads.
template <class T, class Function>
void for_each_block(const Blocks& blocks, const Function& function) {
  const int64_t count = (blocks.batch + blocks.samples - 1) / blocks.samples;
  const double work_of_a_block = std::max(blocks.work_per_sample * static_cast<double>(blocks.samples), 1.0);
  const auto grain = static_cast<int64_t>(std::ceil(least_work_of_a_thread / work_of_a_block));
  torch::stable::parallel_for(0, count, grain, [&](int64_t begin, int64_t end) {
    const Scratch<T> lanes(blocks.samples * blocks.scalars_per_sample);
    const Scratch<std::byte> dots(blocks.bytes_of_dots);
    for (int64_t block = begin; block < end; ++block) {
      const int64_t first = block * blocks.samples;
      function(first, std::min(blocks.samples, blocks.batch - first), Workspace<T>{lanes.data(), dots.data()});
    }
  });
}

}  // namespace gradcon::cpu
