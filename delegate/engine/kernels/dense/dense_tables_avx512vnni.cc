// Dense family, the tables that its microkernels look sums up in (AVX-512 F, BW, DQ, VL, VNNI; the
// functions marked so also take VBMI, which not every processor with VNNI has). See dense_ops.h.
#include <immintrin.h>

#include "engine/kernels/dense/dense_ops.h"
#include "engine/kernels/output/filter_lanes_avx512-inl.h"

#define TF_SIGNBIN_VBMI __attribute__((target("avx512vbmi")))

namespace tf_signbin {
namespace {

struct Recipe {
  __m512i place[kMostTerms];
  __mmask64 used[kMostTerms];

  // `shift` places on.
  Recipe(const DenseTableRecipe& r, int terms, char shift = 0) {
    for (int term = 0; term < terms; ++term) {
      place[term] = _mm512_add_epi8(_mm512_load_si512(r.place[term]), _mm512_set1_epi8(shift));
      used[term] = r.used[term];
    }
  }
};

// Tables of a group, of its channels with the zero point taken off (and their pairs).
template <int kTerms>
TF_SIGNBIN_VBMI inline __m512i TablesOf(const Recipe& recipe, __m512i x) {
  __m512i tables = _mm512_maskz_permutexvar_epi8(recipe.used[0], recipe.place[0], x);
  for (int term = 1; term < kTerms; ++term) {
    tables = _mm512_add_epi8(
        tables, _mm512_maskz_permutexvar_epi8(recipe.used[term], recipe.place[term], x));
  }
  return tables;
}

// A group's channels with the zero point taken off, 0 behind them. `mask`: those that there are.
// And the sum of a pixel's channels, of several groups in turn.
struct SixteenChannels {
  __m128i zero_point;
  struct Sum {
    __m128i lanes = _mm_setzero_si128();

    void Add(__m512i x) {
      lanes = _mm_dpbusd_epi32(lanes, _mm512_castsi512_si128(x), _mm_set1_epi8(1));
    }
    int32_t Total() const {
      const __m128i pairs = _mm_add_epi32(lanes, _mm_unpackhi_epi64(lanes, lanes));
      return _mm_cvtsi128_si32(pairs) + _mm_extract_epi32(pairs, 1);
    }
  };

  __m512i operator()(const int8_t* in, __mmask64 mask) const {
    const __mmask16 inside = static_cast<__mmask16>(mask);
    return _mm512_zextsi128_si512(
        _mm_maskz_sub_epi8(inside, _mm_maskz_loadu_epi8(inside, in), zero_point));
  }
};
struct Channels {
  __m512i zero_point;
  struct Sum {
    __m512i lanes = _mm512_setzero_si512();

    void Add(__m512i x) { lanes = _mm512_dpbusd_epi32(lanes, x, _mm512_set1_epi8(1)); }
    int32_t Total() const { return _mm512_reduce_add_epi32(lanes); }
  };

