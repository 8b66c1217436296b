// The direction in which floats are rounded, for files compiled for AVX2.
#ifndef TF_SIGNBIN_ENGINE_KERNELS_OUTPUT_ROUND_DOWN_AVX2_INL_H_
#define TF_SIGNBIN_ENGINE_KERNELS_OUTPUT_ROUND_DOWN_AVX2_INL_H_

#include <immintrin.h>

namespace tf_signbin {
namespace {

// While it lives, floats are rounded down. What it is to hold for stays in functions of its scope
// that are not inlined: compilers know of no rounding but the nearest.
class RoundDown {
 public:
  RoundDown() : before_(_mm_getcsr()) {
    _mm_setcsr((before_ & ~static_cast<unsigned>(_MM_ROUND_MASK)) | _MM_ROUND_DOWN);
  }
  ~RoundDown() { _mm_setcsr(before_); }
  RoundDown(const RoundDown&) = delete;
  RoundDown& operator=(const RoundDown&) = delete;

 private:
  const unsigned before_;
};

}  // namespace
}  // namespace tf_signbin

#endif  // TF_SIGNBIN_ENGINE_KERNELS_OUTPUT_ROUND_DOWN_AVX2_INL_H_
