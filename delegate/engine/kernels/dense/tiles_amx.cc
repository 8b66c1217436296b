// Matrix tiles (AMX-INT8). See tiles_ops.h.
//
// Tiles 0 and 1 hold activations (16 positions x 64 bytes each), 2 and 3 weights (16 groups of 4
// bytes x 16 filters), 4 to 7 the sums of their four products. A product takes 16 cycles; the four
// loads beside four products are free (docs/performance.md).
#include <immintrin.h>

#include <algorithm>

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

constexpr ptrdiff_t kWeightTile = kTileRows * kTileBytes;
constexpr ptrdiff_t kSumsRow = kTileFilters * sizeof(int32_t);
constexpr ptrdiff_t kSumsTile = kTileRows * kTileFilters;

}  // namespace

void TilesConfigure(int positions) {
  TileConfig config;
  for (int tile = 0; tile < 8; ++tile) {
    config.row_bytes[tile] = kTileBytes;
    config.rows[tile] = kTileRows;
  }
  for (const int tile : {0, 4, 5}) {
    config.rows[tile] = static_cast<uint8_t>(std::min(positions, kTileRows));
  }
  for (const int tile : {1, 6, 7}) {
    config.rows[tile] = static_cast<uint8_t>(std::max(positions - kTileRows, 1));
  }
  // Not _tile_loadconfig, of which GCC 12 thinks that it reads eight bytes.
  asm volatile("ldtilecfg %0" : : "m"(config));
}

void TilesRelease() { _tile_release(); }

void TilesMultiplyTwo(const TileBlock& b) {
  // A stride of 0: every position starts alike.
  _tile_loadd(4, b.start, 0);
  _tile_loadd(5, b.start + kTileRows, 0);
  _tile_loadd(6, b.start, 0);
  _tile_loadd(7, b.start + kTileRows, 0);
  const int8_t* weights = b.weights;
  for (int chunk = 0; chunk < b.chunks; ++chunk, weights += 2 * kWeightTile) {
    const int8_t* input = b.input + b.offsets[chunk];
    _tile_loadd(0, input, b.position_bytes);
    _tile_loadd(2, weights, kTileBytes);
    _tile_loadd(1, input + kTileRows * b.position_bytes, b.position_bytes);
    _tile_loadd(3, weights + kWeightTile, kTileBytes);
    _tile_dpbssd(4, 0, 2);
    _tile_dpbssd(5, 0, 3);
    _tile_dpbssd(6, 1, 2);
    _tile_dpbssd(7, 1, 3);
  }
  _tile_stored(4, b.sums, kSumsRow);
  _tile_stored(5, b.sums + kTileRows, kSumsRow);
  _tile_stored(6, b.sums + kSumsTile, kSumsRow);
  _tile_stored(7, b.sums + kSumsTile + kTileRows, kSumsRow);
}

void TilesMultiplyOne(const TileBlock& b) {
  _tile_loadd(4, b.start, 0);
  _tile_loadd(5, b.start + kTileRows, 0);
  const int8_t* weights = b.weights;
  for (int chunk = 0; chunk < b.chunks; ++chunk, weights += 2 * kWeightTile) {
    _tile_loadd(0, b.input + b.offsets[chunk], b.position_bytes);
    _tile_loadd(2, weights, kTileBytes);
    _tile_loadd(3, weights + kWeightTile, kTileBytes);
    _tile_dpbssd(4, 0, 2);
    _tile_dpbssd(5, 0, 3);
  }
  _tile_stored(4, b.sums, kSumsRow);
  _tile_stored(5, b.sums + kTileRows, kSumsRow);
}

}  // namespace tf_signbin
