// The matrix-tile microkernel (AMX) of the dense family. Plain pointers and sizes only, as in
// dense_ops.h.
#ifndef TF_SIGNBIN_ENGINE_KERNELS_DENSE_TILES_OPS_H_
#define TF_SIGNBIN_ENGINE_KERNELS_DENSE_TILES_OPS_H_

#include <cstddef>
#include <cstdint>

#include "engine/kernels/dense/dense_ops.h"

namespace tf_signbin {

inline constexpr int kTileRows = 16;
inline constexpr int kTileBytes = 64;    // of a row: activations of one position, a chunk
inline constexpr int kTileFilters = 16;  // of a tile

// Weights that are kept as bits, on their way to tiles. They are expanded, in the order in which
// they are multiplied, to a ring of tiles, some time before they are needed: a tile that is loaded
// as soon as it is stored waits for its stores.
struct TileExpansion {
  // Of the next tile: a row is 64 bits, the lowest one first; 0 is values[0][place in the row], 1
  // is values[1][place].
  const uint64_t* masks;  // [16 groups]
  const int8_t* values;   // [2][kTileBytes]
  int chunk, chunks;      // the tile's, of its filters
  int8_t *next, *begin, *end;
  int now;  // tiles, while the next block is multiplied
};

// One block: sums of tiles of positions by tiles of filters. There are eight tiles, so the shapes
// are 1x1, 1x2, 2x1 and 2x2, which load as few as they can, and 3x1 and 4x1, which load weights
// once where 2x2 does twice.
struct TileBlock {
  int position_tiles, filter_tiles;
  const int8_t* input;       // position 0
  const ptrdiff_t* offsets;  // [chunks] bytes from a position to each of its chunks
  int chunks;
  ptrdiff_t position_bytes;  // from one position to the next
  int last_tile;  // first position of the last tile, at most kTileRows behind the tile before
  // [filter tile][chunk][16 groups of 4 bytes][16 filters][4]; of the first filter tile, begin
  // follows end where that is not null
  const int8_t *weights, *weights_begin, *weights_end;
  TileExpansion* expansion;  // of others meanwhile; may be null
  const int32_t* start;      // [filter tile][kTileFilters]; null: 0
  int32_t* sums;             // of position 0
  ptrdiff_t sums_bytes;      // from one position to the next
  int8_t* scratch;           // a tile
};

// Blocks of tiles of so many positions follow, or of kTileRows where it is more. The tiles'
// configuration belongs to the thread, and calls clobber it: TilesRelease puts it back to what the
// ABI expects between functions.
void TilesConfigure(int positions);
void TilesRelease();
void TilesExpand(TileExpansion* expansion, int tiles);
void TilesMultiply(const TileBlock& block);
// Products take longer than the instructions that ask for them: between those, sums of another
// block become outputs.
inline bool TilesFlushToo(const TileBlock& block, const DenseFlush& flush) {
  const int tiles = block.position_tiles * block.filter_tiles;
  return tiles == 4 && (flush.vectors == 2 || (flush.vectors == 4 && block.filter_tiles == 2));
}
void TilesMultiplyAndFlush(const TileBlock& block, const DenseFlush& flush);
void TilesStore(const TileBlock& block);

}  // namespace tf_signbin

#endif  // TF_SIGNBIN_ENGINE_KERNELS_DENSE_TILES_OPS_H_
