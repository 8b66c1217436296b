// Register-permute family: tables and sums of pixels (AVX-512 F, BW, DQ, VL). See permute_ops.h.
#include <immintrin.h>

#include "engine/kernels/permute/permute_ops.h"

namespace tf_signbin {
namespace {

// ---------------------------------------------------------------- tables, int8 activations

// A unit's channels as 16-bit lanes. Lanes beyond `count` are arbitrary, except that kZeroLaneI8
// is 0 (and lane 15 where negatives are made of lanes 0-15). A masked load costs more than a plain
// one, so it only serves pixels so near the end of the input that the plain one would leave it.
inline __m512i LoadChannels(const int8_t* x, int count, bool masked, bool negatives) {
  if (masked) {
    return _mm512_cvtepi8_epi16(
        _mm256_maskz_loadu_epi8(static_cast<__mmask32>((1u << count) - 1), x));
  }
  if (negatives) {
    return _mm512_maskz_cvtepi8_epi16(
        0x7fff, _mm256_castsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(x))));
  }
  if (count <= 16) {
    return _mm512_cvtepi8_epi16(
        _mm256_zextsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(x))));
  }
  return _mm512_maskz_cvtepi8_epi16(0x7fffffff,
                                    _mm256_loadu_si256(reinterpret_cast<const __m256i*>(x)));
}

// All subsets of up to 6 channels, in two steps (TableRecipe): the tables of one pixel.
template <int kRegisters, bool kMasked>
inline __attribute__((always_inline)) void BuildFullPixelI8(const TableRow& r, const int8_t* pixel,
                                                            char* table) {
  const TableRecipe& recipe = *r.recipe;
  const __m512i pair_channels = _mm512_load_si512(recipe.pair_channels);
  const __m512i pair_used = _mm512_load_si512(recipe.pair_used);
  const __m512i third_channel = _mm512_load_si512(recipe.third_channel);
  const __m512i third_used = _mm512_load_si512(recipe.third_used);
  const __m512i low0 = _mm512_load_si512(recipe.low[0]), low1 = _mm512_load_si512(recipe.low[1]);
  const __m512i high00 = _mm512_load_si512(recipe.high[0][0]),
                high01 = _mm512_load_si512(recipe.high[0][1]),
                high10 = _mm512_load_si512(recipe.high[1][0]),
                high11 = _mm512_load_si512(recipe.high[1][1]);
  for (const TableUnit *unit = r.units, *end = unit + r.unit_count; unit != end; ++unit) {
    const int8_t* channels = pixel + unit->channel;
    const __m512i x = _mm512_broadcast_i32x4(
        kMasked ? _mm_maskz_loadu_epi8(static_cast<__mmask16>((1u << unit->count) - 1), channels)
                : _mm_loadu_si128(reinterpret_cast<const __m128i*>(channels)));
    const __m512i sums =
        _mm512_add_epi16(_mm512_maddubs_epi16(pair_used, _mm512_shuffle_epi8(x, pair_channels)),
                         _mm512_maddubs_epi16(third_used, _mm512_shuffle_epi8(x, third_channel)));
    const __m512i sums_low0 = _mm512_permutexvar_epi16(low0, sums);
    const __m512i sums_low1 = _mm512_permutexvar_epi16(low1, sums);
    _mm512_store_si512(table, _mm512_add_epi16(sums_low0, _mm512_permutexvar_epi16(high00, sums)));
    if (kRegisters == 2) {
      _mm512_store_si512(table + 64,
                         _mm512_add_epi16(sums_low0, _mm512_permutexvar_epi16(high01, sums)));
    }
    table += kRegisters * 64;
    if (unit->groups == 1) continue;
    _mm512_store_si512(table, _mm512_add_epi16(sums_low1, _mm512_permutexvar_epi16(high10, sums)));
    if (kRegisters == 2) {
      _mm512_store_si512(table + 64,
                         _mm512_add_epi16(sums_low1, _mm512_permutexvar_epi16(high11, sums)));
    }
    table += kRegisters * 64;
  }
}

template <int kRegisters>
void BuildFullI8(const TableRow& r) {
  char* table = r.tables;
  for (int column = 0; column < r.columns; ++column, table += r.column_bytes) {
    const int8_t* pixel = PixelOf<int8_t>(r, column);
    if (NearEnd(r, pixel)) {
      BuildFullPixelI8<kRegisters, true>(r, pixel, table);
    } else {
      BuildFullPixelI8<kRegisters, false>(r, pixel, table);
    }
  }
}

