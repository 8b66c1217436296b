// Time between the stages of a kernel's run.
#ifndef TF_SIGNBIN_ENGINE_STOPWATCH_H_
#define TF_SIGNBIN_ENGINE_STOPWATCH_H_

#include <chrono>

namespace tf_signbin {

class Stopwatch {
 public:
  // Reads no clock unless it is on.
  explicit Stopwatch(bool on) : on_(on) {
    if (on_) last_ = std::chrono::steady_clock::now();
  }
  // Adds the nanoseconds since the last call, or since construction, to `stage`.
  void Lap(double* stage) {
    if (!on_) return;
    const auto now = std::chrono::steady_clock::now();
    *stage += std::chrono::duration<double, std::nano>(now - last_).count();
    last_ = now;
  }

 private:
  bool on_;
  std::chrono::steady_clock::time_point last_;
};

}  // namespace tf_signbin

#endif  // TF_SIGNBIN_ENGINE_STOPWATCH_H_
