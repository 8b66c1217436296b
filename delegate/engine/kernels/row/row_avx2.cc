// AVX2: one byte shuffle looks up a group of channels for 32 filters.
#include <immintrin.h>

#include "engine/kernels/output/real_rule_avx2-inl.h"
#include "engine/kernels/row/row_ops.h"

namespace tf_signbin {
namespace row {
namespace {

__m256i Load(const void* from) { return _mm256_loadu_si256(static_cast<const __m256i*>(from)); }

void Store(void* to, __m256i x) { _mm256_storeu_si256(static_cast<__m256i*>(to), x); }

__m256i LoadTwice(const void* from) {
  return _mm256_broadcastsi128_si256(_mm_load_si128(static_cast<const __m128i*>(from)));
}

void MakeTables(const int8_t* activations, int groups, uint8_t* tables) {
  // Of the 16 subsets of two channels, a byte each: which subset has the first, the second.
  const __m256i low = _mm256_set_epi16(0x0101, 0x0100, 0x0001, 0, 0x0101, 0x0100, 0x0001, 0, 0x0101,
                                       0x0100, 0x0001, 0, 0x0101, 0x0100, 0x0001, 0);
  const __m256i high = _mm256_set_epi16(0x0101, 0x0101, 0x0101, 0x0101, 0x0100, 0x0100, 0x0100,
                                        0x0100, 0x0001, 0x0001, 0x0001, 0x0001, 0, 0, 0, 0);
  const __m256i offset = _mm256_set1_epi8(static_cast<char>(kOffset));
  const __m256i five_bits = _mm256_set1_epi16(31);
  for (int g = 0; g < groups; ++g, activations += kGroup, tables += kTableBytes) {
    int16_t first, second;
    __builtin_memcpy(&first, activations, sizeof(first));
    __builtin_memcpy(&second, activations + 2, sizeof(second));
    const __m256i a = _mm256_xor_si256(_mm256_set1_epi16(first), offset);
    const __m256i b = _mm256_xor_si256(_mm256_set1_epi16(second), offset);
    const __m256i sums =
        _mm256_add_epi16(_mm256_maddubs_epi16(a, low), _mm256_maddubs_epi16(b, high));
    const __m256i bytes =
        _mm256_packus_epi16(_mm256_and_si256(sums, five_bits), _mm256_srli_epi16(sums, 5));
    Store(tables, _mm256_permute4x64_epi64(bytes, 0xd8));
  }
}

// Sums of bytes, and of 16 bits those of even and odd bytes.
struct Sums {
  __m256i bytes, even, odd;

  void Add(__m256i table, __m256i index) {
    bytes = _mm256_add_epi8(bytes, _mm256_shuffle_epi8(table, index));
  }
  void Widen() {
    even = _mm256_add_epi16(even, _mm256_and_si256(bytes, _mm256_set1_epi16(255)));
    odd = _mm256_add_epi16(odd, _mm256_srli_epi16(bytes, 8));
    bytes = _mm256_setzero_si256();
  }
};

void LookUp(const uint8_t* tables, const uint8_t* indices, int groups, int32_t* sums) {
  const __m256i four_bits = _mm256_set1_epi8(15);
  const __m256i zero = _mm256_setzero_si256();
  Sums low = {zero, zero, zero}, high = low;
  for (int g = 0; g < groups; g += kStepGroups) {
#pragma GCC unroll 4
    for (int pair = 0; pair < kStepGroups / 2; ++pair) {
      const __m256i both = Load(indices);
      const __m256i first = _mm256_and_si256(both, four_bits);
      const __m256i second = _mm256_and_si256(_mm256_srli_epi16(both, 4), four_bits);
      low.Add(LoadTwice(tables), first);
      high.Add(LoadTwice(tables + 16), first);
      low.Add(LoadTwice(tables + 32), second);
      high.Add(LoadTwice(tables + 48), second);
      indices += 2 * kIndexBytesPerGroup;
      tables += 2 * kTableBytes;
    }
    low.Widen();
    high.Widen();
  }
  const auto store = [sums](int at, __m128i low_bits, __m128i high_bits) {
    Store(sums + at, _mm256_add_epi32(_mm256_cvtepu16_epi32(low_bits),
                                      _mm256_slli_epi32(_mm256_cvtepu16_epi32(high_bits), 5)));
  };
  store(0, _mm256_castsi256_si128(low.even), _mm256_castsi256_si128(high.even));
  store(8, _mm256_extracti128_si256(low.even, 1), _mm256_extracti128_si256(high.even, 1));
  store(16, _mm256_castsi256_si128(low.odd), _mm256_castsi256_si128(high.odd));
  store(24, _mm256_extracti128_si256(low.odd, 1), _mm256_extracti128_si256(high.odd, 1));
}

void Add(const AddArgs& arguments) {
  const AddArgs args = arguments;
  const __m256i box = _mm256_set1_epi32(args.box);
  const auto widen = [](const int16_t* from) {
    return _mm256_cvtepi16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
  };
  for (int f = 0; f < args.filters; f += 8) {
    __m256i acc = Load(args.acc + f);
    acc =
        _mm256_add_epi32(acc, _mm256_mullo_epi32(Load(args.sums + f), widen(args.difference + f)));
    if (args.background != nullptr) {
      acc = _mm256_add_epi32(acc, _mm256_mullo_epi32(box, widen(args.background + f)));
    }
    Store(args.acc + f, acc);
  }
}

void Write(const WriteArgs& arguments) {
  const WriteArgs args = arguments;  // outputs, which are bytes, overwrite none of them
  const __m256i zero_point = _mm256_set1_epi32(args.zero_point);
  const __m256i least = _mm256_set1_epi32(args.least), most = _mm256_set1_epi32(args.most);
  for (int f = 0; f < args.filters; f += 8) {
    __m128i rounded[2];
    for (int half = 0; half < 2; ++half) {
      const int at = f + 4 * half;
      const __m128i acc = _mm_loadu_si128(reinterpret_cast<const __m128i*>(args.acc + at));
      rounded[half] = MultiplyByReal(acc, args.multipliers + at);
    }
    __m256i y = _mm256_add_epi32(_mm256_set_m128i(rounded[1], rounded[0]), zero_point);
    y = _mm256_min_epi32(_mm256_max_epi32(y, least), most);
    const __m128i words =
        _mm_packs_epi32(_mm256_castsi256_si128(y), _mm256_extracti128_si256(y, 1));
    const __m128i bytes = _mm_packs_epi16(words, words);
    if (args.filters - f >= 8) {
      _mm_storel_epi64(reinterpret_cast<__m128i*>(args.out + f), bytes);
    } else {
      int8_t last[16];
      _mm_storeu_si128(reinterpret_cast<__m128i*>(last), bytes);
      for (int i = 0; f + i < args.filters; ++i) args.out[f + i] = last[i];
    }
  }
}

}  // namespace

const RowOps kRowOpsAvx2 = {MakeTables, LookUp, Add, Write};

}  // namespace row
}  // namespace tf_signbin
