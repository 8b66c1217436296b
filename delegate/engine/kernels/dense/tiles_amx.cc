// Matrix tiles (AMX-INT8). See tiles_ops.h.
//
// Tiles 0 and 1 hold activations (16 positions x 64 bytes each), 2 and 3 weights (16 groups of 4
// bytes x 16 filters), 4 to 7 the sums of up to four products. A product takes 16 cycles; the four
// loads beside four products are free (docs/performance.md).
#include <immintrin.h>

#include <type_traits>

#include "engine/kernels/dense/dense_flush_avx512-inl.h"
#include "engine/kernels/dense/tiles_ops.h"

namespace tf_signbin {
namespace {

struct alignas(64) TileConfig {
  uint8_t palette = 1;
  uint8_t start_row = 0;
  uint8_t reserved[14] = {};
  uint16_t row_bytes[16] = {};
  uint8_t rows[16] = {};
};
static_assert(sizeof(TileConfig) == 64, "the operand of ldtilecfg");

constexpr ptrdiff_t kTile = kTileRows * kTileBytes;

inline __attribute__((always_inline)) void ExpandTile(TileExpansion* e) {
  const __m512i zero = _mm512_load_si512(e->values);
  const __m512i one = _mm512_load_si512(e->values + kTileBytes);
#pragma GCC unroll 16
  for (int row = 0; row < kTileRows; ++row) {
    _mm512_store_si512(e->next + row * kTileBytes,
                       _mm512_mask_blend_epi8(_cvtu64_mask64(e->masks[row]), zero, one));
  }
  e->masks += kTileRows;
  if (++e->chunk == e->chunks) {
    e->chunk = 0;
    e->values += 2 * kTileBytes;
  }
  e->next += kTile;
  if (e->next == e->end) e->next = e->begin;
}

// Tiles are no operands that a compiler knows of: what they are loaded from must be in memory.
inline void StoresBeforeLoads() { asm volatile("" : : : "memory"); }

// The first tile stored more than some 2000 cycles after the last one takes 1000 cycles longer
// (Sapphire Rapids; docs/performance.md). In longer sums one is stored for nothing now and then.
constexpr int kStayAwakeChunks = 16;
inline void StayAwake(const TileBlock& b, int chunk) {
  if (chunk % kStayAwakeChunks == kStayAwakeChunks - 1) _tile_stored(0, b.scratch, kTileBytes);
}

// Sums of position tile p and filter tile f are in tile 4 + kFilters * p + f.
template <int kTiles>
void Start(const TileBlock& b, int filter_tiles) {
  if (b.start == nullptr) {
    _tile_zero(4);
    if constexpr (kTiles > 1) _tile_zero(5);
    if constexpr (kTiles > 2) _tile_zero(6);
    if constexpr (kTiles > 3) _tile_zero(7);
    return;
  }
  // A stride of 0: every position starts alike.
  const int32_t* odd = b.start + (filter_tiles - 1) * kTileFilters;
  _tile_loadd(4, b.start, 0);
  if constexpr (kTiles > 1) _tile_loadd(5, odd, 0);
  if constexpr (kTiles > 2) _tile_loadd(6, b.start, 0);
  if constexpr (kTiles > 3) _tile_loadd(7, odd, 0);
}

template <int kPositions, int kFilters>
inline __attribute__((always_inline)) void Products(const TileBlock& b, const int8_t* input,
                                                    const int8_t* weights) {
  const ptrdiff_t stride = b.position_bytes, tile = kTileRows * stride;
  const int8_t* last = input + b.last_tile * stride;
  _tile_loadd(0, input, stride);
  _tile_loadd(2, weights, kTileBytes);
  if constexpr (kFilters > 1) {
    if constexpr (kPositions > 1) _tile_loadd(1, last, stride);
    _tile_loadd(3, weights + b.chunks * kTile, kTileBytes);
    _tile_dpbssd(4, 0, 2);
    _tile_dpbssd(5, 0, 3);
    if constexpr (kPositions > 1) {
      _tile_dpbssd(6, 1, 2);
      _tile_dpbssd(7, 1, 3);
    }
    return;
  }
  _tile_dpbssd(4, 0, 2);
  if constexpr (kPositions > 1) {
    _tile_loadd(1, kPositions == 2 ? last : input + tile, stride);
    _tile_dpbssd(5, 1, 2);
  }
  if constexpr (kPositions > 2) {
    _tile_loadd(0, kPositions == 3 ? last : input + 2 * tile, stride);
    _tile_dpbssd(6, 0, 2);
  }
  if constexpr (kPositions > 3) {
    _tile_loadd(1, last, stride);
    _tile_dpbssd(7, 1, 2);
  }
}

// Between the products of chunks other weights are expanded, and `pixels` of `outputs` written.
// `outputs` has its own copy of everything, so that it stays in registers.
template <int kPositions, int kFilters, typename Outputs>
void Multiply(const TileBlock& b, Outputs outputs, int pixels) {
  const int outputs_a_chunk = (pixels + b.chunks - 1) / b.chunks;
  const int8_t* weights = b.weights;
  TileExpansion expansion{};
  if (b.expansion != nullptr) expansion = *b.expansion;
  const int now = expansion.now;
  StoresBeforeLoads();
  Start<kPositions * kFilters>(b, kFilters);
  for (int chunk = 0; chunk < b.chunks; ++chunk) {
    Products<kPositions, kFilters>(b, b.input + b.offsets[chunk], weights);
    StayAwake(b, chunk);
    weights += kTile;
    if (weights == b.weights_end) weights = b.weights_begin;
    if (chunk < now) {
      ExpandTile(&expansion);
      StoresBeforeLoads();
    }
    outputs.Write(outputs_a_chunk);
  }
  outputs.Write(pixels);
  if (b.expansion == nullptr) return;
  for (int more = b.chunks; more < now; ++more) ExpandTile(&expansion);
  *b.expansion = expansion;
}

// Nothing is written between products.
struct Nothing {
  void Write(int /*count*/) {}
};

}  // namespace

void TilesConfigure(int positions) {
  TileConfig config;
  const int rows = positions < kTileRows ? positions : kTileRows;
  for (int tile = 0; tile < 8; ++tile) {
    const bool weights = tile == 2 || tile == 3;
    config.row_bytes[tile] = kTileBytes;
    config.rows[tile] = static_cast<uint8_t>(weights ? kTileRows : rows);
  }
  // Not _tile_loadconfig, of which GCC 12 thinks that it reads eight bytes.
  asm volatile("ldtilecfg %0" : : "m"(config));
}

void TilesRelease() { _tile_release(); }

void TilesExpand(TileExpansion* expansion, int tiles) {
  for (; tiles > 0; --tiles) ExpandTile(expansion);
}

void TilesMultiply(const TileBlock& b) {
  const int shape = b.position_tiles * 10 + b.filter_tiles;
  switch (shape) {
    case 11:
      return Multiply<1, 1>(b, Nothing(), 0);
    case 12:
      return Multiply<1, 2>(b, Nothing(), 0);
    case 21:
      return Multiply<2, 1>(b, Nothing(), 0);
    case 22:
      return Multiply<2, 2>(b, Nothing(), 0);
    case 31:
      return Multiply<3, 1>(b, Nothing(), 0);
    default:
      return Multiply<4, 1>(b, Nothing(), 0);
  }
}

void TilesMultiplyAndFlush(const TileBlock& b, const DenseFlush& flush) {
  WithScale(flush.rescale, [&](const auto& make_scale) {
    using MakeScale = std::decay_t<decltype(make_scale)>;
    if (flush.vectors == 4) {
      Multiply<2, 2>(b, FourVectors<AsTheyAre, MakeScale>(flush, make_scale), flush.pixels);
    } else {
      const TwoVectors<AsTheyAre, MakeScale> outputs(flush, make_scale);
      b.filter_tiles == 2 ? Multiply<2, 2>(b, outputs, flush.pixels)
                          : Multiply<4, 1>(b, outputs, flush.pixels);
    }
  });
}

void TilesStore(const TileBlock& b) {
  const ptrdiff_t row = b.sums_bytes / static_cast<ptrdiff_t>(sizeof(int32_t));
  int32_t* last = b.sums + b.last_tile * row;
  if (b.filter_tiles == 2) {
    _tile_stored(4, b.sums, b.sums_bytes);
    _tile_stored(5, b.sums + kTileFilters, b.sums_bytes);
    if (b.position_tiles == 1) return;
    _tile_stored(6, last, b.sums_bytes);
    _tile_stored(7, last + kTileFilters, b.sums_bytes);
    return;
  }
  _tile_stored(4, b.sums, b.sums_bytes);
  if (b.position_tiles == 1) return;
  const int32_t* second = b.sums + kTileRows * row;
  _tile_stored(5, b.position_tiles == 2 ? last : second, b.sums_bytes);
  if (b.position_tiles == 2) return;
  _tile_stored(6, b.position_tiles == 3 ? last : second + kTileRows * row, b.sums_bytes);
  if (b.position_tiles == 4) _tile_stored(7, last, b.sums_bytes);
}

}  // namespace tf_signbin
