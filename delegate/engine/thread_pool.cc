#include "engine/thread_pool.h"

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <new>
#include <system_error>
#include <thread>
#include <vector>

namespace tf_signbin {
namespace {

// How an idle thread watches for the next loop before it sleeps: it spins for about the gap between
// two loops of one layer, then offers its core to others (another pool's workers, say) at every
// look until an operator or two of another kind has passed. Waking a sleeper costs tens of
// microseconds.
constexpr std::chrono::microseconds kSpin{20};
constexpr std::chrono::microseconds kYield{100};

inline void Pause() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__) || defined(__ARM_ARCH_7A__)
  asm volatile("yield" ::: "memory");
#endif
}

template <typename Condition>
bool SpinUntil(bool may_spin, const Condition& condition) {
  if (condition()) return true;
  if (!may_spin) return false;
  const auto start = std::chrono::steady_clock::now();
  do {
    for (int i = 0; i < 32; ++i) {
      Pause();
      if (condition()) return true;
    }
  } while (std::chrono::steady_clock::now() < start + kSpin);
  do {
    std::this_thread::yield();
    if (condition()) return true;
  } while (std::chrono::steady_clock::now() < start + kYield);
  return false;
}

}  // namespace

// A loop is published by storing the number of its unclaimed tasks. Whoever lowers that number owns
// a task, and only then reads `body` and `tasks`: they cannot change before `unfinished` reaches 0.
// A worker that comes late therefore finds nothing to claim, and nobody waits for it.
struct ThreadPool::Impl {
  std::mutex loop_mutex;  // one loop at a time, should two interpreters share the pool
  const std::function<void(int, int)>* body = nullptr;
  int tasks = 0;
  std::atomic<int> unclaimed{0};
  std::atomic<int> unfinished{0};

  std::mutex sleep_mutex;
  std::condition_variable work_ready, work_done;
  std::atomic<int> sleepers{0};
  std::atomic<bool> caller_sleeps{false};
  std::atomic<bool> stop{false};

  std::mutex error_mutex;
  std::exception_ptr error;

  std::vector<std::thread> workers;
  bool may_spin = false;
  pid_t owner = getpid();  // workers do not exist in a forked child

  void RunTasks(int thread) {
    int left = unclaimed.load(std::memory_order_acquire);
    while (left > 0) {
      if (!unclaimed.compare_exchange_weak(left, left - 1, std::memory_order_acq_rel,
                                           std::memory_order_acquire)) {
        continue;
      }
      try {
        (*body)(tasks - left, thread);
      } catch (...) {
        std::lock_guard<std::mutex> lock(error_mutex);
        error = std::current_exception();
      }
      if (unfinished.fetch_sub(1) == 1 && thread != 0 && caller_sleeps.load()) {
        { std::lock_guard<std::mutex> lock(sleep_mutex); }
        work_done.notify_one();
      }
      left = unclaimed.load(std::memory_order_acquire);
    }
  }

  void Work(int thread) {
    const auto has_work = [this] { return unclaimed.load() > 0 || stop.load(); };
    while (true) {
      if (!SpinUntil(may_spin, has_work)) {
        std::unique_lock<std::mutex> lock(sleep_mutex);
        sleepers.fetch_add(1);
        work_ready.wait(lock, has_work);
        sleepers.fetch_sub(1);
      }
      if (stop.load()) return;
      RunTasks(thread);
    }
  }

  void WaitForTasks() {
    const auto finished = [this] { return unfinished.load() == 0; };
    if (SpinUntil(may_spin, finished)) return;
    std::unique_lock<std::mutex> lock(sleep_mutex);
    caller_sleeps.store(true);
    work_done.wait(lock, finished);
    caller_sleeps.store(false);
  }
};

ThreadPool::ThreadPool(int threads) : impl_(std::make_unique<Impl>()) {
  const unsigned cores = std::thread::hardware_concurrency();
  impl_->may_spin = cores > 1 && threads <= static_cast<int>(cores);
  // The application's signals are not for the workers.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  Impl* impl = impl_.get();
  try {
    impl->workers.reserve(std::max(threads - 1, 0));
    for (int thread = 1; thread < threads; ++thread) {
      impl->workers.emplace_back([impl, thread] { impl->Work(thread); });
    }
  } catch (const std::system_error&) {
    // No further thread to be had: run with those there are.
  } catch (const std::bad_alloc&) {
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

ThreadPool::~ThreadPool() {
  if (getpid() != impl_->owner) {
    // In a forked child the workers are gone; joining them, or destroying a condition variable that
    // they waited on, would hang.
    impl_.release();
    return;
  }
  {
    std::lock_guard<std::mutex> lock(impl_->sleep_mutex);
    impl_->stop.store(true);
  }
  impl_->work_ready.notify_all();
  for (std::thread& worker : impl_->workers) worker.join();
}

int ThreadPool::threads() const { return static_cast<int>(impl_->workers.size()) + 1; }

void ThreadPool::ParallelFor(int tasks, const std::function<void(int, int)>& body) {
  if (tasks <= 1 || impl_->workers.empty() || getpid() != impl_->owner) {
    for (int task = 0; task < tasks; ++task) body(task, 0);
    return;
  }
  std::lock_guard<std::mutex> loop(impl_->loop_mutex);
  impl_->body = &body;
  impl_->tasks = tasks;
  impl_->unfinished.store(tasks);
  impl_->unclaimed.store(tasks);
  const int wake = std::min(impl_->sleepers.load(), tasks - 1);
  if (wake > 0) {
    { std::lock_guard<std::mutex> lock(impl_->sleep_mutex); }
    for (int i = 0; i < wake; ++i) impl_->work_ready.notify_one();
  }
  impl_->RunTasks(0);
  impl_->WaitForTasks();
  if (impl_->error) {
    std::exception_ptr error = std::move(impl_->error);
    impl_->error = nullptr;
    std::rethrow_exception(error);
  }
}

}  // namespace tf_signbin
