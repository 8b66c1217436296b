// Dense family, the tables that its microkernels look sums up in (AVX-512 F, BW, DQ, VL, VNNI; the
// functions marked so also take VBMI, which not every processor with VNNI has). See dense_ops.h.
#include <immintrin.h>

#include "engine/kernels/dense/dense_ops.h"
#include "engine/kernels/output/filter_lanes_avx512-inl.h"

#define TF_SIGNBIN_VBMI __attribute__((target("avx512vbmi")))

namespace tf_signbin {
namespace {

struct Recipe {
  __m512i channel[kMostTerms];
  __mmask64 used[kMostTerms];
};

// Tables of a group, of its channels with the zero point taken off.
template <int kTerms>
TF_SIGNBIN_VBMI inline __m512i TablesOf(const Recipe& recipe, __m512i x) {
  __m512i tables = _mm512_maskz_permutexvar_epi8(recipe.used[0], recipe.channel[0], x);
  for (int term = 1; term < kTerms; ++term) {
    tables = _mm512_add_epi8(
        tables, _mm512_maskz_permutexvar_epi8(recipe.used[term], recipe.channel[term], x));
  }
  return tables;
}

// The tables of `columns` pixels; where wanted, the sums of their channels.
template <int kTerms, bool kSums>
TF_SIGNBIN_VBMI void MakeTables(const DenseRow& r, const int8_t* in, int columns, int8_t* out,
                                int32_t* sums) {
  Recipe recipe;
  for (int term = 0; term < kTerms; ++term) {
    recipe.channel[term] = _mm512_load_si512(r.recipe->channel[term]);
    recipe.used[term] = r.recipe->used[term];
  }
  const __m512i zero_point = _mm512_set1_epi8(r.padding), ones = _mm512_set1_epi8(1);
  const int group = r.recipe->channels;
  for (int column = 0; column < columns; ++column) {
    __m512i sum = _mm512_setzero_si512();
    for (int c = 0; c < r.in_c; c += group, out += kTableBytes) {
      const __mmask64 inside = FirstBytes(r.in_c - c < group ? r.in_c - c : group);
      const __m512i x =
          _mm512_maskz_sub_epi8(inside, _mm512_maskz_loadu_epi8(inside, in + c), zero_point);
      _mm512_store_si512(out, TablesOf<kTerms>(recipe, x));
      if (kSums) sum = _mm512_dpbusd_epi32(sum, x, ones);
    }
    if (kSums) sums[column] = _mm512_reduce_add_epi32(sum);
    in += static_cast<ptrdiff_t>(r.step) * r.in_c;
  }
}

template <bool kSums>
void MakeTables(const DenseRow& r, const int8_t* in, int columns, int8_t* out, int32_t* sums) {
  switch (r.recipe->terms) {
    case 4:
      return MakeTables<4, kSums>(r, in, columns, out, sums);
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
