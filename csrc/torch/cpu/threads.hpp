// The threads of torch, as csrc/cpu takes them.
#pragma once

#include <torch/csrc/stable/ops.h>

#include <cstdint>

#include "cpu/threads.hpp"

namespace gradcon::cpu {

inline Threads torch_threads() {
  const auto run = [](const void*, int64_t parts, ParallelFor::Part body, const void* state) {
    torch::stable::parallel_for(0, parts, 1, [&](int64_t begin, int64_t end) {
      for (int64_t part = begin; part < end; ++part) body(state, part);
    });
  };
  return {{run, nullptr}, static_cast<int64_t>(torch::stable::get_num_threads())};
}

}  // namespace gradcon::cpu
