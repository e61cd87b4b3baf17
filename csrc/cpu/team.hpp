// Threads that stay together for many short steps.
#pragma once

#include <atomic>
#include <cstdint>
#include <exception>
#include <mutex>

#include "cpu/threads.hpp"

namespace gradcon::cpu {

// One of the threads leads and shares out steps, each of some parts; the others wait for the next step without going to
// sleep, since steps take microseconds. The leader takes parts from the front and the others from the back, so that a
// thread meets in one step what it wrote in the last, and nobody waits for a thread that has taken none.
class Team {
 public:
  // What the leader shares its steps out by. What a part throws is thrown again once all threads have stopped.
  ParallelFor parallel_for();

  // Takes parts until the team is dismissed.
  void help();
  void dismiss() { dismissed_.store(true, std::memory_order_release); }

 private:
  enum class From { front, back };

  void share(int64_t parts, ParallelFor::Part body, const void* state);
  void share_some(int64_t first, int64_t count);
  bool take(From from);
  void work_on(int64_t part);

  // The parts that nobody has taken: the number of the step, then where they end and where they begin, of 16 bits each.
  // In one number, so that a part is only taken of the step that was read about.
  std::atomic<uint64_t> offer_{0};
  std::atomic<ParallelFor::Part> body_{nullptr};
  std::atomic<const void*> state_{nullptr};
  std::atomic<int64_t> first_{0};
  std::atomic<int64_t> finished_{0};
  std::atomic<bool> dismissed_{false};
  std::mutex failing_;
  std::exception_ptr failure_;
};

// Calls function(parallel_for) on one thread, and lets all of them work on what it shares out.
template <class Function>
void with_team(const Threads& threads, const Function& function) {
  if (threads.count == 1) return function(ParallelFor{});
  Team team;
  threads.parallel_for(threads.count, [&](int64_t member) {
    if (member > 0) return team.help();
    struct Dismissal {
      ~Dismissal() { team.dismiss(); }
      Team& team;
    } const at_the_end{team};
    function(team.parallel_for());
  });
}

}  // namespace gradcon::cpu