template <int kTerms>
struct TermLanes {
  __m512i term[kTerms];
};

template <int kTerms>
inline __attribute__((always_inline)) void StoreTerms(char* table, __m512i x,
                                                      const TermLanes<kTerms>& lanes) {
  __m512i sum = _mm512_permutexvar_epi16(lanes.term[0], x);
  for (int t = 1; t < kTerms; ++t) {
    sum = _mm512_add_epi16(sum, _mm512_permutexvar_epi16(lanes.term[t], x));
  }
  _mm512_store_si512(table, sum);
}

// Tables whose entries sum up to kTerms of the unit's channels (or their negatives).
template <int kTerms, bool kNegatives, int kRegisters>
void BuildTermsI8(const TableRow& r) {
  TermLanes<kTerms> lanes[kUnitGroupsI8][2];
  for (int g = 0; g < kUnitGroupsI8; ++g) {
    for (int half = 0; half < 2; ++half) {
      for (int t = 0; t < kTerms; ++t) {
        lanes[g][half].term[t] = _mm512_load_si512(r.recipe->lanes_i8[g][half][t]);
      }
    }
  }
  char* column_tables = r.tables;
  for (int column = 0; column < r.columns; ++column, column_tables += r.column_bytes) {
    const int8_t* pixel = PixelOf<int8_t>(r, column);
    const bool masked = NearEnd(r, pixel);
    char* table = column_tables;
    for (const TableUnit *unit = r.units, *end = unit + r.unit_count; unit != end; ++unit) {
      __m512i x = LoadChannels(pixel + unit->channel, unit->count, masked, kNegatives);
      if (kNegatives) {
        x = _mm512_broadcast_i64x4(_mm512_castsi512_si256(x));
        x = _mm512_mask_sub_epi16(x, 0xffff0000u, _mm512_setzero_si512(), x);
      }
      StoreTerms<kTerms>(table, x, lanes[0][0]);
      if (kRegisters == 2) StoreTerms<kTerms>(table + 64, x, lanes[0][1]);
      table += kRegisters * 64;
      if (unit->groups == 1) continue;
      StoreTerms<kTerms>(table, x, lanes[1][0]);
      if (kRegisters == 2) StoreTerms<kTerms>(table + 64, x, lanes[1][1]);
      table += kRegisters * 64;
    }
  }
}

template <bool kNegatives, int kRegisters>
void BuildTermsI8(const TableRow& r) {
  switch (r.recipe->terms) {
    case 0:
    case 1:
      return BuildTermsI8<1, kNegatives, kRegisters>(r);
    case 2:
      return BuildTermsI8<2, kNegatives, kRegisters>(r);
    default:
      return BuildTermsI8<3, kNegatives, kRegisters>(r);
  }
}

}  // namespace

void BuildTablesI8(const TableRow& r) {
  if (r.recipe->full) {
    return r.recipe->registers == 2 ? BuildFullI8<2>(r) : BuildFullI8<1>(r);
  }
  if (r.recipe->negatives) {
    return r.recipe->registers == 2 ? BuildTermsI8<true, 2>(r) : BuildTermsI8<true, 1>(r);
  }
  return r.recipe->registers == 2 ? BuildTermsI8<false, 2>(r) : BuildTermsI8<false, 1>(r);
}

// ---------------------------------------------------------------- tables, float32 activations

