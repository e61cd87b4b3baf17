// Whether one block of samples is worked on by one thread, or part by part by several.
#pragma once

#include <cstdint>

namespace gradcon {

// Calls body(state, part) for every part. Which thread takes which part makes no difference to the result.
struct ParallelFor {
  using Part = void (*)(const void* state, int64_t part);

  void (*run)(const void* threads, int64_t parts, Part body, const void* state) = nullptr;
  const void* threads = nullptr;

  bool is_serial() const { return run == nullptr; }

  template <class Function>
  void operator()(int64_t parts, const Function& function) const {
    if (is_serial()) {
      for (int64_t part = 0; part < parts; ++part) function(part);
      return;
    }
    run(
        threads, parts, [](const void* state, int64_t part) { (*static_cast<const Function*>(state))(part); },
        &function);
  }
};

}  // namespace gradcon
