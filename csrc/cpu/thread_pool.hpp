// Threads that sleep until there is work: what shares a chain's work out where there is no torch to do it.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>

#include "cpu/threads.hpp"

namespace gradcon::cpu {

constexpr int64_t most_threads = 1024;

// Any number of threads may share their work out at once: one of them is helped, and the others work by themselves
// rather than wait for it. A part must not share out work of its own.
class ThreadPool {
 public:
  // Of `count` threads, at most `most_threads`, the caller is one. The others start when there is something to share.
  explicit ThreadPool(int64_t count);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  // For as long as the pool lives. What a part throws is thrown again once all threads have stopped.
  Threads threads() const;

 private:
  class Job;
  class Helpers;

  static void run(const void* pool, int64_t parts, ParallelFor::Part body, const void* state);
  Helpers& helpers() const;
  void abandon_helpers() const;

  const int64_t count_;
  mutable std::mutex busy_;
  mutable std::unique_ptr<Helpers> helpers_;
};

}  // namespace gradcon::cpu
