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

#include <cstddef>
#include <vector>

#include "engine/ceil_div.h"
#include "engine/kernels/dense/tiles_ops.h"
#include "engine/types.h"

namespace tf_signbin {

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
  std::vector<TilePhase> phases;
  std::vector<TileChunk> chunks;
  int more_rows = 0;  // of a phase, than output rows
  int columns = 0;    // of a phase
  int band_rows = 0;  // output rows that are copied together

  int bands() const { return CeilDiv(shape.out_h, band_rows); }
  int blocks() const { return CeilDiv(shape.out_c, kTileFilters); }
  // Positions of `rows` output rows.
  int Positions(int rows) const { return (rows - 1) * columns + shape.out_w; }
  size_t phase_bytes() const {
    return static_cast<size_t>(band_rows + more_rows) * columns * shape.in_c;
  }
  // Bytes from a position, in the first phase, to a chunk of its activations.
  ptrdiff_t offset(const TileChunk& chunk) const {
    return static_cast<ptrdiff_t>(chunk.phase * phase_bytes()) +
           (static_cast<ptrdiff_t>(chunk.row) * columns + chunk.column) * shape.in_c + chunk.byte;
  }
  size_t block_bytes() const { return chunks.size() * kTileBytes * kTileFilters; }
};

// `copy_bytes`: what a band's copy should fit.
TilesPlan MakeTilesPlan(const ConvShape& shape, size_t copy_bytes);

// Nanoseconds on one thread.
double TilesCostNs(const TilesPlan& plan, size_t cache_bytes);

}  // namespace tf_signbin

#endif  // TF_SIGNBIN_ENGINE_KERNELS_DENSE_TILES_PLAN_H_
