// TFLite's rule with one rounding (tflite_rules.h) on four accumulators, for files compiled for
// AVX2.
#ifndef TF_SIGNBIN_ENGINE_KERNELS_OUTPUT_REAL_RULE_AVX2_INL_H_
#define TF_SIGNBIN_ENGINE_KERNELS_OUTPUT_REAL_RULE_AVX2_INL_H_

#include <immintrin.h>

namespace tf_signbin {
namespace {

// Halves away from zero: what is left of a number behind its whole part is exact.
inline __m128i MultiplyByReal(__m128i accumulators, const double* multipliers) {
  const __m256d x = _mm256_mul_pd(_mm256_cvtepi32_pd(accumulators), _mm256_loadu_pd(multipliers));
  const __m256d sign = _mm256_set1_pd(-0.0);
  const __m256d whole = _mm256_round_pd(x, _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC);
  const __m256d left = _mm256_andnot_pd(sign, _mm256_sub_pd(x, whole));
  const __m256d one = _mm256_or_pd(_mm256_set1_pd(1), _mm256_and_pd(x, sign));
  const __m256d up = _mm256_and_pd(_mm256_cmp_pd(left, _mm256_set1_pd(0.5), _CMP_GE_OQ), one);
  return _mm256_cvtpd_epi32(_mm256_add_pd(whole, up));
}

}  // namespace
}  // namespace tf_signbin

#endif  // TF_SIGNBIN_ENGINE_KERNELS_OUTPUT_REAL_RULE_AVX2_INL_H_
