#include "cpu/thread_pool.hpp"

#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <exception>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "core/require.hpp"

namespace gradcon::cpu {

// Parts go one by one to whoever is free: other programs may slow one of the threads down.
class ThreadPool::Job {
 public:
  Job(int64_t parts, ParallelFor::Part body, const void* state) : parts_(parts), body_(body), state_(state) {}

  bool has_parts() const { return next_ < parts_; }

  void work() {
    try {
      for (int64_t part = next_++; part < parts_; part = next_++) body_(state_, part);
    } catch (...) {
      next_ = parts_;
      const std::lock_guard<std::mutex> lock(failing_);
      if (!failure_) failure_ = std::current_exception();
    }
  }

  // Once nobody works on it any more.
  void rethrow() const {
    if (failure_) std::rethrow_exception(failure_);
  }

 private:
  const int64_t parts_;
  const ParallelFor::Part body_;
  const void* const state_;
  std::atomic<int64_t> next_{0};
  std::mutex failing_;
  std::exception_ptr failure_;
};

class ThreadPool::Helpers {
 public:
  explicit Helpers(int64_t count) {
    try {
      for (int64_t helper = 0; helper < count; ++helper) threads_.emplace_back([this] { help(); });
    } catch (const std::system_error&) {
      // The system gives no more threads. Those that there are, if any, will do.
    }
  }

  ~Helpers() {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      stop_ = true;
    }
    posted_.notify_all();
    for (std::thread& thread : threads_) thread.join();
  }

  bool are_in_this_process() const { return process_ == getpid(); }

  void share(Job& job) {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      job_ = &job;
    }
    posted_.notify_all();
    job.work();
    std::unique_lock<std::mutex> lock(mutex_);
    // Nobody waits for a helper that has not woken up by now.
    job_ = nullptr;
    left_.wait(lock, [this] { return working_ == 0; });
  }

 private:
  void help() {
    std::unique_lock<std::mutex> lock(mutex_);
    while (true) {
      posted_.wait(lock, [this] { return stop_ || (job_ != nullptr && job_->has_parts()); });
      if (stop_) return;
      Job& job = *job_;
      ++working_;
      lock.unlock();
      job.work();
      lock.lock();
      if (--working_ == 0) left_.notify_one();
    }
  }

  const pid_t process_ = getpid();
  std::mutex mutex_;
  std::condition_variable posted_;
  std::condition_variable left_;
  Job* job_ = nullptr;
  int64_t working_ = 0;
  bool stop_ = false;
  std::vector<std::thread> threads_;
};

ThreadPool::ThreadPool(int64_t count) : count_(count) {
  if (count < 1 || count > most_threads) {
    refuse("expected 1 to " + std::to_string(most_threads) + " threads, got " + std::to_string(count));
  }
}

ThreadPool::~ThreadPool() {
  // A fork has none of its parent's threads, and would wait for them for ever.
  if (helpers_ && !helpers_->are_in_this_process()) abandon_helpers();
}

Threads ThreadPool::threads() const {
  if (count_ == 1) return {};
  return {{run, this}, count_};
}

// Their threads have stayed behind in the parent, so nothing could end them.
void ThreadPool::abandon_helpers() const { [[maybe_unused]] const Helpers* leaked = helpers_.release(); }

ThreadPool::Helpers& ThreadPool::helpers() const {
  if (helpers_ && !helpers_->are_in_this_process()) abandon_helpers();
  if (!helpers_) helpers_ = std::make_unique<Helpers>(count_ - 1);
  return *helpers_;
}

void ThreadPool::run(const void* threads, int64_t parts, ParallelFor::Part body, const void* state) {
  const auto& pool = *static_cast<const ThreadPool*>(threads);
  Job job(parts, body, state);
  const std::unique_lock<std::mutex> lock(pool.busy_, std::try_to_lock);
  if (parts > 1 && lock.owns_lock()) {
    pool.helpers().share(job);
  } else {
    job.work();
  }
  job.rethrow();
}

}  // namespace gradcon::cpu
