#include "engine/kernels/dense/tiles_plan.h"

#include <algorithm>
#include <cstdint>

#include "engine/flatten.h"

namespace tf_signbin {
namespace {

// Positions so far apart share a sixteenth of the first-level cache's sets. Layers of so few need
// the activations of all for each tile of filters, which then drive each other out.
constexpr int kConflictingBytes = 1024, kFewPositions = 64;
constexpr int kMostWideChunks = 4;

int FindPhase(int row, int column, std::vector<TilePhase>* phases) {
  const auto found = std::find_if(phases->begin(), phases->end(), [&](const TilePhase& phase) {
    return phase.row == row && phase.column == column;
  });
  const int index = static_cast<int>(found - phases->begin());
  if (found == phases->end()) phases->push_back({row, column});
  return index;
}

void AddChunks(const ConvShape& s, TilesPlan* plan) {
  // Neighbouring taps of a row are neighbouring bytes, of filters and of images.
  const bool contiguous = s.stride_w == 1 && s.dilation_w == 1 && plan->pixel_bytes == s.in_c;
  const int taps = contiguous ? s.kernel_w : 1;
  for (int dy = 0; dy < s.kernel_h; ++dy) {
    for (int dx = 0; dx < s.kernel_w; dx += taps) {
      const int y = dy * s.dilation_h, x = dx * s.dilation_w;
      TileChunk chunk;
      chunk.phase = FindPhase(y % s.stride_h, x % s.stride_w, &plan->phases);
      chunk.row = y / s.stride_h;
      chunk.column = x / s.stride_w;
      const int bytes = taps * s.in_c;
      for (chunk.byte = 0; chunk.byte < bytes; chunk.byte += kTileBytes) {
        chunk.first_weight = (dy * s.kernel_w + dx) * s.in_c + chunk.byte;
        chunk.weights = std::min(bytes - chunk.byte, kTileBytes);
        plan->chunks.push_back(chunk);
      }
    }
  }
}

// Whether bits say all about the weights that tiles multiply. Behind a chunk that does not fill its
// row are activations of something else, which only weights of 0 leave out.
bool TakesBits(const PackedFilters& filters, const TilesPlan& plan) {
  if (filters.kind != WeightKind::kTwoValued || filters.regions != 1) return false;
  if (plan.whole_chunks()) return true;
  for (int filter = 0; filter < filters.out_c; ++filter) {
    if (filters.values_i8[2 * filter] != 0) return false;
  }
  return true;
}

}  // namespace

TilesPlan MakeTilesPlan(const ConvShape& shape, const PackedFilters& filters, size_t copy_bytes) {
  TilesPlan plan;
  plan.shape = FlattenPointwise(shape);
  ConvShape& s = plan.shape;
  const bool pointwise = s.kernel_h == 1 && s.kernel_w == 1 && s.stride_h == 1 && s.stride_w == 1 &&
                         s.batch == 1 && s.in_h == 1 && s.out_h == 1 && s.in_w == s.out_w &&
                         s.pad_top == 0 && s.pad_left == 0;
  if (pointwise) {
    std::swap(s.in_h, s.in_w);
    std::swap(s.out_h, s.out_w);
  }
  plan.pixel_bytes = s.in_c;
  if (s.in_c % kConflictingBytes == 0 && s.out_h * s.out_w <= kFewPositions) {
    plan.pixel_bytes += kTileBytes;
  }
  AddChunks(s, &plan);
  plan.bits = TakesBits(filters, plan);
  if (static_cast<int>(plan.chunks.size()) > kMostWideChunks) plan.group_tiles = 2;
  // A last chunk that is not full reads on into what follows.
  plan.direct = pointwise && s.in_c % kTileBytes == 0 && plan.pixel_bytes == s.in_c;
  plan.more_rows = (s.kernel_h - 1) * s.dilation_h / s.stride_h;
  plan.columns = s.out_w + (s.kernel_w - 1) * s.dilation_w / s.stride_w;
  const size_t row_bytes = plan.phases.size() * plan.columns * plan.pixel_bytes;
  const int64_t rows = static_cast<int64_t>(copy_bytes / row_bytes) - plan.more_rows;
  const int most = static_cast<int>(std::min<int64_t>(std::max<int64_t>(rows, 1), s.out_h));
  plan.band_rows = CeilDiv(s.out_h, CeilDiv(s.out_h, most));
  return plan;
}

double TilesCostNs(const TilesPlan& plan, size_t cache_bytes) {
  // Emerald Rapids at 3 GHz, fitted to 2 x 63 layers (docs/performance.md): a call; the products of
  // a chunk, by how many tiles of sums a block has; a tile of weights expanded to a ring in the
  // first-level cache or to two groups' beyond it; a block of positions and filters; a vector of
  // outputs; a copied byte, and more for a pixel of a strided layer; and a byte of weights from
  // beyond the second-level cache.
  constexpr double kCallNs = 1000, kChunkNs[] = {0, 10.8, 20.4, 26.4, 32.4}, kRingNs = 3,
                   kExpandNs = 12.7, kBlockNs = 36, kOutputNs = 1.7, kByteNs = 0.027,
                   kPixelNs = 2.4, kFarByteNs = 0.034;
  const ConvShape& s = plan.shape;
  const int positions = plan.Positions(plan.band_rows);
  const int tiles = CeilDiv(positions, kTileRows), chunks = static_cast<int>(plan.chunks.size());
  const double weight_tiles = static_cast<double>(plan.filter_tiles()) * chunks;
  double band_ns = 0;
  if (TilesNeededOnce(plan, positions)) {
    band_ns += weight_tiles * (kChunkNs[tiles] + kRingNs) + plan.filter_tiles() * kBlockNs;
  } else {
    const int filters = std::min(plan.filter_tiles(), 2);
    const double pairs = CeilDiv(plan.filter_tiles(), 2);
    band_ns += pairs * chunks * (tiles / 2 * kChunkNs[2 * filters] + tiles % 2 * kChunkNs[filters]);
    band_ns += pairs * CeilDiv(tiles, 2) * kBlockNs;
    if (plan.bits) band_ns += weight_tiles * kExpandNs;
    const double weight_bytes = weight_tiles * kTileRows * kTileBytes;
    if (!plan.bits && weight_bytes > cache_bytes) band_ns += weight_bytes * kFarByteNs;
  }
  if (!plan.direct) {
    const double bytes = static_cast<double>(plan.phases.size()) * plan.phase_bytes();
    band_ns += bytes * kByteNs;
    if (s.stride_w > 1) band_ns += bytes / plan.pixel_bytes * kPixelNs;
  }
  const double outputs = static_cast<double>(s.out_h) * s.out_w * plan.filter_tiles();
  return kCallNs + s.batch * (plan.bands() * band_ns + outputs * kOutputNs);
}

}  // namespace tf_signbin
