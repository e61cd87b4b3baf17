#include "cpu/thread_pool.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <stdexcept>
#include <thread>
#include <vector>

namespace {

using gradcon::cpu::ThreadPool;
using gradcon::cpu::Threads;

// Shares out parts of uneven work, and counts how often each was done.
bool every_part_is_done_once(const Threads& threads, int64_t parts) {
  std::vector<int64_t> times(static_cast<size_t>(parts));
  threads.parallel_for(parts, [&](int64_t part) {
    volatile int64_t spent = 0;
    for (int64_t i = 0; i < part % 7 * 100; ++i) spent = spent + 1;
    ++times[static_cast<size_t>(part)];
  });
  for (const int64_t count : times) {
    if (count != 1) return false;
  }
  return true;
}

TEST_CASE("every part is done once") {
  for (const int64_t count : {1, 2, 3, 8}) {
    const ThreadPool pool(count);
    CHECK(pool.threads().count == count);
    for (int round = 0; round < 200; ++round) {
      for (const int64_t parts : {0, 1, 2, 5, 40}) {
        CHECK(every_part_is_done_once(pool.threads(), parts));
      }
    }
  }
}

// Every part waits for all the others to have begun.
TEST_CASE("parts run side by side") {
  const ThreadPool pool(4);
  for (int round = 0; round < 20; ++round) {
    std::atomic<int> begun{0};
    pool.threads().parallel_for(4, [&](int64_t) {
      ++begun;
      while (begun < 4) std::this_thread::yield();
    });
  }
}

TEST_CASE("one thread starts no other") {
  const ThreadPool pool(1);
  const std::thread::id caller = std::this_thread::get_id();
  pool.threads().parallel_for(10, [&](int64_t) { CHECK(std::this_thread::get_id() == caller); });
}

TEST_CASE("several callers at once") {
  const ThreadPool pool(3);
  std::vector<std::thread> callers;
  for (int caller = 0; caller < 4; ++caller) {
    callers.emplace_back([&] {
      for (int round = 0; round < 200; ++round) CHECK(every_part_is_done_once(pool.threads(), 20));
    });
  }
  for (std::thread& caller : callers) caller.join();
}

TEST_CASE("what a part throws reaches the caller") {
  for (const int64_t count : {1, 4}) {
    const ThreadPool pool(count);
    for (int64_t round = 0; round < 50; ++round) {
      bool caught = false;
      try {
        pool.threads().parallel_for(50, [&](int64_t part) {
          if (part >= round) throw std::runtime_error("a part failed");
        });
      } catch (const std::runtime_error&) {
        caught = true;
      }
      CHECK(caught);
      CHECK(every_part_is_done_once(pool.threads(), 20));
    }
  }
}

TEST_CASE("a number of threads that cannot be") {
  for (const int64_t count : {int64_t{-1}, int64_t{0}, gradcon::cpu::most_threads + 1, int64_t{100000}}) {
    CHECK_THROWS_AS(ThreadPool{count}, std::invalid_argument);
  }
}

}  // namespace
