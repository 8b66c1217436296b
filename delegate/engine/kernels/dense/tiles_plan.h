// The plan of one convolution on matrix tiles: which bytes a position multiplies, and how its image
// is cut. Portable: everything here is decided before any tile is touched.
//
// Positions are laid out so that a tile's 16 rows are 16 consecutive positions, a constant number
// of bytes apart, whatever the window: padded copies of the image, one for each residue of rows and
// columns modulo the stride (a "phase"), in which every tap of every output pixel (y, x) lies at
// the same distance from position y * columns + x. Positions beyond the right edge of the output
// are computed and thrown away.
#ifndef TF_SIGNBIN_ENGINE_KERNELS_DENSE_TILES_PLAN_H_
#define TF_SIGNBIN_ENGINE_KERNELS_DENSE_TILES_PLAN_H_

#include <algorithm>
#include <cstddef>
#include <vector>

#include "engine/ceil_div.h"
#include "engine/kernels/dense/tiles_ops.h"
#include "engine/types.h"

namespace tf_signbin {

inline constexpr int kMostPositionTiles = 4;  // of a block

struct TilePhase {
  int row = 0, column = 0;  // residues of padded rows and columns
};

// Up to kTileBytes adjacent weights of a filter, and where a position finds their activations.
struct TileChunk {
  int first_weight = 0, weights = 0;
  int phase = 0, row = 0, column = 0;  // of the phase's pixel, from the position
  int byte = 0;                        // from that pixel's first channel
};

struct TilesPlan {
  ConvShape shape;      // pointwise: one column of pixels
  bool direct = false;  // positions are in the input itself
  bool bits = false;    // weights are kept as bits
  std::vector<TilePhase> phases;
  std::vector<TileChunk> chunks;
  int pixel_bytes = 0;  // from pixel to pixel of a phase, or of the input itself
  int more_rows = 0;    // of a phase, than output rows
  int columns = 0;      // of a phase
  int band_rows = 0;    // output rows that are copied together
  // Of filters whose outputs are made together: 4 fill a cache line, 2 leave room in the first
  // level for their weights.
  int group_tiles = 4;

  int bands() const { return CeilDiv(shape.out_h, band_rows); }
  int group_filters() const { return group_tiles * kTileFilters; }
  int groups() const { return CeilDiv(shape.out_c, group_filters()); }
  // The last group may have fewer: 1, 2 or 4.
  int GroupTiles(int group) const {
    const int left = CeilDiv(shape.out_c - group * group_filters(), kTileFilters);
    return std::min(left > 2 ? 4 : left, group_tiles);
  }
  int filter_tiles() const { return (groups() - 1) * group_tiles + GroupTiles(groups() - 1); }
  int FilterTile(int group, int tile) const { return group * group_tiles + tile; }
  // Positions of `rows` output rows.
  int Positions(int rows) const { return (rows - 1) * columns + shape.out_w; }
  size_t phase_bytes() const {
    return static_cast<size_t>(band_rows + more_rows) * columns * pixel_bytes;
  }
  // Bytes from a position, in the first phase, to a chunk of its activations.
  ptrdiff_t offset(const TileChunk& chunk) const {
    return static_cast<ptrdiff_t>(chunk.phase * phase_bytes()) +
           (static_cast<ptrdiff_t>(chunk.row) * columns + chunk.column) * pixel_bytes + chunk.byte;
  }
  size_t filter_tile_bytes() const { return chunks.size() * kTileBytes * kTileRows; }
  // Whether each chunk fills a tile's row.
  bool whole_chunks() const {
    return std::all_of(chunks.begin(), chunks.end(),
                       [](const TileChunk& chunk) { return chunk.weights == kTileBytes; });
  }
};

// `copy_bytes`: what a band's copy should fit.
TilesPlan MakeTilesPlan(const ConvShape& shape, const PackedFilters& filters, size_t copy_bytes);

// Whether one block has all positions of a band. It needs each tile of weights once.
inline bool TilesNeededOnce(const TilesPlan& plan, int positions) {
  return plan.bits && positions <= kMostPositionTiles * kTileRows;
}

// Nanoseconds on one thread.
double TilesCostNs(const TilesPlan& plan, size_t cache_bytes);

}  // namespace tf_signbin

#endif  // TF_SIGNBIN_ENGINE_KERNELS_DENSE_TILES_PLAN_H_
