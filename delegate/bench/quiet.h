// Times of a machine that others use too: only those of moments in which it ran at full speed.
#ifndef TF_SIGNBIN_BENCH_QUIET_H_
#define TF_SIGNBIN_BENCH_QUIET_H_

#include <algorithm>
#include <cstdint>
#include <ctime>
#include <vector>

namespace tf_signbin {

inline double NsOf(clockid_t clock) {
  timespec now;
  clock_gettime(clock, &now);
  return 1e9 * static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec);
}
// This thread's processor time: what else runs on the same processor is left out.
inline double ThreadNs() { return NsOf(CLOCK_THREAD_CPUTIME_ID); }

// Another virtual machine on the same core, or a lower clock, makes all work slower for some time.
// A probe of known work, taken before and after what is timed, tells.
class QuietTimer {
 public:
  // Processor time of `run`, nanoseconds; of the last try where the machine never was quiet.
  template <typename Run>
  double Time(const Run& run) {
    double ns = 0;
    for (int tries = 0; tries < kTries; ++tries) {
      const bool quiet = Probe();
      const double start = ThreadNs();
      run();
      ns = ThreadNs() - start;
      if (Probe() && quiet) return ns;
    }
    ++disturbed_;
    return ns;
  }
  int disturbed() const { return disturbed_; }  // times that were taken all the same

 private:
  static constexpr int kTries = 5;
  static constexpr double kQuiet = 1.1;

  // The middle one of three: the first finds the caches as another's work left them. (Not inlined:
  // the compiler's copies of the loop differ in speed.)
  [[gnu::noinline]] bool Probe() {
    double ns[3];
    for (double& one : ns) {
      const double start = NsOf(CLOCK_MONOTONIC);
      for (int i = 0; i < 8; ++i) {
        uint32_t sum = 0;
        for (const uint32_t value : values_) sum += value;
        sum_ = sum;
      }
      one = NsOf(CLOCK_MONOTONIC) - start;
    }
    std::sort(ns, ns + 3);
    least_ = std::min(least_, ns[1]);
    return ns[1] <= kQuiet * least_;
  }

  std::vector<uint32_t> values_ = std::vector<uint32_t>(2048, 1);  // in the first-level cache
  volatile uint32_t sum_ = 0;
  double least_ = 1e18;
  int disturbed_ = 0;
};

}  // namespace tf_signbin

#endif  // TF_SIGNBIN_BENCH_QUIET_H_
