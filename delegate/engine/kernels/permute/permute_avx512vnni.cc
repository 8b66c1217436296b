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

// One group's table, of one or two registers. Lane l of a dot product sums the subset of channels
// 0-3 whose bits are l; the pack puts four lanes without channel 4 (of the first half, if folded)
// before the four with it (of the second half), which is the order of SubsetPosition.
template <int kRegisters, bool kFolded, bool kMasked>
inline __attribute__((always_inline)) void BuildTable(const int8_t* x, int left, char* table) {
  const __m512i subsets = _mm512_setr_epi32(0, 1, 0x100, 0x101, 0x10000, 0x10001, 0x10100, 0x10101,
                                            0x1000000, 0x1000001, 0x1000100, 0x1000101, 0x1010000,
                                            0x1010001, 0x1010100, 0x1010101);
  const __m512i zero = _mm512_setzero_si512();
  const __m512i low = _mm512_dpbusd_epi32(zero, subsets, Broadcast4<kMasked>(x, left));
  const __m512i next = Broadcast4<kMasked>(x + 4, left - 4);
  const __m512i high = kFolded ? _mm512_dpbusd_epi32(zero, subsets, next)
                               : _mm512_dpbusd_epi32(low, _mm512_set1_epi32(1), next);
  const __m512i sums = _mm512_packs_epi32(low, high);
  _mm512_store_si512(table, sums);
  if (kRegisters == 2) {
    const int fifth = kMasked && left < 6 ? 0 : x[5];
    _mm512_store_si512(table + 64,
                       _mm512_add_epi16(sums, _mm512_set1_epi16(static_cast<short>(fifth))));
  }
}

// Columns [inside, right) of a row are input pixels, those from `masked` on near the input's end.
struct Columns {
  int inside, masked, right;
  const int8_t* first;  // pixel of column `inside`
  ptrdiff_t step;       // bytes
};

Columns FindColumns(const TableRow& r) {
  Columns c{r.columns, r.columns, r.columns, nullptr, static_cast<ptrdiff_t>(r.step) * r.in_c};
  if (r.row == nullptr) return c;
  const auto columns_before = [&r](int x) {
    const int columns = x > r.first_x ? (x - r.first_x + r.step - 1) / r.step : 0;
    return columns < r.columns ? columns : r.columns;
  };
  c.inside = columns_before(0);
  c.right = columns_before(r.in_w);
  c.first = static_cast<const int8_t*>(r.row) +
            (r.first_x + static_cast<ptrdiff_t>(c.inside) * r.step) * r.in_c;
  c.masked = c.right;
  while (c.masked > c.inside && NearEnd(r, c.first + (c.masked - 1 - c.inside) * c.step)) {
    --c.masked;
  }
  return c;
}

// All tables of one pixel. kGroups: how many, where that is known and few; a loop over few would be
// left too often to be predicted.
template <int kRegisters, bool kFolded, int kGroups, bool kMasked>
inline __attribute__((always_inline)) void BuildPixel(const TableRow& r, const int8_t* pixel,
                                                      char* table) {
  const int channels = r.recipe->channels;
  for (const TableUnit *unit = r.units, *end = unit + r.unit_count; unit != end; ++unit) {
    const int8_t* x = pixel + unit->channel;
    int left = unit->count;
    for (int g = kGroups != 0 ? kGroups : unit->groups; g > 0; --g) {
      BuildTable<kRegisters, kFolded, kMasked>(x, left, table);
      table += kRegisters * 64;
      x += channels;
      left -= channels;
    }
    if (kGroups != 0) return;
  }
}

template <int kRegisters, bool kFolded, int kGroups>
void Build(const TableRow& row) {
  const Columns c = FindColumns(row);
  const TableRow r = row;  // a copy that stores to tables cannot change
  const int8_t* padding = static_cast<const int8_t*>(r.padding);
  const int8_t* pixel = c.first;
  char* table = r.tables;
  int column = 0;
  for (; column < c.inside; ++column, table += r.column_bytes) {
    BuildPixel<kRegisters, kFolded, kGroups, false>(r, padding, table);
  }
  for (; column < c.masked; ++column, table += r.column_bytes, pixel += c.step) {
    BuildPixel<kRegisters, kFolded, kGroups, false>(r, pixel, table);
  }
  for (; column < c.right; ++column, table += r.column_bytes, pixel += c.step) {
    BuildPixel<kRegisters, kFolded, kGroups, true>(r, pixel, table);
  }
  for (; column < r.columns; ++column, table += r.column_bytes) {
    BuildPixel<kRegisters, kFolded, kGroups, false>(r, padding, table);
  }
}

}  // namespace

void BuildDotTables(const TableRow& r) {
  if (r.recipe->folded) {
    const bool pair = r.unit_count == 1 && r.units[0].groups == 2;
    return pair ? Build<1, true, 2>(r) : Build<1, true, 0>(r);
  }
  return r.recipe->registers == 2 ? Build<2, false, 0>(r) : Build<1, false, 0>(r);
}

}  // namespace tf_signbin
