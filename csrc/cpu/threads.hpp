// Threads to share work among.
#pragma once

#include <atomic>
#include <cstdint>

#include "core/parallel_for.hpp"

namespace gradcon::cpu {

struct Threads {
  ParallelFor parallel_for;
  int64_t count = 1;
};

// Calls function(next) on every thread. `next()` is the number of a part that no thread has yet, or `parts` when there
// are no more: other programs may slow a thread down, and then it takes fewer.
template <class Function>
void share(const Threads& threads, int64_t parts, const Function& function) {
  std::atomic<int64_t> taken{0};
  const auto next = [&] {
    const int64_t part = taken++;
    return part < parts ? part : parts;
  };
  if (threads.count == 1 || parts == 1) return function(next);
  threads.parallel_for(threads.count, [&](int64_t) { function(next); });
}

// Calls function(part) for every part.
template <class Function>
void share_parts(const Threads& threads, int64_t parts, const Function& function) {
  share(threads, parts, [&](const auto& next) {
    for (int64_t part = next(); part < parts; part = next()) function(part);
  });
}

}  // namespace gradcon::cpu
