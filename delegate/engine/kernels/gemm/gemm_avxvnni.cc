// AVX-VNNI: dot products in 256 bits on processors without AVX-512. Filters in lanes, four weights
// of each a dot product with four activations, which are unsigned: x + 128.
#include <immintrin.h>

#include <cstring>

#include "engine/kernels/gemm/gemm_ops.h"
#include "engine/kernels/gemm/gemm_panel-inl.h"

namespace tf_signbin {
namespace gemm {
namespace {

struct Sums {
  // Twelve sums: a dot product takes five cycles, and there are two a cycle.
  static constexpr int kPixels = 4, kFilters = 24, kGroup = 4, kVectors = kFilters / 8;
  __m256i lanes[kPixels][kVectors];

  void Clear() {
    for (auto& pixel : lanes) {
      for (__m256i& sum : pixel) sum = _mm256_setzero_si256();
    }
  }

  void AddBlock(const int8_t* row, size_t row_bytes, const int8_t* weights, int groups) {
    for (int group = 0; group < groups; ++group, row += kGroup, weights += kFilters * kGroup) {
      __m256i w[kVectors];
#pragma GCC unroll 3
      for (int v = 0; v < kVectors; ++v) {
        w[v] = _mm256_load_si256(reinterpret_cast<const __m256i*>(weights) + v);
      }
#pragma GCC unroll 4
      for (int p = 0; p < kPixels; ++p) {
        int four;
        std::memcpy(&four, row + p * row_bytes, sizeof(four));
        const __m256i x = _mm256_set1_epi32(four);
#pragma GCC unroll 3
        for (int v = 0; v < kVectors; ++v) {
          // Assembly, as GCC keeps sums in memory around the loop.
          asm("%{vex%} vpdpbusd %2, %1, %0" : "+x"(lanes[p][v]) : "x"(x), "x"(w[v]));
        }
      }
    }
  }

  // Filters become rows: four pixels by eight filters at a time.
  void Store(int32_t* to) const {
#pragma GCC unroll 3
    for (int v = 0; v < kVectors; ++v, to += 8 * kTilePixels) {
      const __m256i low01 = _mm256_unpacklo_epi32(lanes[0][v], lanes[1][v]);
      const __m256i high01 = _mm256_unpackhi_epi32(lanes[0][v], lanes[1][v]);
      const __m256i low23 = _mm256_unpacklo_epi32(lanes[2][v], lanes[3][v]);
      const __m256i high23 = _mm256_unpackhi_epi32(lanes[2][v], lanes[3][v]);
      const __m256i rows[4] = {
          _mm256_unpacklo_epi64(low01, low23), _mm256_unpackhi_epi64(low01, low23),
          _mm256_unpacklo_epi64(high01, high23), _mm256_unpackhi_epi64(high01, high23)};
#pragma GCC unroll 4
      for (int f = 0; f < 4; ++f) {
        _mm_storeu_si128(reinterpret_cast<__m128i*>(to + f * kTilePixels),
                         _mm256_castsi256_si128(rows[f]));
        _mm_storeu_si128(reinterpret_cast<__m128i*>(to + (f + 4) * kTilePixels),
                         _mm256_extracti128_si256(rows[f], 1));
      }
    }
  }
};

void ToUnsigned(int8_t* activations, size_t count) {
  const __m128i bit = _mm_set1_epi8(-128);
  for (size_t i = 0; i < count; i += 16) {
    auto* at = reinterpret_cast<__m128i*>(activations + i);
    _mm_storeu_si128(at, _mm_xor_si128(_mm_loadu_si128(at), bit));
  }
}

}  // namespace

const GemmOps kGemmOpsAvxVnni = {
    Isa::kAvxVnni,        Sums::kPixels,        Sums::kFilters,    /*depth_unit=*/Sums::kGroup,
    /*run=*/Sums::kGroup, /*takes_least=*/true, /*widen=*/nullptr, ToUnsigned,
    AddPanel<Sums>,       /*row=*/nullptr,      /*write=*/nullptr};

}  // namespace gemm
}  // namespace tf_signbin
