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

// One operator of the delegate: its kernel, memory, and the time it took over its life.
struct NodeProfile {
  std::string op, layer, kernel;  // no kernel before the operator is prepared
  size_t weight_bytes = 0, workspace_bytes = 0;
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
  // An operator's figures are listed by Describe() between Track and Untrack.
  void Track(const NodeProfile* profile);
  void Untrack(const NodeProfile* profile);
  // {"layers": [...]}: the operators that exist now. Valid until the next call; not to be called
  // while one of them runs.
  const char* Describe();
  // Keeps the figures of an operator that is being freed; Track made room for them.
  void AddProfile(NodeProfile&& profile) noexcept;
  // A table on stderr of all operators freed so far.
  void PrintProfile() const;

 private:
  const DelegateOptions options_;
  mutable std::mutex mutex_;
  int pool_size_ = 0;
  std::shared_ptr<ThreadPool> pool_;
  std::vector<const NodeProfile*> live_;
  std::string description_;
  std::vector<NodeProfile> profiles_;
};

}  // namespace tf_signbin

#endif  // TF_SIGNBIN_TFLITE_RUNTIME_H_