  __m512i operator()(const int8_t* in, __mmask64 mask) const {
    return _mm512_maskz_sub_epi8(mask, _mm512_maskz_loadu_epi8(mask, in), zero_point);
  }
};

// The tables of `columns` pixels; where wanted, the sums of their channels.
template <int kTerms, bool kSums, typename Load>
TF_SIGNBIN_VBMI void MakeTables(const DenseRow& r, const Load& load, const int8_t* in, int columns,
                                int8_t* out, int32_t* sums) {
  const Recipe recipe(*r.recipe, kTerms);
  const int group = r.recipe->channels, whole = r.in_c - r.in_c % group;
  const __mmask64 all = FirstBytes(group), rest = FirstBytes(r.in_c - whole);
  for (int column = 0; column < columns; ++column) {
    typename Load::Sum sum;
    for (int c = 0; c < whole; c += group, out += kTableBytes) {
      const __m512i x = load(in + c, all);
      _mm512_store_si512(out, TablesOf<kTerms>(recipe, x));
      if (kSums) sum.Add(x);
    }
    if (whole < r.in_c) {
      const __m512i x = load(in + whole, rest);
      _mm512_store_si512(out, TablesOf<kTerms>(recipe, x));
      if (kSums) sum.Add(x);
      out += kTableBytes;
    }
    if (kSums) sums[column] = sum.Total();
    in += static_cast<ptrdiff_t>(r.step) * r.in_c;
  }
}

// The same of pairs, for two groups of 16 channels at a time.
template <bool kSums>
TF_SIGNBIN_VBMI void MakePairedTables(const DenseRow& r, const int8_t* in, int columns, int8_t* out,
                                      int32_t* sums) {
  constexpr int kGroup = kPairedChannels / 2;
  const Recipe first(*r.recipe, 2), second(*r.recipe, 2, kGroup);
  const __m256i zero_point = _mm256_set1_epi8(r.padding);
  for (int column = 0; column < columns; ++column) {
    __m256i sum = _mm256_setzero_si256();
    for (int c = 0; c < r.in_c; c += kPairedChannels) {
      const auto inside = static_cast<__mmask32>(FirstBytes(r.in_c - c));
      const __m256i channels =
          _mm256_maskz_sub_epi8(inside, _mm256_maskz_loadu_epi8(inside, in + c), zero_point);
      const __m256i pairs = _mm256_maddubs_epi16(channels, _mm256_set1_epi8(1));
      const __m512i x = _mm512_inserti64x4(_mm512_castsi256_si512(channels), pairs, 1);
      _mm512_store_si512(out, TablesOf<2>(first, x));
      out += kTableBytes;
      if (c + kGroup < r.in_c) {
        _mm512_store_si512(out, TablesOf<2>(second, x));
        out += kTableBytes;
      }
      if (kSums) {
        sum = _mm256_add_epi64(sum, _mm256_sad_epu8(channels, _mm256_setzero_si256()));
      }
    }
    if (kSums) {
      const __m128i half =
          _mm_add_epi64(_mm256_castsi256_si128(sum), _mm256_extracti128_si256(sum, 1));
      sums[column] = _mm_cvtsi128_si32(_mm_add_epi64(half, _mm_unpackhi_epi64(half, half)));
    }
    in += static_cast<ptrdiff_t>(r.step) * r.in_c;
  }
}

template <int kTerms, bool kSums>
void MakeTables(const DenseRow& r, const int8_t* in, int columns, int8_t* out, int32_t* sums) {
  if (r.recipe->channels <= 16) {  // loads of fewer bytes cross fewer cache lines
    const SixteenChannels load{_mm_set1_epi8(r.padding)};
    return MakeTables<kTerms, kSums>(r, load, in, columns, out, sums);
  }
  MakeTables<kTerms, kSums>(r, Channels{_mm512_set1_epi8(r.padding)}, in, columns, out, sums);
}

template <bool kSums>
void MakeTables(const DenseRow& r, const int8_t* in, int columns, int8_t* out, int32_t* sums) {
  if (r.recipe->paired) return MakePairedTables<kSums>(r, in, columns, out, sums);
  switch (r.recipe->terms) {
    case 3:
      return MakeTables<3, kSums>(r, in, columns, out, sums);
    case 2:
      return MakeTables<2, kSums>(r, in, columns, out, sums);
    default:
      return MakeTables<1, kSums>(r, in, columns, out, sums);
  }
}

void FillWithZeros(int8_t* out, ptrdiff_t tables) {
  for (; tables > 0; --tables, out += kTableBytes) {
    _mm512_store_si512(out, _mm512_setzero_si512());
  }
}

}  // namespace

void DenseTableRow(const DenseRow& r) {
  const int right = r.row == nullptr ? 0 : r.right;
  const int inside = r.row == nullptr ? 0 : r.inside;
  const ptrdiff_t column_tables = r.padded_c / r.recipe->channels;
  FillWithZeros(r.out, inside * column_tables);
  FillWithZeros(r.out + right * column_tables * kTableBytes, (r.columns - right) * column_tables);
  if (r.sums != nullptr) {
    for (int column = 0; column < r.columns; ++column) r.sums[column] = 0;
  }
  if (right <= inside) return;
  const int8_t* in = r.row + static_cast<ptrdiff_t>(r.inside_x) * r.in_c;
  int8_t* out = r.out + inside * column_tables * kTableBytes;
  if (r.sums == nullptr) {
    MakeTables<false>(r, in, right - inside, out, nullptr);
  } else {
    MakeTables<true>(r, in, right - inside, out, r.sums + inside);
  }
}

}  // namespace tf_signbin