namespace {

// Subsets of the first `kCount` of channels 0-3: lane l holds the subset whose bits are l.
template <int kCount>
inline __attribute__((always_inline)) __m512 SubsetsOf4(const float* x) {
  __m512 low = _mm512_maskz_mov_ps(0xaaaa, _mm512_set1_ps(x[0]));
  if (kCount > 1) low = _mm512_mask_add_ps(low, 0xcccc, low, _mm512_set1_ps(x[1]));
  if (kCount <= 2) return low;
  __m512 high = _mm512_maskz_mov_ps(0xf0f0, _mm512_set1_ps(x[2]));
  if (kCount > 3) high = _mm512_mask_add_ps(high, 0xff00, high, _mm512_set1_ps(x[3]));
  return _mm512_add_ps(low, high);
}

// The tables of one pixel; units of fewer than all channels (the last of a region) come last.
template <int kRegisters>
inline __attribute__((always_inline)) void BuildFullPixelF32(const TableRow& r, const float* pixel,
                                                             char* table) {
  constexpr int kChannels = 3 + kRegisters, kTogether = 4;
  const TableUnit *unit = r.units, *const end = unit + r.unit_count;
  const auto whole = [](const TableUnit& first) {  // kTogether units, one behind the other
    const TableUnit& last = (&first)[kTogether - 1];
    return last.count == kChannels && last.channel - first.channel == (kTogether - 1) * kChannels;
  };
  for (; end - unit >= kTogether && whole(*unit); unit += kTogether) {
    const float* x = pixel + unit->channel;
    for (int i = 0; i < kTogether; ++i, x += kChannels, table += kRegisters * 64) {
      const __m512 low = SubsetsOf4<4>(x);
      _mm512_store_ps(table, low);
      if (kRegisters == 2) _mm512_store_ps(table + 64, _mm512_add_ps(low, _mm512_set1_ps(x[4])));
    }
  }
  for (; unit != end; ++unit, table += kRegisters * 64) {
    const float* x = pixel + unit->channel;
    const __m512 low = unit->count >= 4   ? SubsetsOf4<4>(x)
                       : unit->count == 3 ? SubsetsOf4<3>(x)
                       : unit->count == 2 ? SubsetsOf4<2>(x)
                                          : SubsetsOf4<1>(x);
    _mm512_store_ps(table, low);
    if (unit->count == kChannels && kRegisters == 2) {
      _mm512_store_ps(table + 64, _mm512_add_ps(low, _mm512_set1_ps(x[4])));
    }
  }
}

void BuildFullF32(const TableRow& r) {
  char* table = r.tables;
  for (int column = 0; column < r.columns; ++column, table += r.column_bytes) {
    const float* pixel = PixelOf<float>(r, column);
    if (r.recipe->registers == 2) {
      BuildFullPixelF32<2>(r, pixel, table);
    } else {
      BuildFullPixelF32<1>(r, pixel, table);
    }
  }
}

template <int kTerms, bool kNegatives>
void BuildTermsF32(const TableRow& r) {
  __m512i lanes[2][kTerms];
  for (int half = 0; half < 2; ++half) {
    for (int t = 0; t < kTerms; ++t) {
      lanes[half][t] = _mm512_load_si512(r.recipe->lanes_f32[half][t]);
    }
  }
  const int registers = r.recipe->registers;
  char* column_tables = r.tables;
  for (int column = 0; column < r.columns; ++column, column_tables += r.column_bytes) {
    const float* pixel = PixelOf<float>(r, column);
    char* table = column_tables;
    for (int u = 0; u < r.unit_count; ++u) {
      const TableUnit& unit = r.units[u];
      __m512 x = _mm512_maskz_loadu_ps(static_cast<__mmask16>((1u << unit.count) - 1),
                                       pixel + unit.channel);
      if (kNegatives) {
        x = _mm512_broadcast_f32x8(_mm512_castps512_ps256(x));
        x = _mm512_mask_sub_ps(x, 0xff00, _mm512_setzero_ps(), x);
      }
      for (int half = 0; half < registers; ++half, table += 64) {
        __m512 sum = _mm512_permutexvar_ps(lanes[half][0], x);
        for (int t = 1; t < kTerms; ++t) {
          sum = _mm512_add_ps(sum, _mm512_permutexvar_ps(lanes[half][t], x));
        }
        _mm512_store_ps(table, sum);
      }
    }
  }
}

}  // namespace

void BuildTablesF32(const TableRow& r) {
  if (r.recipe->full) return BuildFullF32(r);
  switch (r.recipe->terms * 2 + r.recipe->negatives) {
    case 0:
    case 2:
      return BuildTermsF32<1, false>(r);
    case 4:
      return BuildTermsF32<2, false>(r);
    case 6:
      return BuildTermsF32<3, false>(r);
    case 1:
    case 3:
      return BuildTermsF32<1, true>(r);
    case 5:
      return BuildTermsF32<2, true>(r);
    default:
      return BuildTermsF32<3, true>(r);
  }
}

// ---------------------------------------------------------------- column sums

