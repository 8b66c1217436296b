// The vector parts of the dense family around its microkernels: copying activations and turning
// accumulators into outputs. Plain pointers and sizes only: dense_avx512vnni.cc is compiled for
// AVX-512 and must not instantiate templates that other files share.
#ifndef TF_SIGNBIN_ENGINE_KERNELS_DENSE_DENSE_OPS_H_
#define TF_SIGNBIN_ENGINE_KERNELS_DENSE_DENSE_OPS_H_

#include <cstddef>
#include <cstdint>

#include "engine/kernels/output/filter_lanes_view.h"

namespace tf_signbin {

inline constexpr int kDenseLanes = 16;    // filters in a vector
inline constexpr int kDenseChannels = 4;  // input channels in a group
// Of a group with tables: four of 16 entries, each of as many channels, or one of 64.
inline constexpr int kTableBytes = 64;
inline constexpr int kMostTerms = 3;  // that an entry is summed from
inline constexpr int kPairedChannels = 32;

inline constexpr int kBoxOffset = 32768;  // of window sums, taken as signed words

// The microkernels take activations as x + 128, unsigned.
inline constexpr int kDenseOffset = 128;

// How the tables of a group are made of its channels: each entry is the sum of up to `terms` of
// them. `paired` (groups of 16 channels): or of their pairs, so that two terms are enough for
// subsets of four; the sum of channels c and c + 1, c even, is at kPairedChannels + c, and the
// second group of kPairedChannels finds its own 16 places on.
struct DenseTableRecipe {
  int channels = 0;  // of a group
  int terms = 0;
  bool paired = false;
  alignas(64) uint8_t place[kMostTerms][kTableBytes] = {};
  uint64_t used[kMostTerms] = {};  // the entries that have so many terms
};

// One row of the copy: `columns` pixels of `padded_c` bytes. Columns [inside, right) are input
// pixels from x = inside_x on, every step-th; the others are padding.
struct DenseRow {
  const int8_t* row;  // input row; null: the whole row is padding
  int in_c, padded_c;
  int columns, inside, right;
  int inside_x, step;
  int8_t padding;  // the zero point
  int8_t* out;
  // Of tables:
  const DenseTableRecipe* recipe;
  int32_t* sums;  // of each column's channels; may be null
};

// Makes outputs of the sums of adjacent pixels. Pixel p, vector f of filters is at
// sums + (p * vectors + f) * 16.
struct DenseFlush {
  const int32_t* sums;
  int pixels, vectors;  // vectors: 1, 2 or 4
  // Pixels from one output row to the next. The first `row_outputs` of them are written, the others
  // skipped; pixel 0 is in column `first_column`.
  int first_column, row_outputs, row_pixels;
  int filters;     // filters to write, at most vectors * 16
  int first_lane;  // of the layer's lanes, which `rescale` is ordered by
  RescaleView rescale;
  // Null without backgrounds, or of each lane. `background` alone: accumulators are
  // sum + background * box; with `difference` and `bias`: difference * sum + background * box +
  // bias. Or with `words` and `bias`: the same, of sums and boxes in 16 bits, by one instruction;
  // then both factors of a lane are in `words`, that of the box in the upper half.
  const int32_t *background, *difference, *words, *bias;
  const int32_t* box;  // of each pixel; with `words`: kBoxOffset less, in the upper half
  int32_t clamp_min, clamp_max;
  int8_t* out;       // pixel 0, first filter
  size_t out_pixel;  // from pixel to pixel
};

// Which of a block's filters sits in a lane: the order that the packs to bytes undo.
inline int DenseLaneFilter(int vectors, int vector, int lane) {
  if (vectors == 1) return lane;
  return lane / 4 * (4 * vectors) + vector * 4 + lane % 4;
}

void DenseCopyRow(const DenseRow& row);
// Tables in the place of channels: kTableBytes for each group of a column. Needs VBMI.
void DenseTableRow(const DenseRow& row);
void DenseFlushSums(const DenseFlush& flush);

}  // namespace tf_signbin

#endif  // TF_SIGNBIN_ENGINE_KERNELS_DENSE_DENSE_OPS_H_
