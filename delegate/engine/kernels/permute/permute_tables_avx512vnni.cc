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

// In lane l the sum of the subset of four channels whose bits are l.
inline __m512i SubsetSums(__m512i channels) {
  const __m512i subsets = _mm512_setr_epi32(0, 1, 0x100, 0x101, 0x10000, 0x10001, 0x10100, 0x10101,
                                            0x1000000, 0x1000001, 0x1000100, 0x1000101, 0x1010000,
                                            0x1010001, 0x1010100, 0x1010101);
  return _mm512_dpbusd_epi32(_mm512_setzero_si512(), subsets, channels);
}

// Makers of one group's table. Packs put four lanes of their first operand before the same four of
// the second, which is the order of SubsetPosition.

// All subsets of five channels or, in two registers, six.
template <int kRegisters>
struct FullTable {
  static constexpr int kBytes = kRegisters * 64;

  template <bool kMasked>
  inline __attribute__((always_inline)) void Make(const int8_t* x, int left, char* table) const {
    const __m512i low = SubsetSums(Broadcast4<kMasked>(x, left));
    const __m512i high =
        _mm512_dpbusd_epi32(low, _mm512_set1_epi32(1), Broadcast4<kMasked>(x + 4, left - 4));
    const __m512i sums = _mm512_packs_epi32(low, high);
    _mm512_store_si512(table, sums);
    if (kRegisters == 2) {
      const int fifth = kMasked && left < 6 ? 0 : x[5];
      _mm512_store_si512(table + 64,
                         _mm512_add_epi16(sums, _mm512_set1_epi16(static_cast<short>(fifth))));
    }
  }
};

// All subsets of four channels and of the next four.
struct FoldedTable {
  static constexpr int kBytes = 64;

  template <bool kMasked>
  static inline __attribute__((always_inline)) __m512i Sums(const int8_t* x, int left) {
    return _mm512_packs_epi32(SubsetSums(Broadcast4<kMasked>(x, left)),
                              SubsetSums(Broadcast4<kMasked>(x + 4, left - 4)));
  }
  template <bool kMasked>
  inline __attribute__((always_inline)) void Make(const int8_t* x, int left, char* table) const {
    _mm512_store_si512(table, Sums<kMasked>(x, left));
  }
};

// Some subsets of eight channels: each the sum of one of the first four and one of the next four.
template <int kRegisters>
struct SplitTable {
  static constexpr int kBytes = kRegisters * 64;
  __m512i first[kRegisters], second[kRegisters];

  explicit SplitTable(const TableRecipe& recipe) {
    for (int i = 0; i < kRegisters; ++i) {
      first[i] = _mm512_load_si512(recipe.split[0][i]);
      second[i] = _mm512_load_si512(recipe.split[1][i]);
    }
  }
  template <bool kMasked>
  inline __attribute__((always_inline)) void Make(const int8_t* x, int left, char* table) const {
    const __m512i sums = FoldedTable::Sums<kMasked>(x, left);
    for (int i = 0; i < kRegisters; ++i) {
      _mm512_store_si512(table + i * 64,
                         _mm512_add_epi16(_mm512_permutexvar_epi16(first[i], sums),
                                          _mm512_permutexvar_epi16(second[i], sums)));
    }
  }
};

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
template <bool kMasked, int kGroups, typename Table>
inline __attribute__((always_inline)) void BuildPixel(const TableRow& r, const Table& maker,
                                                      const int8_t* pixel, char* table) {
  const int channels = r.recipe->channels;
  for (const TableUnit *unit = r.units, *end = unit + r.unit_count; unit != end; ++unit) {
    const int8_t* x = pixel + unit->channel;
    int left = unit->count;
    for (int g = kGroups != 0 ? kGroups : unit->groups; g > 0; --g) {
      maker.template Make<kMasked>(x, left, table);
      table += Table::kBytes;
      x += channels;
      left -= channels;
    }
    if (kGroups != 0) return;
  }
}

template <int kGroups, typename Table>
void Build(const TableRow& row, const Table& maker) {
  const Columns c = FindColumns(row);
  const TableRow r = row;  // a copy that stores to tables cannot change
  const int8_t* padding = static_cast<const int8_t*>(r.padding);
  const int8_t* pixel = c.first;
  char* table = r.tables;
  int column = 0;
  for (; column < c.inside; ++column, table += r.column_bytes) {
    BuildPixel<false, kGroups>(r, maker, padding, table);
  }
  for (; column < c.masked; ++column, table += r.column_bytes, pixel += c.step) {
    BuildPixel<false, kGroups>(r, maker, pixel, table);
  }
  for (; column < c.right; ++column, table += r.column_bytes, pixel += c.step) {
    BuildPixel<true, kGroups>(r, maker, pixel, table);
  }
  for (; column < r.columns; ++column, table += r.column_bytes) {
    BuildPixel<false, kGroups>(r, maker, padding, table);
  }
}

}  // namespace

void BuildDotTables(const TableRow& r) {
  const bool two = r.recipe->registers == 2;
  if (r.recipe->folded) {
    const bool pair = r.unit_count == 1 && r.units[0].groups == 2;
    return pair ? Build<2>(r, FoldedTable()) : Build<0>(r, FoldedTable());
  }
  if (r.recipe->full) return two ? Build<0>(r, FullTable<2>()) : Build<0>(r, FullTable<1>());
  return two ? Build<0>(r, SplitTable<2>(*r.recipe)) : Build<0>(r, SplitTable<1>(*r.recipe));
}

}  // namespace tf_signbin
