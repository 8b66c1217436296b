#include "engine/kernels/dense/tile_weights.h"

#include <algorithm>
#include <cstring>

#include "engine/ceil_div.h"

namespace tf_signbin {
namespace {

constexpr size_t kTile = size_t{kTileRows} * kTileBytes;
constexpr size_t kTileValues = 2 * kTileBytes;
constexpr int kRowWeights = 4;  // of a filter, in a row of its tile

// Tiles of weights that are needed once, and how many of them are expanded ahead.
constexpr size_t kRingTiles = 4;
constexpr int kRingAhead = 2;

}  // namespace

TileWeights::TileWeights(const TilesPlan& plan)
    : plan_(plan), chunks_(static_cast<int>(plan.chunks.size())) {
  const size_t tiles = plan.filter_tiles();
  if (plan.bits) {
    masks_ = Aligned<uint64_t>(tiles * tile_masks());
    values_ = Aligned<int8_t>(tiles * kTileValues);
  } else {
    bytes_ = Aligned<int8_t>(tiles * plan.filter_tile_bytes());
  }
}

void TileWeights::Pack(const PackedFilters& filters, const std::vector<int8_t>& weights, int filter,
                       int lane) {
  const size_t tile = lane / kTileFilters;
  const int column = lane % kTileFilters * kRowWeights;
  int8_t* values = values_.get() + tile * kTileValues + column;
  for (int chunk = 0; chunk < chunks_; ++chunk) {
    for (int i = 0; i < plan_.chunks[chunk].weights; ++i) {
      const int k = plan_.chunks[chunk].first_weight + i;
      const size_t row = tile * tile_masks() + chunk * kTileRows + i / kRowWeights;
      const int place = column + i % kRowWeights;
      if (!plan_.bits) {
        bytes_[row * kTileBytes + place] = weights[k];
        continue;
      }
      const bool one = filters.bit(0, filter, k);
      masks_[row] |= uint64_t{one} << place;
      std::memset(values + one * kTileBytes, weights[k], kRowWeights);
    }
  }
}

size_t TileWeights::ring_bytes() const {
  if (!plan_.bits) return 0;
  constexpr size_t kShort = kRingTiles * kTile;
  if (TilesNeededOnce(plan_, plan_.Positions(plan_.band_rows))) return kShort;
  // This group's and the next one's; a last band may be short.
  return std::max(two_groups_bytes(), kShort);
}

TileWeightsReader::TileWeightsReader(const TileWeights& weights, int first, int end, int positions,
                                     int8_t* ring)
    : weights_(weights),
      first_tile_(weights.plan_.FilterTile(first, 0)),
      end_group_(end),
      once_(TilesNeededOnce(weights.plan_, positions)) {
  const TilesPlan& plan = weights.plan_;
  if (!plan.bits) return;
  TileExpansion& e = expansion_;
  e.masks = &weights.masks_[first_tile_ * weights.tile_masks()];
  e.values = &weights.values_[first_tile_ * kTileValues];
  e.chunks = weights.chunks_;
  e.next = e.begin = ring;
  e.end = ring + (once_ ? kRingTiles * kTile : weights.two_groups_bytes());
  const int end_tile = plan.FilterTile(end - 1, plan.GroupTiles(end - 1));
  const int all = (end_tile - first_tile_) * e.chunks;
  const int ahead = std::min(once_ ? kRingAhead : plan.GroupTiles(first) * e.chunks, all);
  TilesExpand(&e, ahead);
  left_ = all - ahead;
}

void TileWeightsReader::BeginGroup(int group, int blocks) {
  const TilesPlan& plan = weights_.plan_;
  group_ = group;
  next_tiles_ = group + 1 < end_group_ ? int64_t{plan.GroupTiles(group + 1)} * weights_.chunks_ : 0;
  blocks_ = int64_t{blocks} * CeilDiv(plan.GroupTiles(group), 2);
  block_ = 0;
}

void TileWeightsReader::PointTo(int vector, TileBlock* block) {
  const TilesPlan& plan = weights_.plan_;
  const int tile = plan.FilterTile(group_, vector);
  block->filter_tiles = once_ ? 1 : std::min(plan.GroupTiles(group_) - vector, 2);
  if (!plan.bits) {
    block->weights = &weights_.bytes_[tile * plan.filter_tile_bytes()];
    return;
  }
  TileExpansion& e = expansion_;
  const size_t place = (tile - first_tile_) * plan.filter_tile_bytes();
  block->weights = e.begin + place % static_cast<size_t>(e.end - e.begin);
  int64_t now = e.chunks;
  if (once_) {
    block->weights_begin = e.begin;
    block->weights_end = e.end;
  } else {
    now = next_tiles_ * (block_ + 1) / blocks_ - next_tiles_ * block_ / blocks_;
    ++block_;
  }
  e.now = static_cast<int>(std::min<int64_t>(now, left_));
  left_ -= e.now;
  block->expansion = e.now > 0 ? &e : nullptr;
}

}  // namespace tf_signbin
