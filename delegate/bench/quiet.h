// Times of a machine that others use too, whose clock rises and falls.
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

inline double Median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + values.size() / 2, values.end());
  return values[values.size() / 2];
}

// Another virtual machine on the same core makes all work slower for some time. A probe of known
// work, taken before and after what is timed, tells. Cycles are what is compared, so that a change
// of the processor's clock is no disturbance, and times are given as at 3 GHz.
class QuietTimer {
 public:
  struct Timed {
    double ns;   // processor time at 3 GHz
    bool quiet;  // nothing else slowed it down
  };
  template <typename Run>
  Timed TimeOnce(const Run& run) {
    const double clock_before = Clock();
    const bool quiet_before = Probe(clock_before);
    const double start = ThreadNs();
    run();
    const double ns = ThreadNs() - start;
    const double clock_after = Clock();
    const bool quiet_after = Probe(clock_after);
    const auto [low, high] = std::minmax(clock_before, clock_after);
    return {ns * (low + high) / 2, quiet_before && quiet_after && high < kSteady * low};
  }
  // The time of a quiet try; of the last one where the machine never was.
  template <typename Run>
  double Time(const Run& run) {
    double ns = 0;
    for (int tries = 0; tries < kTries; ++tries) {
      const Timed timed = TimeOnce(run);
      ns = timed.ns;
      if (timed.quiet) return ns;
    }
    ++disturbed_;
    return ns;
  }
  int disturbed() const { return disturbed_; }  // times that were taken all the same

 private:
  static constexpr int kTries = 5;
  static constexpr double kQuiet = 1.1;
  static constexpr size_t kLeast = 10;
  static constexpr double kSteady = 1.03;  // one clock before and after

  // The processor's, in units of 3 GHz: multiplications that wait for one another take three cycles
  // each on x86. Elsewhere nothing is known of it.
  [[gnu::noinline]] static double Clock() {
#if defined(__x86_64__)
    constexpr int kRounds = 500;
    double best = 1e18;
    for (int tries = 0; tries < 3; ++tries) {  // what interrupts it makes it slower
      uint64_t x = 1;
      const double start = NsOf(CLOCK_MONOTONIC);
      for (int i = 0; i < kRounds; ++i) {
        asm volatile("imul %0, %0\n\timul %0, %0\n\timul %0, %0\n\timul %0, %0" : "+r"(x));
      }
      best = std::min(best, NsOf(CLOCK_MONOTONIC) - start);
    }
    return 4 * kRounds / best;
#else
    return 1;
#endif
  }

  // The middle one of three: the first finds the caches as another's work left them. (Not inlined:
  // the compiler's copies of the loop differ in speed.)
  [[gnu::noinline]] bool Probe(double clock) {
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
    const double cycles = ns[1] * clock;
    // Not the very least: a clock that rose in between makes some too short.
    least_.push_back(cycles);
    std::sort(least_.begin(), least_.end());
    if (least_.size() > kLeast) least_.pop_back();
    return cycles <= kQuiet * least_.back();
  }

  std::vector<uint32_t> values_ = std::vector<uint32_t>(2048, 1);  // in the first-level cache
  volatile uint32_t sum_ = 0;
  std::vector<double> least_;
  int disturbed_ = 0;
};

}  // namespace tf_signbin

#endif  // TF_SIGNBIN_BENCH_QUIET_H_
