#include "cpu/blocks.hpp"

#include <cmath>

namespace gradcon::cpu {
namespace {

// What a block should not take more of: the part of the outer caches that a thread has on most processors.
constexpr double cache_bytes = 5 << 20;

// Waking a second thread costs more than this many multiply-adds (about 0.1 ms) where another process holds its core.
constexpr double least_products_of_a_thread = 4e6;

}  // namespace

template <class T>
Blocks blocks_of(const TypedKernels<T>& kernels, int64_t strips, int64_t batch, int64_t bytes, double products) {
  const int64_t samples = kernels.samples / strips;
  const int64_t count = (batch + samples - 1) / samples;
  // Beyond the caches, each doubling of a block's memory slows it down; and a single block is shared less evenly among
  // threads than several.
  const double doublings = std::max(0.0, std::log2(static_cast<double>(bytes) / cache_bytes));
  const double of_a_block = products * cost_of_a_product(kernels) * (1 + 0.1 * doublings);
  return {count, samples, bytes, (static_cast<double>(count) + 0.15) * of_a_block};
}

template Blocks blocks_of(const TypedKernels<float>&, int64_t, int64_t, int64_t, double);
template Blocks blocks_of(const TypedKernels<double>&, int64_t, int64_t, int64_t, double);

Threads threads_for(const Threads& threads, double products) {
  const double most = products / least_products_of_a_thread;
  if (most < 2) return {};
  if (most >= static_cast<double>(threads.count)) return threads;
  return {threads.parallel_for, static_cast<int64_t>(most)};
}

}  // namespace gradcon::cpu
