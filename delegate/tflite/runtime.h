// What the operators of one delegate share: options, threads, log and profile.
#ifndef TF_SIGNBIN_TFLITE_RUNTIME_H_
#define TF_SIGNBIN_TFLITE_RUNTIME_H_

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "engine/kernel.h"
#include "engine/thread_pool.h"
#include "tflite/delegate_options.h"

namespace tf_signbin {

// Time spent in one operator over its life.
struct NodeProfile {
  std::string op, layer, kernel;
  int64_t runs = 0;
  double total_ns = 0;  // wall time
  StageTimes stages;    // summed over threads
};

class Runtime {
 public:
  explicit Runtime(const DelegateOptions& options) : options_(options) {}

  const DelegateOptions& options() const { return options_; }
  // One line on stderr, when `level` is within the user's log level.
  void Log(LogLevel level, const std::string& message) const;
  // The pool for operators prepared now: of the option's size, else of the runtime's recommendation
  // (-1 when it has none), else of one thread. Shared until that number changes.
  std::shared_ptr<ThreadPool> Pool(int recommended_threads);
  // Keeps the figures of an operator that is being freed.
  void AddProfile(const NodeProfile& profile);
  // A table on stderr of all operators freed so far.
  void PrintProfile() const;

 private:
  const DelegateOptions options_;
  mutable std::mutex mutex_;
  int pool_size_ = 0;
  std::shared_ptr<ThreadPool> pool_;
  std::vector<NodeProfile> profiles_;
};

}  // namespace tf_signbin

#endif  // TF_SIGNBIN_TFLITE_RUNTIME_H_
