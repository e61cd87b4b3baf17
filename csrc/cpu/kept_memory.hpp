// Memory that blocks of samples are computed in, kept from one call to the next.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "cpu/scratch.hpp"

namespace gradcon::cpu {

// Where blocks take more than this together, the threads share one at a time.
constexpr int64_t most_bytes_at_once = 64 << 20;

// Uninitialised. Of what malloc does not keep for the next call (kept_by_malloc and more), the last one given back is
// kept here, if it has no more than most_kept bytes: fresh pages can take longer than all that is computed in them.
class KeptMemory {
 public:
  explicit KeptMemory(int64_t bytes) {
    if (bytes >= kept_by_malloc) memory_.reset(kept().exchange(nullptr));
    if (!memory_ || memory_->bytes < bytes) memory_ = std::make_unique<Memory>(bytes);
  }
  ~KeptMemory() {
    if (memory_->bytes < kept_by_malloc || memory_->bytes > most_kept()) return;
    const std::unique_ptr<Memory> other(kept().exchange(memory_.release()));
  }
  KeptMemory(const KeptMemory&) = delete;
  KeptMemory& operator=(const KeptMemory&) = delete;

  std::byte* data() const { return memory_->numbers.data(); }

  static std::atomic<int64_t>& most_kept() {
    static std::atomic<int64_t> bytes{most_bytes_at_once};
    return bytes;
  }

 private:
  static constexpr int64_t kept_by_malloc = 32 << 20;

  struct Memory {
    explicit Memory(int64_t size) : bytes(size), numbers(size) {}
    int64_t bytes;
    Scratch<std::byte> numbers;
  };

  // One in the process, and no lock that a fork could leave locked.
  static std::atomic<Memory*>& kept() {
    static std::atomic<Memory*> memory{nullptr};
    return memory;
  }

  std::unique_ptr<Memory> memory_;
};

}  // namespace gradcon::cpu
