// The thread pool by itself. It is compiled into this file, since every file here is a program.
#include "cpu/thread_pool.cpp"

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <thread>
#include <vector>

namespace {

using gradcon::cpu::ThreadPool;
using gradcon::cpu::Threads;

void expect(bool condition, const char* what) {
  if (condition) return;
  std::printf("failed: %s\n", what);
  std::exit(1);
}

// Shares out parts of uneven work, and counts how often each was done.
bool every_part_is_done_once(const Threads& threads, int64_t parts) {
  std::vector<int64_t> times(static_cast<size_t>(parts));
  threads.splitter.for_each(parts, [&](int64_t part) {
    volatile int64_t spent = 0;
    for (int64_t i = 0; i < part % 7 * 100; ++i) spent = spent + 1;
    ++times[static_cast<size_t>(part)];
  });
  for (const int64_t count : times) {
    if (count != 1) return false;
  }
  return true;
}

void check_parts() {
  for (const int64_t count : {1, 2, 3, 8}) {
    const ThreadPool pool(count);
    expect(pool.threads().count == count, "the number of threads");
    for (int round = 0; round < 200; ++round) {
      for (const int64_t parts : {0, 1, 2, 5, 40}) {
        expect(every_part_is_done_once(pool.threads(), parts), "every part is done once");
      }
    }
  }
}

// Every part waits for all the others to have begun.
void check_parts_run_side_by_side() {
  const ThreadPool pool(4);
  for (int round = 0; round < 20; ++round) {
    std::atomic<int> begun{0};
    pool.threads().splitter.for_each(4, [&](int64_t) {
      ++begun;
      while (begun < 4) std::this_thread::yield();
    });
  }
}

void check_one_thread_starts_no_other() {
  const ThreadPool pool(1);
  const std::thread::id caller = std::this_thread::get_id();
  pool.threads().splitter.for_each(10, [&](int64_t) { expect(std::this_thread::get_id() == caller, "one thread"); });
}

void check_several_callers() {
  const ThreadPool pool(3);
  std::vector<std::thread> callers;
  for (int caller = 0; caller < 4; ++caller) {
    callers.emplace_back([&] {
      for (int round = 0; round < 200; ++round) expect(every_part_is_done_once(pool.threads(), 20), "several callers");
    });
  }
  for (std::thread& caller : callers) caller.join();
}

void check_exceptions() {
  for (const int64_t count : {1, 4}) {
    const ThreadPool pool(count);
    for (int64_t round = 0; round < 50; ++round) {
      bool caught = false;
      try {
        pool.threads().splitter.for_each(50, [&](int64_t part) {
          if (part >= round) throw std::runtime_error("a part failed");
        });
      } catch (const std::runtime_error&) {
        caught = true;
      }
      expect(caught, "what a part throws reaches the caller");
      expect(every_part_is_done_once(pool.threads(), 20), "the pool works on");
    }
  }
}

void check_too_few_threads() {
  try {
    const ThreadPool pool(0);
  } catch (const std::invalid_argument&) {
    return;
  }
  expect(false, "no threads are an error");
}

}  // namespace

int main() {
  check_parts();
  check_parts_run_side_by_side();
  check_one_thread_starts_no_other();
  check_several_callers();
  check_exceptions();
  check_too_few_threads();
  std::puts("the thread pool does every part once");
}
