// Memory for as long as a scope lasts.
#pragma once

#ifdef __linux__
#include <sys/mman.h>
#endif

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>

namespace gradcon::cpu {

// Uninitialised, and aligned for the widest vectors. What is too much to be kept by malloc for the next call is fresh
// memory each time: of that large pages are asked for, since the first touch of many small ones takes long.
template <class T>
class Scratch {
 public:
  explicit Scratch(int64_t size) {
    const size_t bytes = static_cast<size_t>(std::max<int64_t>(size, 1)) * sizeof(T);
    const std::align_val_t alignment{bytes < worth_large_pages ? alignof_vectors : large_page};
    data_ = {static_cast<T*>(::operator new(bytes, alignment)), Free{alignment}};
#ifdef MADV_HUGEPAGE
    if (bytes >= worth_large_pages) madvise(data_.get(), bytes / large_page * large_page, MADV_HUGEPAGE);
#endif
  }

  T* data() const { return data_.get(); }

 private:
  static constexpr size_t alignof_vectors = 64;
  static constexpr size_t large_page = 2 << 20;
  static constexpr size_t worth_large_pages = 32 << 20;

  struct Free {
    std::align_val_t alignment;
    void operator()(T* data) const { ::operator delete(data, alignment); }
  };
  std::unique_ptr<T, Free> data_{nullptr, Free{std::align_val_t{alignof_vectors}}};
};

}  // namespace gradcon::cpu
