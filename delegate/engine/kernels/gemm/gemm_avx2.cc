// AVX2: depth in lanes. One instruction multiplies sixteen numbers of 16 bits and adds pairs.
#include <immintrin.h>

#include "engine/kernels/gemm/gemm_ops.h"

namespace tf_signbin {
namespace gemm {
namespace {

constexpr int kPixels = 4, kFilters = 2;

struct Sums {
  __m256i of[kFilters][kPixels];

  void Clear() {
    for (auto& filter : of) {
      for (__m256i& sum : filter) sum = _mm256_setzero_si256();
    }
  }

  // Sixteen activations of each row, or with kHalf eight, times as many weights of each filter.
  template <bool kHalf>
  void AddBlock(const int16_t* row, size_t row_bytes, const int16_t* weights) {
    const auto load = [](const int16_t* from) {
      if (kHalf) {
        return _mm256_zextsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
      }
      return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
    };
    const auto* bytes = reinterpret_cast<const char*>(row);
    __m256i x[kPixels];
#pragma GCC unroll 4
    for (int p = 0; p < kPixels; ++p) {
      x[p] = load(reinterpret_cast<const int16_t*>(bytes + p * row_bytes));
    }
#pragma GCC unroll 2
    for (int f = 0; f < kFilters; ++f) {
      const __m256i w = load(weights + f * (kHalf ? 8 : kDepthBlock));
#pragma GCC unroll 4
      for (int p = 0; p < kPixels; ++p) {
        // Assembly, as GCC adds into another register and copies it back.
        asm("vpaddd %1, %0, %0" : "+x"(of[f][p]) : "x"(_mm256_madd_epi16(x[p], w)));
      }
    }
  }

  void Store(int32_t* to) const {
#pragma GCC unroll 2
    for (int f = 0; f < kFilters; ++f) {
      const __m256i pairs = _mm256_hadd_epi32(_mm256_hadd_epi32(of[f][0], of[f][1]),
                                              _mm256_hadd_epi32(of[f][2], of[f][3]));
      _mm_storeu_si128(
          reinterpret_cast<__m128i*>(to + f * kTilePixels),
          _mm_add_epi32(_mm256_castsi256_si128(pairs), _mm256_extracti128_si256(pairs, 1)));
    }
  }
};

void Widen(const int8_t* from, size_t count, int16_t* to) {
  for (size_t i = 0; i < count; i += 8) {
    const __m128i x = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(from + i));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to + i), _mm_cvtepi8_epi16(x));
  }
}

void Panel(const PanelArgs& args) {
  for (int pixel = 0; pixel < args.pixels; pixel += kPixels) {
    const auto* row = reinterpret_cast<const int16_t*>(static_cast<const char*>(args.rows) +
                                                       pixel * args.row_bytes);
    const auto* weights = static_cast<const int16_t*>(args.weights);
    Sums sums;
    sums.Clear();
    int left = args.depth;
    for (; left >= kDepthBlock; left -= kDepthBlock) {
      sums.AddBlock<false>(row, args.row_bytes, weights);
      row += kDepthBlock;
      weights += kFilters * kDepthBlock;
    }
    if (left > 0) sums.AddBlock<true>(row, args.row_bytes, weights);
    sums.Store(args.sums + pixel);
  }
}

}  // namespace

const GemmOps kGemmOpsAvx2 = {Isa::kAvx2,
                              kPixels,
                              kFilters,
                              /*depth_unit=*/8,
                              /*run=*/16,
                              /*takes_least=*/true,
                              /*widen=*/Widen,
                              /*to_unsigned=*/nullptr,
                              Panel,
                              /*row=*/nullptr,
                              /*write=*/nullptr};

}  // namespace gemm
}  // namespace tf_signbin
