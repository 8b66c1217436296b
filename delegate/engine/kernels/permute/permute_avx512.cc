// Register-permute family, vector parts (AVX-512 F, BW, DQ, VL). See permute_ops.h.
#include <immintrin.h>

#include "engine/kernels/permute/permute_kernels.h"
#include "engine/kernels/permute/permute_ops.h"

namespace tf_signbin {
namespace {

template <typename T>
const T* Pixel(const void* row, const void* padding, int x, int in_w, int in_c) {
  if (row == nullptr || x < 0 || x >= in_w) return static_cast<const T*>(padding);
  return static_cast<const T*>(row) + static_cast<ptrdiff_t>(x) * in_c;
}

// ---------------------------------------------------------------- tables, int8 activations

// The `count` channels at x as 16-bit lanes; the other lanes are 0 and their memory is not read.
inline __m512i LoadChannels(const int8_t* x, __mmask32 mask) {
  return _mm512_cvtepi8_epi16(_mm256_maskz_loadu_epi8(mask, x));
}

inline void StoreHalf(char* table, int half, __m512i entries) {
  _mm512_store_si512(table + half * 64, entries);
}

// All subsets of up to 6 channels: entry = low[subset of channels 0-2] + high[subset of channels 3-5],
// and the eight low and eight high sums of both groups fill one register.
void BuildFullI8(const TableRow& r) {
  alignas(64) uint16_t source[3][32];
  alignas(64) uint16_t low[2][32];
  alignas(64) uint16_t high[2][2][32];
  for (int lane = 0; lane < 32; ++lane) {
    const int group = lane / 16, triple = lane / 8 % 2, subset = lane % 8;
    for (int c = 0; c < 3; ++c) {
      const int channel = triple * 3 + c;
      const bool used = (subset >> c & 1) && channel < r.recipe->channels;
      source[c][lane] =
          static_cast<uint16_t>(used ? group * r.recipe->channels + channel : kZeroLaneI8);
    }
    for (int g = 0; g < 2; ++g) {
      low[g][lane] = static_cast<uint16_t>(g * 16 + lane % 8);
      for (int half = 0; half < 2; ++half) {
        high[g][half][lane] = static_cast<uint16_t>(g * 16 + 8 + half * 4 + lane / 8);
      }
    }
  }
  const __m512i source0 = _mm512_load_si512(source[0]), source1 = _mm512_load_si512(source[1]),
                source2 = _mm512_load_si512(source[2]);
  const __m512i low0 = _mm512_load_si512(low[0]), low1 = _mm512_load_si512(low[1]);
  const __m512i high00 = _mm512_load_si512(high[0][0]), high01 = _mm512_load_si512(high[0][1]),
                high10 = _mm512_load_si512(high[1][0]), high11 = _mm512_load_si512(high[1][1]);
  char* column_tables = r.tables;
  for (int column = 0; column < r.columns; ++column, column_tables += r.column_bytes) {
    const int8_t* pixel =
        Pixel<int8_t>(r.row, r.padding, r.first_x + column * r.step, r.in_w, r.in_c);
    char* table = column_tables;
    for (int u = 0; u < r.unit_count; ++u) {
      const TableUnit& unit = r.units[u];
      const __m512i x =
          LoadChannels(pixel + unit.channel, static_cast<__mmask32>((1u << unit.count) - 1));
      const __m512i sums = _mm512_add_epi16(
          _mm512_add_epi16(_mm512_permutexvar_epi16(source0, x),
                           _mm512_permutexvar_epi16(source1, x)),
          _mm512_permutexvar_epi16(source2, x));
      const __m512i sums_low0 = _mm512_permutexvar_epi16(low0, sums);
      StoreHalf(table, 0, _mm512_add_epi16(sums_low0, _mm512_permutexvar_epi16(high00, sums)));
      StoreHalf(table, 1, _mm512_add_epi16(sums_low0, _mm512_permutexvar_epi16(high01, sums)));
      table += kTableBytes;
      if (unit.groups == 1) continue;
      const __m512i sums_low1 = _mm512_permutexvar_epi16(low1, sums);
      StoreHalf(table, 0, _mm512_add_epi16(sums_low1, _mm512_permutexvar_epi16(high10, sums)));
      StoreHalf(table, 1, _mm512_add_epi16(sums_low1, _mm512_permutexvar_epi16(high11, sums)));
      table += kTableBytes;
    }
  }
}

template <int kTerms, bool kNegatives>
void BuildTermsI8(const TableRow& r) {
  __m512i lanes[kUnitGroupsI8][2][kTerms];
  for (int g = 0; g < kUnitGroupsI8; ++g) {
    for (int half = 0; half < 2; ++half) {
      for (int t = 0; t < kTerms; ++t) {
        lanes[g][half][t] = _mm512_load_si512(r.recipe->lanes_i8[g][half][t]);
      }
    }
  }
  alignas(64) uint16_t twice[32];
  for (int lane = 0; lane < 32; ++lane) twice[lane] = static_cast<uint16_t>(lane % 16);
  const __m512i twice_lanes = _mm512_load_si512(twice);
  const bool second_half = r.recipe->halves == 2;
  char* column_tables = r.tables;
  for (int column = 0; column < r.columns; ++column, column_tables += r.column_bytes) {
    const int8_t* pixel =
        Pixel<int8_t>(r.row, r.padding, r.first_x + column * r.step, r.in_w, r.in_c);
    char* table = column_tables;
    for (int u = 0; u < r.unit_count; ++u) {
      const TableUnit& unit = r.units[u];
      __m512i x =
          LoadChannels(pixel + unit.channel, static_cast<__mmask32>((1u << unit.count) - 1));
      if (kNegatives) {
        x = _mm512_permutexvar_epi16(twice_lanes, x);
        x = _mm512_mask_sub_epi16(x, 0xffff0000u, _mm512_setzero_si512(), x);
      }
      for (int g = 0; g < unit.groups; ++g, table += kTableBytes) {
        for (int half = 0; half < (second_half ? 2 : 1); ++half) {
          __m512i sum = _mm512_permutexvar_epi16(lanes[g][half][0], x);
          for (int t = 1; t < kTerms; ++t) {
            sum = _mm512_add_epi16(sum, _mm512_permutexvar_epi16(lanes[g][half][t], x));
          }
          StoreHalf(table, half, sum);
        }
      }
    }
  }
}

void BuildTablesI8(const TableRow& r) {
  if (r.recipe->full) return BuildFullI8(r);
  switch (r.recipe->terms * 2 + r.recipe->negatives) {
    case 0: case 2: return BuildTermsI8<1, false>(r);
    case 4: return BuildTermsI8<2, false>(r);
    case 6: return BuildTermsI8<3, false>(r);
    case 1: case 3: return BuildTermsI8<1, true>(r);
    case 5: return BuildTermsI8<2, true>(r);
    default: return BuildTermsI8<3, true>(r);
  }
}

// ---------------------------------------------------------------- tables, float32 activations

void BuildFullF32(const TableRow& r) {
  // Lane l of the first register holds the subset of channels 0-3 whose bits are l.
  char* column_tables = r.tables;
  for (int column = 0; column < r.columns; ++column, column_tables += r.column_bytes) {
    const float* pixel =
        Pixel<float>(r.row, r.padding, r.first_x + column * r.step, r.in_w, r.in_c);
    char* table = column_tables;
    for (int u = 0; u < r.unit_count; ++u, table += kTableBytes) {
      const TableUnit& unit = r.units[u];
      const float* x = pixel + unit.channel;
      __m512 low = _mm512_maskz_mov_ps(0xaaaa, _mm512_set1_ps(x[0]));
      if (unit.count > 1) low = _mm512_mask_add_ps(low, 0xcccc, low, _mm512_set1_ps(x[1]));
      if (unit.count > 2) low = _mm512_mask_add_ps(low, 0xf0f0, low, _mm512_set1_ps(x[2]));
      if (unit.count > 3) low = _mm512_mask_add_ps(low, 0xff00, low, _mm512_set1_ps(x[3]));
      _mm512_store_ps(table, low);
      if (unit.count > 4) {
        _mm512_store_ps(table + 64, _mm512_add_ps(low, _mm512_set1_ps(x[4])));
      }
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
  const __m512i twice =
      _mm512_set_epi32(7, 6, 5, 4, 3, 2, 1, 0, 7, 6, 5, 4, 3, 2, 1, 0);
  const bool second_half = r.recipe->halves == 2;
  char* column_tables = r.tables;
  for (int column = 0; column < r.columns; ++column, column_tables += r.column_bytes) {
    const float* pixel =
        Pixel<float>(r.row, r.padding, r.first_x + column * r.step, r.in_w, r.in_c);
    char* table = column_tables;
    for (int u = 0; u < r.unit_count; ++u, table += kTableBytes) {
      const TableUnit& unit = r.units[u];
      __m512 x = _mm512_maskz_loadu_ps(static_cast<__mmask16>((1u << unit.count) - 1),
                                       pixel + unit.channel);
      if (kNegatives) {
        x = _mm512_permutexvar_ps(twice, x);
        x = _mm512_mask_sub_ps(x, 0xff00, _mm512_setzero_ps(), x);
      }
      for (int half = 0; half < (second_half ? 2 : 1); ++half) {
        __m512 sum = _mm512_permutexvar_ps(lanes[half][0], x);
        for (int t = 1; t < kTerms; ++t) {
          sum = _mm512_add_ps(sum, _mm512_permutexvar_ps(lanes[half][t], x));
        }
        _mm512_store_ps(table + half * 64, sum);
      }
    }
  }
}

void BuildTablesF32(const TableRow& r) {
  if (r.recipe->full) return BuildFullF32(r);
  switch (r.recipe->terms * 2 + r.recipe->negatives) {
    case 0: case 2: return BuildTermsF32<1, false>(r);
    case 4: return BuildTermsF32<2, false>(r);
    case 6: return BuildTermsF32<3, false>(r);
    case 1: case 3: return BuildTermsF32<1, true>(r);
    case 5: return BuildTermsF32<2, true>(r);
    default: return BuildTermsF32<3, true>(r);
  }
}

// ---------------------------------------------------------------- column sums

void ColumnSumsI8(const ColumnSums& s) {
  const int channels = s.in_c / s.regions;
  int32_t* out = static_cast<int32_t*>(s.out);
  const __m512i ones = _mm512_set1_epi16(1);
  for (int column = 0; column < s.columns; ++column) {
    const int8_t* x =
        Pixel<int8_t>(s.row, s.padding, s.first_x + column * s.step, s.in_w, s.in_c);
    for (int region = 0; region < s.regions; ++region, x += channels) {
      __m512i sum = _mm512_setzero_si512();
      for (int c = 0; c < channels; c += 32) {
        const int left = channels - c;
        const __mmask32 mask = left >= 32 ? ~0u : (1u << left) - 1;
        sum = _mm512_add_epi32(sum, _mm512_madd_epi16(LoadChannels(x + c, mask), ones));
      }
      *out++ = _mm512_reduce_add_epi32(sum);
    }
  }
}

void ColumnSumsF32(const ColumnSums& s) {
  const int channels = s.in_c / s.regions;
  float* out = static_cast<float*>(s.out);
  for (int column = 0; column < s.columns; ++column) {
    const float* x = Pixel<float>(s.row, s.padding, s.first_x + column * s.step, s.in_w, s.in_c);
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

// ---------------------------------------------------------------- accumulators to outputs

inline __m512i LoadParam(const void* params, int filter) {
  return _mm512_load_si512(static_cast<const int32_t*>(params) + filter);
}

// TFLite's MultiplyByQuantizedMultiplier: a rounding doubling high multiply, then a rounding shift.
// floor((x * m + 2^30) / 2^31) equals its nudge-and-truncate for either sign of the product.
struct Rescale {
  __m512i multiplier, multiplier_odd, left, right, rounding, rounds;
};

template <bool kLeftShift>
inline __m512i ApplyRescale(__m512i x, const Rescale& r) {
  if (kLeftShift) x = _mm512_sllv_epi32(x, r.left);
  const __m512i nudge = _mm512_set1_epi64(1 << 30);
  const __m512i even =
      _mm512_srli_epi64(_mm512_add_epi64(_mm512_mul_epi32(x, r.multiplier), nudge), 31);
  const __m512i odd = _mm512_slli_epi64(
      _mm512_add_epi64(_mm512_mul_epi32(_mm512_srli_epi64(x, 32), r.multiplier_odd), nudge), 1);
  x = _mm512_mask_blend_epi32(0xaaaa, even, odd);
  const __m512i sign = _mm512_and_si512(_mm512_srai_epi32(x, 31), r.rounds);
  return _mm512_srav_epi32(_mm512_add_epi32(_mm512_add_epi32(x, r.rounding), sign), r.right);
}

template <bool kLeftShift>
void FlushLastI8(const Flush& f) {
  const __m512i zero_point = _mm512_set1_epi32(f.zero_point);
  const __m512i clamp_min = _mm512_set1_epi32(f.clamp_min);
  const __m512i clamp_max = _mm512_set1_epi32(f.clamp_max);
  const int32_t* box = static_cast<const int32_t*>(f.box);
  for (int vector = 0; vector < f.vectors * 2; ++vector) {
    const int filter = f.first_filter + vector * 16;
    if (filter >= f.filters) break;
    const int left = f.filters - filter;
    const __mmask16 mask = static_cast<__mmask16>(left >= 16 ? 0xffff : (1u << left) - 1);
    Rescale rescale;
    rescale.multiplier = LoadParam(f.multiplier, filter);
    rescale.multiplier_odd = _mm512_srli_epi64(rescale.multiplier, 32);
    rescale.left = kLeftShift ? LoadParam(f.left_shift, filter) : _mm512_setzero_si512();
    rescale.right = LoadParam(f.right_shift, filter);
    rescale.rounding = LoadParam(f.rounding, filter);
    rescale.rounds = LoadParam(f.rounds, filter);
    const __m512i difference = LoadParam(f.difference, filter);
    const __m512i bias = LoadParam(f.bias, filter);
    const char* sums = f.sums + vector * 32;
    int8_t* out = static_cast<int8_t*>(f.out) + filter;
    const int32_t* accumulators = static_cast<const int32_t*>(f.accumulators) + filter;
    for (int p = 0; p < f.pixels; ++p) {
      __m512i x = _mm512_cvtepi16_epi32(
          _mm256_load_si256(reinterpret_cast<const __m256i*>(sums + p * f.vectors * 64)));
      x = _mm512_add_epi32(_mm512_mullo_epi32(x, difference), bias);
      if (!f.first) {
        x = _mm512_add_epi32(
            x, _mm512_load_si512(accumulators + static_cast<ptrdiff_t>(p) * f.padded_filters));
      }
      for (int region = 0; region < f.regions; ++region) {
        const __m512i background = LoadParam(
            static_cast<const int32_t*>(f.background) +
                static_cast<ptrdiff_t>(region) * f.padded_filters, filter);
        x = _mm512_add_epi32(
            x, _mm512_mullo_epi32(background, _mm512_set1_epi32(box[p * f.regions + region])));
      }
      x = _mm512_add_epi32(ApplyRescale<kLeftShift>(x, rescale), zero_point);
      x = _mm512_max_epi32(_mm512_min_epi32(x, clamp_max), clamp_min);
      const __m128i bytes = _mm512_cvtepi32_epi8(x);
      if (mask == 0xffff) {
        _mm_storeu_si128(reinterpret_cast<__m128i*>(out + p * f.out_pixel), bytes);
      } else {
        _mm_mask_storeu_epi8(out + p * f.out_pixel, mask, bytes);
      }
    }
  }
}

void FlushI8(const Flush& f) {
  if (f.last) return f.left_shift ? FlushLastI8<true>(f) : FlushLastI8<false>(f);
  for (int vector = 0; vector < f.vectors * 2; ++vector) {
    const int filter = f.first_filter + vector * 16;
    const __m512i difference = LoadParam(f.difference, filter);
    const char* sums = f.sums + vector * 32;
    int32_t* accumulators = static_cast<int32_t*>(f.accumulators) + filter;
    for (int p = 0; p < f.pixels; ++p, accumulators += f.padded_filters) {
      __m512i x = _mm512_cvtepi16_epi32(
          _mm256_load_si256(reinterpret_cast<const __m256i*>(sums + p * f.vectors * 64)));
      x = _mm512_mullo_epi32(x, difference);
      if (!f.first) x = _mm512_add_epi32(x, _mm512_load_si512(accumulators));
      _mm512_store_si512(accumulators, x);
    }
  }
}

void FlushF32(const Flush& f) {
  const __m512 clamp_min = _mm512_set1_ps(f.clamp_min_f32);
  const __m512 clamp_max = _mm512_set1_ps(f.clamp_max_f32);
  const float* box = static_cast<const float*>(f.box);
  for (int vector = 0; vector < f.vectors; ++vector) {
    const int filter = f.first_filter + vector * 16;
    if (filter >= f.filters) break;
    const int left = f.filters - filter;
    const __mmask16 mask = static_cast<__mmask16>(left >= 16 ? 0xffff : (1u << left) - 1);
    const __m512 difference = _mm512_load_ps(static_cast<const float*>(f.difference) + filter);
    const __m512 bias = _mm512_load_ps(static_cast<const float*>(f.bias) + filter);
    const char* sums = f.sums + vector * 64;
    float* accumulators = static_cast<float*>(f.accumulators) + filter;
    float* out = static_cast<float*>(f.out) + filter;
    for (int p = 0; p < f.pixels; ++p) {
      float* accumulator = accumulators + static_cast<ptrdiff_t>(p) * f.padded_filters;
      const __m512 sum = _mm512_load_ps(sums + p * f.vectors * 64);
      __m512 x = f.first ? _mm512_mul_ps(sum, difference)
                         : _mm512_fmadd_ps(sum, difference, _mm512_load_ps(accumulator));
      if (!f.last) {
        _mm512_store_ps(accumulator, x);
        continue;
      }
      for (int region = 0; region < f.regions; ++region) {
        const __m512 background =
            _mm512_load_ps(static_cast<const float*>(f.background) +
                           static_cast<ptrdiff_t>(region) * f.padded_filters + filter);
        x = _mm512_fmadd_ps(background, _mm512_set1_ps(box[p * f.regions + region]), x);
      }
      // Operand order keeps a NaN, as TFLite's reference does.
      x = _mm512_min_ps(clamp_max, _mm512_max_ps(clamp_min, _mm512_add_ps(x, bias)));
      if (mask == 0xffff) {
        _mm512_storeu_ps(out + p * f.out_pixel, x);
      } else {
        _mm512_mask_storeu_ps(out + p * f.out_pixel, mask, x);
      }
    }
  }
}

}  // namespace

const PermuteOps& PermuteOpsI8() {
  static constexpr PermuteOps ops = {BuildTablesI8, ColumnSumsI8, FlushI8};
  return ops;
}

const PermuteOps& PermuteOpsF32() {
  static constexpr PermuteOps ops = {BuildTablesF32, ColumnSumsF32, FlushF32};
  return ops;
}

}  // namespace tf_signbin
