// Reading ahead of the processor, whose own reading ahead ends with each page of 4 KiB.
//
// The weights and references of a wide model are more than the caches hold, so that every block brings them from memory
// again. No address that is prefetched need be one of an array. All is inlined: GCC leaves out calls of functions that
// do nothing but prefetch.
#pragma once

#include <cstdint>

#include "core/variant.hpp"

namespace gradcon {

constexpr int64_t bytes_of_a_cache_line = 64;

// What the second cache keeps from one block to the next: to prefetch it would only take time.
constexpr int64_t bytes_kept_near = 512 * 1024;

// As far as one can read on in the time that memory takes, if all that is read is multiplied.
template <class T>
GRADCON_INLINE void prefetch_ahead_of(const T* reader) {
  constexpr int64_t bytes = 2048;
  __builtin_prefetch(reader + bytes / int64_t{sizeof(T)});
}

template <class T>
GRADCON_INLINE void prefetch(const T* begin, int64_t count) {
  constexpr int64_t step = bytes_of_a_cache_line / int64_t{sizeof(T)};
  for (int64_t i = 0; i < count; i += step) __builtin_prefetch(begin + i);
}

}  // namespace gradcon
