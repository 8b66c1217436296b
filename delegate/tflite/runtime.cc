#include "tflite/runtime.h"

#include <algorithm>
#include <cstdio>
#include <utility>

namespace tf_signbin {
namespace {

// A JSON string. Layer names come from model files, so anything may be in them.
std::string Quoted(const std::string& text) {
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      quoted += '\\';
      quoted += c;
    } else if (static_cast<unsigned char>(c) < 0x20 || static_cast<unsigned char>(c) > 0x7e) {
      char code[8];
      std::snprintf(code, sizeof(code), "\\u%04x", static_cast<unsigned char>(c));
      quoted += code;
    } else {
      quoted += c;
    }
  }
  return quoted + '"';
}

}  // namespace

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

void Runtime::Track(const NodeProfile* profile) {
  std::lock_guard<std::mutex> lock(mutex_);
  // Room for what AddProfile keeps: an operator is freed from a destructor, which cannot fail.
  if (options_.profile) profiles_.reserve(profiles_.size() + live_.size() + 1);
  live_.push_back(profile);
}

void Runtime::Untrack(const NodeProfile* profile) {
  std::lock_guard<std::mutex> lock(mutex_);
  live_.erase(std::remove(live_.begin(), live_.end(), profile), live_.end());
}

const char* Runtime::Describe() {
  std::lock_guard<std::mutex> lock(mutex_);
  description_ = "{\"layers\": [";
  for (const NodeProfile* p : live_) {
    const double scale = 1e-3 / static_cast<double>(std::max<int64_t>(p->runs, 1));
    char figures[320];
    std::snprintf(figures, sizeof(figures),
                  ", \"weight_bytes\": %zu, \"workspace_bytes\": %zu, \"runs\": %lld, "
                  "\"total_us\": %.3f, \"tables_us\": %.3f, \"lookup_us\": %.3f, "
                  "\"output_us\": %.3f}",
                  p->weight_bytes, p->workspace_bytes, static_cast<long long>(p->runs),
                  p->total_ns * scale, p->stages.tables_ns * scale, p->stages.lookup_ns * scale,
                  p->stages.output_ns * scale);
    if (p != live_.front()) description_ += ", ";
    description_ += "{\"op\": " + Quoted(p->op) + ", \"layer\": " + Quoted(p->layer) +
                    ", \"kernel\": " + Quoted(p->kernel) + figures;
  }
  description_ += "]}";
  return description_.c_str();
}

void Runtime::AddProfile(NodeProfile&& profile) noexcept {
  std::lock_guard<std::mutex> lock(mutex_);
  profiles_.push_back(std::move(profile));
}

void Runtime::PrintProfile() const {
  std::lock_guard<std::mutex> lock(mutex_);
  std::fprintf(stderr, "tf_signbin profile: microseconds a run (stages summed over threads)\n");
  std::fprintf(stderr, "%10s %10s %10s %10s %8s  %s\n", "total", "tables", "lookup", "output",
               "runs", "operator, kernel, layer");
  for (const NodeProfile& p : profiles_) {
    const double scale = 1e-3 / std::max<int64_t>(p.runs, 1);
    std::fprintf(stderr, "%10.1f %10.1f %10.1f %10.1f %8lld  %s, %s, %s\n", p.total_ns * scale,
                 p.stages.tables_ns * scale, p.stages.lookup_ns * scale, p.stages.output_ns * scale,
                 static_cast<long long>(p.runs), p.op.c_str(), p.kernel.c_str(), p.layer.c_str());
  }
}

}  // namespace tf_signbin
