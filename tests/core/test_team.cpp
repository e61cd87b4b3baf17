#include "cpu/team.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <numeric>
#include <stdexcept>
#include <thread>
#include <vector>

#include "cpu/thread_pool.hpp"

namespace {

using gradcon::ParallelFor;
using gradcon::cpu::ThreadPool;
using gradcon::cpu::Threads;
using gradcon::cpu::with_team;

// Each part of a step reads what other parts of the step before have written.
std::vector<int64_t> after_steps(const ParallelFor& parallel_for, int64_t parts, int64_t steps) {
  std::vector<int64_t> numbers(static_cast<size_t>(parts));
  std::iota(numbers.begin(), numbers.end(), 1);
  for (int64_t step = 0; step < steps; ++step) {
    std::vector<int64_t> next(numbers.size());
    parallel_for(parts, [&](int64_t part) {
      const auto at = static_cast<size_t>(part);
      next[at] = (3 * numbers[at] + numbers[(at + numbers.size() / 2 + 1) % numbers.size()]) % 1000003;
    });
    numbers = next;
  }
  return numbers;
}

TEST_CASE("a step begins once the one before has ended") {
  for (const int64_t count : {1, 2, 3, 8}) {
    const ThreadPool pool(count);
    for (const int64_t parts : {1, 2, 5, 40}) {
      const std::vector<int64_t> expected = after_steps({}, parts, 300);
      with_team(pool.threads(), [&](const ParallelFor& parallel_for) {
        CHECK(parallel_for.is_serial() == (count == 1));
        CHECK(after_steps(parallel_for, parts, 300) == expected);
      });
    }
  }
}

TEST_CASE("a step of more parts than are offered at once, and one of none") {
  constexpr int64_t parts = 150000;
  const ThreadPool pool(3);
  std::vector<uint8_t> times(parts);
  with_team(pool.threads(), [&](const ParallelFor& parallel_for) {
    parallel_for(0, [](int64_t) { FAIL("there was no part"); });
    parallel_for(parts, [&](int64_t part) { ++times[static_cast<size_t>(part)]; });
  });
  CHECK(times == std::vector<uint8_t>(parts, 1));
}

// Every part waits for the others to have begun.
TEST_CASE("threads work on a step side by side") {
  const ThreadPool pool(4);
  with_team(pool.threads(), [&](const ParallelFor& parallel_for) {
    for (int step = 0; step < 50; ++step) {
      std::atomic<int> begun{0};
      parallel_for(4, [&](int64_t) {
        ++begun;
        while (begun < 4) std::this_thread::yield();
      });
    }
  });
}

TEST_CASE("several teams at once") {
  const std::vector<int64_t> expected = after_steps({}, 20, 100);
  std::vector<std::thread> leaders;
  std::atomic<int> equal{0};
  for (int leader = 0; leader < 3; ++leader) {
    leaders.emplace_back([&] {
      const ThreadPool pool(2);
      for (int round = 0; round < 20; ++round) {
        with_team(pool.threads(),
                  [&](const ParallelFor& parallel_for) { equal += after_steps(parallel_for, 20, 100) == expected; });
      }
    });
  }
  for (std::thread& leader : leaders) leader.join();
  CHECK(equal == 60);
}

// Threads that come one after the other, as where the system gives no more: the first must not wait for the others.
TEST_CASE("a team of which the others come late") {
  const auto run = [](const void*, int64_t parts, ParallelFor::Part body, const void* state) {
    for (int64_t part = 0; part < parts; ++part) body(state, part);
  };
  const Threads one_after_the_other = {{run, nullptr}, 3};
  const std::vector<int64_t> expected = after_steps({}, 10, 10);
  with_team(one_after_the_other,
            [&](const ParallelFor& parallel_for) { CHECK(after_steps(parallel_for, 10, 10) == expected); });
}

TEST_CASE("what a part throws reaches the leader, who may go on, and what the leader throws reaches the caller") {
  const ThreadPool pool(4);
  int caught = 0;
  const auto lead = [&](const ParallelFor& parallel_for) {
    for (int64_t step = 0; step < 50; ++step) {
      std::atomic<int> done{0};
      try {
        parallel_for(50, [&](int64_t part) {
          ++done;
          if (part >= step) throw std::runtime_error("a part failed");
        });
      } catch (const std::runtime_error&) {
        ++caught;
      }
      CHECK(done == 50);
    }
    throw std::logic_error("the leader failed");
  };
  CHECK_THROWS_AS(with_team(pool.threads(), lead), std::logic_error);
  CHECK(caught == 50);
}

}  // namespace
