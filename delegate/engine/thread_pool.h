// A fixed set of worker threads that run one parallel loop at a time.
#ifndef TF_SIGNBIN_ENGINE_THREAD_POOL_H_
#define TF_SIGNBIN_ENGINE_THREAD_POOL_H_

#include <functional>
#include <memory>

namespace tf_signbin {

class ThreadPool {
 public:
  // `threads` >= 1 counts the caller: ThreadPool(1) starts no thread. If a thread cannot be started
  // the pool runs with those it has; threads() tells how many.
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const;
  // Calls body(task, thread) for each task in [0, tasks), thread in [0, threads()), and returns
  // when all are done. Tasks are handed out in order, one at a time. Not re-entrant.
  void ParallelFor(int tasks, const std::function<void(int task, int thread)>& body);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace tf_signbin

#endif  // TF_SIGNBIN_ENGINE_THREAD_POOL_H_
