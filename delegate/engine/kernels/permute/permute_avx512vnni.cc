// Register-permute family: tables from dot products (AVX-512 VNNI). See permute_ops.h.
#include <immintrin.h>

#include "engine/kernels/permute/permute_ops.h"

namespace tf_signbin {
namespace {

// Four adjacent bytes in each 32-bit lane. A masked load serves pixels so near the end of the input
// that a plain one would leave it.
template <bool kMasked>
inline __m512i Broadcast4(const int8_t* x, int left) {
  if (kMasked) {
    const int count = left < 0 ? 0 : left > 4 ? 4 : left;
    return _mm512_broadcastd_epi32(
        _mm_maskz_loadu_epi8(static_cast<__mmask16>((1u << count) - 1), x));
  }
  return _mm512_broadcastd_epi32(_mm_loadu_si32(x));
}

// The tables of one pixel. Lane l of a dot product sums the subset of channels 0-3 whose bits are l;
// the pack puts four lanes without channel 4 (of the first half, if folded) before the four with it
// (of the second half), which is the order of SubsetPosition.
template <int kRegisters, bool kFolded, bool kMasked>
inline __attribute__((always_inline)) void BuildPixel(const TableRow& r, const int8_t* pixel,
                                                      char* table) {
  const __m512i subsets = _mm512_setr_epi32(
      0, 1, 0x100, 0x101, 0x10000, 0x10001, 0x10100, 0x10101, 0x1000000, 0x1000001, 0x1000100,
      0x1000101, 0x1010000, 0x1010001, 0x1010100, 0x1010101);
  const __m512i first = _mm512_set1_epi32(1);
  const __m512i zero = _mm512_setzero_si512();
  const int channels = r.recipe->channels;
  for (const TableUnit *unit = r.units, *end = unit + r.unit_count; unit != end; ++unit) {
    const int8_t* x = pixel + unit->channel;
    int left = unit->count;
    for (int g = unit->groups; g > 0; --g) {
      const __m512i low = _mm512_dpbusd_epi32(zero, subsets, Broadcast4<kMasked>(x, left));
      const __m512i next = Broadcast4<kMasked>(x + 4, left - 4);
      const __m512i high = kFolded ? _mm512_dpbusd_epi32(zero, subsets, next)
                                   : _mm512_dpbusd_epi32(low, first, next);
      const __m512i sums = _mm512_packs_epi32(low, high);
      _mm512_store_si512(table, sums);
      if (kRegisters == 2) {
        const int fifth = kMasked && left < 6 ? 0 : x[5];
        _mm512_store_si512(table + 64, _mm512_add_epi16(
                                           sums, _mm512_set1_epi16(static_cast<short>(fifth))));
      }
      table += kRegisters * 64;
      x += channels;
      left -= channels;
    }
  }
}

template <int kRegisters, bool kFolded>
void Build(const TableRow& r) {
  // Columns [inside, right) are input pixels, those from `masked` on near the end of the input.
  int inside = r.columns, right = r.columns, masked = r.columns;
  const int8_t* pixel = nullptr;
  const ptrdiff_t pixel_bytes = static_cast<ptrdiff_t>(r.step) * r.in_c;
  if (r.row != nullptr) {
    const auto columns_before = [&r](int x) {
      const int columns = x > r.first_x ? (x - r.first_x + r.step - 1) / r.step : 0;
      return columns < r.columns ? columns : r.columns;
    };
    inside = columns_before(0);
    right = columns_before(r.in_w);
    pixel = static_cast<const int8_t*>(r.row) +
            (r.first_x + static_cast<ptrdiff_t>(inside) * r.step) * r.in_c;
    masked = right;
    while (masked > inside && NearEnd(r, pixel + (masked - 1 - inside) * pixel_bytes)) --masked;
  }
  char* table = r.tables;
  int column = 0;
  const int8_t* padding = static_cast<const int8_t*>(r.padding);
  for (; column < inside; ++column, table += r.column_bytes) {
    BuildPixel<kRegisters, kFolded, false>(r, padding, table);
  }
  for (; column < masked; ++column, table += r.column_bytes, pixel += pixel_bytes) {
    BuildPixel<kRegisters, kFolded, false>(r, pixel, table);
  }
  for (; column < right; ++column, table += r.column_bytes, pixel += pixel_bytes) {
    BuildPixel<kRegisters, kFolded, true>(r, pixel, table);
  }
  for (; column < r.columns; ++column, table += r.column_bytes) {
    BuildPixel<kRegisters, kFolded, false>(r, padding, table);
  }
}

}  // namespace

void BuildDotTables(const TableRow& r) {
  if (r.recipe->folded) return Build<1, true>(r);
  return r.recipe->registers == 2 ? Build<2, false>(r) : Build<1, false>(r);
}

}  // namespace tf_signbin
