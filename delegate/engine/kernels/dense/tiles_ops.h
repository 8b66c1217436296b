// The matrix-tile microkernel (AMX) of the dense family. Plain pointers and sizes only, as in
// dense_ops.h.
#ifndef TF_SIGNBIN_ENGINE_KERNELS_DENSE_TILES_OPS_H_
#define TF_SIGNBIN_ENGINE_KERNELS_DENSE_TILES_OPS_H_

#include <cstddef>
#include <cstdint>

namespace tf_signbin {

inline constexpr int kTileRows = 16;
inline constexpr int kTileBytes = 64;      // of a row: activations of one position, a chunk
inline constexpr int kTilePositions = 32;  // of a block: two tiles
inline constexpr int kTileFilters = 32;    // of a block: two tiles

// One block: the sums of up to kTilePositions positions and kTileFilters filters.
struct TileBlock {
  const int8_t* input;       // position 0
  const ptrdiff_t* offsets;  // [chunks] bytes from a position to each of its chunks
  int chunks;
  ptrdiff_t position_bytes;  // from one position to the next
  const int8_t* weights;     // [chunks][2 tiles][16 groups of 4 bytes][16 filters][4]
  const int32_t* start;      // [kTileFilters]
  int32_t* sums;             // [positions][kTileFilters]
};

// Blocks of so many positions follow. The tiles' configuration belongs to the thread, and calls
// clobber it: TilesRelease puts it back to what the ABI expects between functions.
void TilesConfigure(int positions);
void TilesRelease();
// For blocks of more than kTileRows positions, and of fewer.
void TilesMultiplyTwo(const TileBlock& block);
void TilesMultiplyOne(const TileBlock& block);

}  // namespace tf_signbin

#endif  // TF_SIGNBIN_ENGINE_KERNELS_DENSE_TILES_OPS_H_
