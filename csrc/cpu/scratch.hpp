// Memory for as long as a scope lasts.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>

namespace gradcon::cpu {

// Uninitialised, and aligned for the widest vectors.
template <class T>
class Scratch {
 public:
  explicit Scratch(int64_t size)
      : data_(static_cast<T*>(::operator new(static_cast<size_t>(std::max<int64_t>(size, 1)) * sizeof(T), alignment))) {
  }

  T* data() const { return data_.get(); }

 private:
  static constexpr std::align_val_t alignment{64};
  struct Free {
    void operator()(T* data) const { ::operator delete(data, alignment); }
  };
  std::unique_ptr<T, Free> data_;
};

}  // namespace gradcon::cpu
