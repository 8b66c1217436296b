// The weights of a layer as matrix tiles multiply them: a byte each, or bits that are expanded to
// bytes on the way. Bits are an eighth of what comes from memory.
#ifndef TF_SIGNBIN_ENGINE_KERNELS_DENSE_TILE_WEIGHTS_H_
#define TF_SIGNBIN_ENGINE_KERNELS_DENSE_TILE_WEIGHTS_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "engine/aligned.h"
#include "engine/kernels/dense/tiles_ops.h"
#include "engine/kernels/dense/tiles_plan.h"
#include "engine/types.h"

namespace tf_signbin {

class TileWeights {
 public:
  explicit TileWeights(const TilesPlan& plan);

  // `weights`: of `filter`, as they are multiplied. `lane`: the filter's among all.
  void Pack(const PackedFilters& filters, const std::vector<int8_t>& weights, int filter, int lane);

  size_t bytes() const { return bytes_.bytes() + masks_.bytes() + values_.bytes(); }
  // What one reader expands to.
  size_t ring_bytes() const;

 private:
  friend class TileWeightsReader;

  size_t two_groups_bytes() const { return 2 * plan_.group_tiles * plan_.filter_tile_bytes(); }
  size_t tile_masks() const { return static_cast<size_t>(chunks_) * kTileRows; }

  const TilesPlan& plan_;
  const int chunks_;
  Aligned<int8_t> bytes_;    // TileBlock::weights
  Aligned<uint64_t> masks_;  // TileExpansion: [filter tile][chunk][16 groups]
  Aligned<int8_t> values_;   // TileExpansion: [filter tile][2][kTileBytes]
};

// The weights of some groups of filters, in the order in which one thread multiplies them.
class TileWeightsReader {
 public:
  // Of groups [first, end), for a band of so many positions. `ring` has ring_bytes().
  TileWeightsReader(const TileWeights& weights, int first, int end, int positions, int8_t* ring);

  // One block has all positions and needs each tile of weights once.
  bool once() const { return once_; }
  // `blocks` of positions follow.
  void BeginGroup(int group, int blocks);
  // Filters from vector `vector` of the group on.
  void PointTo(int vector, TileBlock* block);

 private:
  const TileWeights& weights_;
  const int first_tile_, end_group_;
  const bool once_;
  int group_ = 0;
  TileExpansion expansion_{};
  int left_ = 0;  // tiles to expand
  // While the blocks of a group are multiplied, the next group's tiles are expanded.
  int64_t next_tiles_ = 0, blocks_ = 0, block_ = 0;
};

}  // namespace tf_signbin

#endif  // TF_SIGNBIN_ENGINE_KERNELS_DENSE_TILE_WEIGHTS_H_
