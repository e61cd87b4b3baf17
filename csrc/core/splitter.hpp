// Whether one block of samples is worked on by one thread, or part by part by several.
#pragma once

#include <cstdint>

namespace gradcon {

// Calls body(state, part) for every part. Which thread takes which part makes no difference to the result.
struct Splitter {
  void (*run)(const void* threads, int64_t parts, void (*body)(void* state, int64_t part), void* state) = nullptr;
  const void* threads = nullptr;

  bool is_serial() const { return run == nullptr; }

  template <class Function>
  void for_each(int64_t parts, Function&& function) const {
    if (is_serial()) {
      for (int64_t part = 0; part < parts; ++part) function(part);
      return;
    }
    run(threads, parts, [](void* state, int64_t part) { (*static_cast<Function*>(state))(part); }, &function);
  }
};

}  // namespace gradcon
