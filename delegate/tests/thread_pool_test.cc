#include "engine/thread_pool.h"

#include <dlfcn.h>
#include <gtest/gtest.h>
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <numeric>
#include <stdexcept>
#include <thread>
#include <vector>

// Thread creation that fails on demand: this definition is found before libpthread's.
static std::atomic<int> threads_allowed{1 << 30};

extern "C" int pthread_create(pthread_t* thread, const pthread_attr_t* attributes,
                              void* (*start)(void*), void* argument) {
  using Create = int (*)(pthread_t*, const pthread_attr_t*, void* (*)(void*), void*);
  static const Create real = reinterpret_cast<Create>(dlsym(RTLD_NEXT, "pthread_create"));
  if (threads_allowed.fetch_sub(1) <= 0) return EAGAIN;
  return real(thread, attributes, start, argument);
}

namespace tf_signbin {
namespace {

// Runs a loop and checks that every task ran once, on a thread that exists.
void CheckLoop(ThreadPool* pool, int tasks) {
  std::vector<std::atomic<int>> counts(tasks);
  pool->ParallelFor(tasks, [&](int task, int thread) {
    EXPECT_GE(thread, 0);
    EXPECT_LT(thread, pool->threads());
    ++counts[task];
  });
  for (int task = 0; task < tasks; ++task) ASSERT_EQ(counts[task], 1) << "task " << task;
}

TEST(ThreadPool, RunsEveryTaskOnce) {
  for (const int threads : {1, 2, 4, 9}) {
    ThreadPool pool(threads);
    EXPECT_EQ(pool.threads(), threads);
    for (const int tasks : {0, 1, 2, 3, 7, 100, 1000}) CheckLoop(&pool, tasks);
  }
}

TEST(ThreadPool, ManyShortLoops) {
  ThreadPool pool(3);
  for (int i = 0; i < 20000; ++i) CheckLoop(&pool, 1 + i % 7);
}

TEST(ThreadPool, WakesAfterSleep) {
  ThreadPool pool(3);
  for (int i = 0; i < 20; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    CheckLoop(&pool, 50);
  }
}

TEST(ThreadPool, ThreadsWorkAtTheSameTime) {
  ThreadPool pool(3);
  std::atomic<int> arrived{0};
  // Each task waits for the two others: one thread alone would never finish.
  pool.ParallelFor(3, [&](int, int) {
    ++arrived;
    while (arrived < 3) std::this_thread::yield();
  });
  EXPECT_EQ(arrived, 3);
}

TEST(ThreadPool, AThreadNumberIsUsedByOneTaskAtATime) {
  ThreadPool pool(4);
  std::vector<std::atomic<int>> busy(4);
  for (int i = 0; i < 200; ++i) {
    pool.ParallelFor(64, [&](int, int thread) {
      EXPECT_EQ(busy[thread].exchange(1), 0);
      busy[thread] = 0;
    });
  }
}

TEST(ThreadPool, ManyPoolsComeAndGo) {
  for (int i = 0; i < 300; ++i) {
    ThreadPool pool(1 + i % 4);
    if (i % 3 != 0) CheckLoop(&pool, 10);
  }
}

TEST(ThreadPool, PassesExceptionsToTheCaller) {
  ThreadPool pool(3);
  for (int i = 0; i < 50; ++i) {
    EXPECT_THROW(pool.ParallelFor(20,
                                  [](int task, int) {
                                    if (task == 11) throw std::runtime_error("task 11");
                                  }),
                 std::runtime_error);
    CheckLoop(&pool, 20);
  }
}

TEST(ThreadPool, SharedByTwoCallers) {
  ThreadPool pool(3);
  std::thread other([&] {
    for (int i = 0; i < 500; ++i) CheckLoop(&pool, 12);
  });
  for (int i = 0; i < 500; ++i) CheckLoop(&pool, 12);
  other.join();
}

TEST(ThreadPool, RunsWithTheThreadsThatCouldBeStarted) {
  for (const int allowed : {0, 1, 2}) {
    threads_allowed = allowed;
    ThreadPool pool(5);
    threads_allowed = 1 << 30;
    EXPECT_EQ(pool.threads(), 1 + allowed);
    CheckLoop(&pool, 100);
  }
}

TEST(ThreadPool, WorksInAForkedChild) {
  ThreadPool pool(3);
  CheckLoop(&pool, 10);
  const pid_t child = fork();
  if (child == 0) {
    alarm(20);  // a hang is a failure, not a hanging test
    int sum = 0;
    pool.ParallelFor(10, [&](int task, int) { sum += task; });
    pool.~ThreadPool();
    ThreadPool fresh(3);
    std::atomic<int> fresh_sum{0};
    fresh.ParallelFor(10, [&](int task, int) { fresh_sum += task; });
    _exit(sum == 45 && fresh_sum == 45 ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << "status " << status;
  CheckLoop(&pool, 10);
}

}  // namespace
}  // namespace tf_signbin
