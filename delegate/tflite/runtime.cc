#include "tflite/runtime.h"

#include <algorithm>
#include <cstdio>

namespace tf_signbin {

void Runtime::Log(LogLevel level, const std::string& message) const {
  if (level > options_.log_level) return;
  const char* names[] = {"error", "warning", "info"};
  std::fprintf(stderr, "tf_signbin %s: %s\n", names[static_cast<int>(level)], message.c_str());
}

std::shared_ptr<ThreadPool> Runtime::Pool(int recommended_threads) {
  const int wanted =
      options_.num_threads > 0 ? options_.num_threads : std::max(recommended_threads, 1);
  std::lock_guard<std::mutex> lock(mutex_);
  if (pool_ == nullptr || pool_size_ != wanted) {
    pool_ = std::make_shared<ThreadPool>(wanted);
    pool_size_ = wanted;
    if (pool_->threads() < wanted) {
      Log(LogLevel::kWarning, "started " + std::to_string(pool_->threads()) + " of " +
                                  std::to_string(wanted) + " threads");
    }
  }
  return pool_;
}

void Runtime::AddProfile(const NodeProfile& profile) {
  std::lock_guard<std::mutex> lock(mutex_);
  profiles_.push_back(profile);
}

void Runtime::PrintProfile() const {
  std::lock_guard<std::mutex> lock(mutex_);
  std::fprintf(stderr, "tf_signbin profile: microseconds a run (stages summed over threads)\n");
  std::fprintf(stderr, "%10s %10s %10s %10s %8s  %s\n", "total", "tables", "lookup", "output", "runs",
               "operator, kernel, layer");
  for (const NodeProfile& p : profiles_) {
    const double scale = 1e-3 / std::max<int64_t>(p.runs, 1);
    std::fprintf(stderr, "%10.1f %10.1f %10.1f %10.1f %8lld  %s, %s, %s\n", p.total_ns * scale,
                 p.stages.tables_ns * scale, p.stages.lookup_ns * scale, p.stages.output_ns * scale,
                 static_cast<long long>(p.runs), p.op.c_str(), p.kernel.c_str(), p.layer.c_str());
  }
}

}  // namespace tf_signbin
