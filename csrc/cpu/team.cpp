#include "cpu/team.hpp"

#include <algorithm>
#include <thread>
#include <utility>

namespace gradcon::cpu {
namespace {

constexpr int64_t most_parts = 0xffff;
constexpr uint64_t a_part = 1;
constexpr uint64_t a_part_at_the_end = 1 << 16;
constexpr uint64_t a_step = uint64_t{1} << 32;

int64_t begin_of(uint64_t offer) { return static_cast<int64_t>(offer % a_part_at_the_end); }
int64_t end_of(uint64_t offer) { return static_cast<int64_t>(offer % a_step / a_part_at_the_end); }

// For microseconds at first. After some tenths of a millisecond somebody else may need the core, perhaps for this team.
class Wait {
 public:
  void a_moment() {
    if (moments_ == moments_of_ones_own) return std::this_thread::yield();
    ++moments_;
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
  }

 private:
  static constexpr int moments_of_ones_own = 20000;
  int moments_ = 0;
};

}  // namespace

ParallelFor Team::parallel_for() {
  const auto run = [](const void* team, int64_t parts, ParallelFor::Part body, const void* state) {
    static_cast<Team*>(const_cast<void*>(team))->share(parts, body, state);
  };
  return {run, this};
}

void Team::help() {
  Wait wait;
  while (!dismissed_.load(std::memory_order_acquire)) {
    if (take(From::back)) {
      wait = {};
    } else {
      wait.a_moment();
    }
  }
}

void Team::share(int64_t parts, ParallelFor::Part body, const void* state) {
  body_.store(body, std::memory_order_relaxed);
  state_.store(state, std::memory_order_relaxed);
  for (int64_t first = 0; first < parts; first += most_parts) share_some(first, std::min(parts - first, most_parts));
}

void Team::share_some(int64_t first, int64_t count) {
  first_.store(first, std::memory_order_relaxed);
  finished_.store(0, std::memory_order_relaxed);
  const uint64_t step = offer_.load(std::memory_order_relaxed) / a_step + 1;
  offer_.store(step * a_step + static_cast<uint64_t>(count) * a_part_at_the_end, std::memory_order_release);
  while (take(From::front)) {
  }
  for (Wait wait; finished_.load(std::memory_order_acquire) != count;) wait.a_moment();
  if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
}

// Whether there was one to take.
bool Team::take(From from) {
  uint64_t offer = offer_.load(std::memory_order_acquire);
  const int64_t begin = begin_of(offer);
  const int64_t end = end_of(offer);
  if (begin == end) return false;
  const uint64_t rest = from == From::front ? offer + a_part : offer - a_part_at_the_end;
  if (offer_.compare_exchange_strong(offer, rest, std::memory_order_acq_rel)) {
    work_on(from == From::front ? begin : end - 1);
  }
  return true;
}

// Of a step that cannot end before, so that what it is stays what it is.
void Team::work_on(int64_t part) {
  try {
    body_.load(std::memory_order_relaxed)(state_.load(std::memory_order_relaxed),
                                          first_.load(std::memory_order_relaxed) + part);
  } catch (...) {
    const std::lock_guard<std::mutex> lock(failing_);
    if (!failure_) failure_ = std::current_exception();
  }
  finished_.fetch_add(1, std::memory_order_release);
}

}  // namespace gradcon::cpu