namespace {

// The totals of four vectors of 64-bit lanes, each below 2^32.
inline __m128i Totals(const __m512i (&sums)[4]) {
  const __m512i pairs01 = _mm512_add_epi64(_mm512_unpacklo_epi64(sums[0], sums[1]),
                                           _mm512_unpackhi_epi64(sums[0], sums[1]));
  const __m512i pairs23 = _mm512_add_epi64(_mm512_unpacklo_epi64(sums[2], sums[3]),
                                           _mm512_unpackhi_epi64(sums[2], sums[3]));
  const __m512i mixed = _mm512_or_si512(pairs01, _mm512_slli_epi64(pairs23, 32));
  const __m256i halves =
      _mm256_add_epi32(_mm512_castsi512_si256(mixed), _mm512_extracti64x4_epi64(mixed, 1));
  const __m128i totals =
      _mm_add_epi32(_mm256_castsi256_si128(halves), _mm256_extracti128_si256(halves, 1));
  return _mm_shuffle_epi32(totals, _MM_SHUFFLE(3, 1, 2, 0));
}

}  // namespace

void ColumnSumsI8(const ColumnSums& s) {
  // Bytes are summed as unsigned, offset by 128, eight at a time; the lanes of four columns are
  // added up together.
  constexpr int kTogether = 4;
  const int channels = s.in_c / s.regions;
  const __m512i offset = _mm512_set1_epi8(-128), zero = _mm512_setzero_si512();
  const __m128i offsets = _mm_set1_epi32(128 * channels);
  const __m128i places = _mm_mullo_epi32(_mm_setr_epi32(0, 1, 2, 3), _mm_set1_epi32(s.regions));
  const __mmask64 tail = (uint64_t{1} << (channels % 64)) - 1;
  const ptrdiff_t pixel_step = static_cast<ptrdiff_t>(s.step) * s.in_c;
  const auto sum_of = [&](const int8_t* x) {
    __m512i sum = zero;
    const int8_t* const whole_end = x + channels / 64 * 64;
    for (; x != whole_end; x += 64) {
      const __m512i bytes = _mm512_xor_si512(_mm512_loadu_si512(x), offset);
      sum = _mm512_add_epi64(sum, _mm512_sad_epu8(bytes, zero));
    }
    if (tail == 0) return sum;
    const __m512i bytes = _mm512_xor_si512(_mm512_mask_loadu_epi8(offset, tail, x), offset);
    return _mm512_add_epi64(sum, _mm512_sad_epu8(bytes, zero));
  };
  for (int region = 0; region < s.regions; ++region) {
    int32_t* out = static_cast<int32_t*>(s.out) + region;
    for (int column = 0; column < s.columns; column += kTogether) {
      const int8_t* pixels[kTogether];  // past the last column, too: not stored
      const int x = s.first_x + column * s.step;
      const bool inside_row = s.row != nullptr && x >= 0 && x + (kTogether - 1) * s.step < s.in_w;
      if (inside_row) {
        pixels[0] = static_cast<const int8_t*>(s.row) + static_cast<ptrdiff_t>(x) * s.in_c;
        for (int i = 1; i < kTogether; ++i) pixels[i] = pixels[i - 1] + pixel_step;
      } else {
        for (int i = 0; i < kTogether; ++i) pixels[i] = PixelOf<int8_t>(s, column + i);
      }
      const ptrdiff_t first = static_cast<ptrdiff_t>(region) * channels;
      const __m512i sums[kTogether] = {sum_of(pixels[0] + first), sum_of(pixels[1] + first),
                                       sum_of(pixels[2] + first), sum_of(pixels[3] + first)};
      const int left = s.columns - column;
      const __mmask8 wanted = static_cast<__mmask8>(left < kTogether ? (1 << left) - 1 : 0xf);
      const __m128i totals = _mm_sub_epi32(Totals(sums), offsets);
      if (s.regions == 1) {
        _mm_mask_storeu_epi32(out, wanted, totals);
      } else {
        _mm_mask_i32scatter_epi32(out, wanted, places, totals, sizeof(*out));
      }
      out += kTogether * s.regions;
    }
  }
}

void ColumnSumsF32(const ColumnSums& s) {
  const int channels = s.in_c / s.regions;
  float* out = static_cast<float*>(s.out);
  for (int column = 0; column < s.columns; ++column) {
    const float* x = PixelOf<float>(s, column);
    for (int region = 0; region < s.regions; ++region, x += channels) {
      __m512 sum = _mm512_setzero_ps();
      for (int c = 0; c < channels; c += 16) {
        const int left = channels - c;
        const __mmask16 mask = static_cast<__mmask16>(left >= 16 ? 0xffff : (1u << left) - 1);
        sum = _mm512_add_ps(sum, _mm512_maskz_loadu_ps(mask, x + c));
      }
      *out++ = _mm512_reduce_add_ps(sum);
    }
  }
}

}  // namespace tf_signbin
