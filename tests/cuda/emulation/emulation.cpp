#include "emulation.hpp"

#include <ucontext.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <numeric>
#include <random>
#include <stdexcept>
#include <vector>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/common_interface_defs.h>
#endif

EmulatedIndex threadIdx;
EmulatedIndex blockIdx;

namespace {

constexpr size_t stack_bytes = size_t{256} << 10;
constexpr unsigned lanes_of_a_warp = 32;

std::mt19937 order_generator(1);

// Where a fiber or the scheduler goes on, and the stack that it has there.
struct Place {
  ucontext_t context = {};
  const void* stack = nullptr;
  size_t size = 0;

  // From here to there, until somebody comes back. A sanitizer has to know which stack is in use.
  void go_to(Place& there, bool for_good = false) {
#ifdef __SANITIZE_ADDRESS__
    void* fake_stack = nullptr;
    __sanitizer_start_switch_fiber(for_good ? nullptr : &fake_stack, there.stack, there.size);
    swapcontext(&context, &there.context);
    arrive(fake_stack, there);
#else
    static_cast<void>(for_good);
    swapcontext(&context, &there.context);
#endif
  }

  static void arrive([[maybe_unused]] void* fake_stack, [[maybe_unused]] Place& from) {
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_finish_switch_fiber(fake_stack, &from.stack, &from.size);
#endif
  }
};

enum class State { ready, at_barrier, at_shuffle, done };

struct Fiber {
  Place place;
  std::vector<char> stack = std::vector<char>(stack_bytes);
  State state = State::done;
  double shuffled = 0;
};

class Block {
 public:
  void run(unsigned threads, const std::function<void()>& thread) {
    while (fibers_.size() < threads) fibers_.push_back(std::make_unique<Fiber>());
    threads_ = threads;
    thread_ = &thread;
    for (unsigned index = 0; index < threads; ++index) start(*fibers_[index]);
    while (run_those_that_can() || release_warps() || release_block()) {
    }
    for (unsigned index = 0; index < threads; ++index) {
      if (fibers_[index]->state != State::done) throw std::logic_error("threads wait for others that never come");
    }
  }

  void wait(State state) {
    Fiber& fiber = *fibers_[threadIdx.x];
    fiber.state = state;
    fiber.place.go_to(scheduler_);
  }

  double& shuffled(unsigned thread) { return fibers_[thread]->shuffled; }

 private:
  static void entry();

  void start(Fiber& fiber) {
    getcontext(&fiber.place.context);
    fiber.place.context.uc_stack.ss_sp = fiber.stack.data();
    fiber.place.context.uc_stack.ss_size = fiber.stack.size();
    fiber.place.context.uc_link = nullptr;
    fiber.place.stack = fiber.stack.data();
    fiber.place.size = fiber.stack.size();
    fiber.state = State::ready;
    makecontext(&fiber.place.context, &Block::entry, 0);
  }

  bool run_those_that_can() {
    std::vector<unsigned> order(threads_);
    std::iota(order.begin(), order.end(), 0U);
    std::shuffle(order.begin(), order.end(), order_generator);
    bool ran = false;
    for (const unsigned index : order) {
      if (fibers_[index]->state != State::ready) continue;
      threadIdx.x = index;
      scheduler_.go_to(fibers_[index]->place);
      ran = true;
    }
    return ran;
  }

  // A shuffle of all lanes needs all of them, at the same shuffle.
  bool release_warps() {
    bool released = false;
    for (unsigned first = 0; first < threads_; first += lanes_of_a_warp) {
      const auto in_state = [&](State state) { return count(first, first + lanes_of_a_warp, state); };
      if (in_state(State::at_shuffle) == 0) continue;
      if (in_state(State::at_shuffle) < lanes_of_a_warp) throw std::logic_error("a lane is missing in a shuffle");
      for (unsigned lane = 0; lane < lanes_of_a_warp; ++lane) fibers_[first + lane]->state = State::ready;
      released = true;
    }
    return released;
  }

  // Threads that have ended are not waited for.
  bool release_block() {
    bool released = false;
    for (unsigned index = 0; index < threads_; ++index) {
      if (fibers_[index]->state != State::at_barrier) continue;
      fibers_[index]->state = State::ready;
      released = true;
    }
    return released;
  }

  unsigned count(unsigned first, unsigned end, State state) const {
    unsigned total = 0;
    for (unsigned index = first; index < std::min(end, threads_); ++index) total += fibers_[index]->state == state;
    return total;
  }

  std::vector<std::unique_ptr<Fiber>> fibers_;
  unsigned threads_ = 0;
  const std::function<void()>* thread_ = nullptr;
  Place scheduler_;
};

Block block;

void Block::entry() {
  Place::arrive(nullptr, block.scheduler_);
  (*block.thread_)();
  Fiber& fiber = *block.fibers_[threadIdx.x];
  fiber.state = State::done;
  fiber.place.go_to(block.scheduler_, true);
}

}  // namespace

int64_t emulated_launches = 0;

void emulated_launch(unsigned blocks, unsigned threads, const std::function<void()>& thread) {
  static std::mutex one_at_a_time;
  const std::lock_guard<std::mutex> lock(one_at_a_time);
  ++emulated_launches;
  for (unsigned index = 0; index < blocks; ++index) {
    blockIdx.x = index;
    block.run(threads, thread);
  }
}

void __syncthreads() { block.wait(State::at_barrier); }

double __shfl_down_sync(unsigned mask, double value, int offset) {
  if (mask != ~0U) std::abort();
  const unsigned thread = threadIdx.x;
  const unsigned source = thread % lanes_of_a_warp + static_cast<unsigned>(offset) < lanes_of_a_warp
                              ? thread + static_cast<unsigned>(offset)
                              : thread;
  block.shuffled(thread) = value;
  block.wait(State::at_shuffle);
  const double received = block.shuffled(source);
  block.wait(State::at_shuffle);  // until all have read what the next shuffle will overwrite
  return received;
}

namespace emulation {

void shuffle(uint32_t seed) { order_generator.seed(seed); }

std::shared_ptr<void> Launcher::allocate(int64_t bytes) const {
  const auto size = static_cast<size_t>(bytes);
  std::shared_ptr<void> memory(std::malloc(size), &std::free);
  std::memset(memory.get(), 0xff, size);
  return memory;
}

}  // namespace emulation
