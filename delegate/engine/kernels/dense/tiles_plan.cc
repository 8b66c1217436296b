#include "engine/kernels/dense/tiles_plan.h"

#include <algorithm>
#include <cstdint>

#include "engine/flatten.h"

namespace tf_signbin {
namespace {

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
  const bool contiguous = s.stride_w == 1 && s.dilation_w == 1;
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

}  // namespace

TilesPlan MakeTilesPlan(const ConvShape& shape, size_t copy_bytes) {
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
  AddChunks(s, &plan);
  // A last chunk that is not full reads on into what follows.
  plan.direct = pointwise && s.in_c % kTileBytes == 0;
  plan.more_rows = (s.kernel_h - 1) * s.dilation_h / s.stride_h;
  plan.columns = s.out_w + (s.kernel_w - 1) * s.dilation_w / s.stride_w;
  const size_t row_bytes = plan.phases.size() * plan.columns * s.in_c;
  const int64_t rows = static_cast<int64_t>(copy_bytes / row_bytes) - plan.more_rows;
  const int most = static_cast<int>(std::min<int64_t>(std::max<int64_t>(rows, 1), s.out_h));
  plan.band_rows = CeilDiv(s.out_h, CeilDiv(s.out_h, most));
  return plan;
}

double TilesCostNs(const TilesPlan& plan, size_t cache_bytes) {
  // Emerald Rapids, of a prototype (docs/performance.md): a product of tiles, a stored tile, 16
  // outputs, a copied byte, and a byte of weights from beyond the second-level cache.
  constexpr double kProductNs = 6.5, kStoreNs = 6, kOutputNs = 2.5, kByteNs = 0.02,
                   kFarByteNs = 0.03, kBlockNs = 20;
  const ConvShape& s = plan.shape;
  const int positions = plan.Positions(plan.band_rows);
  const int tiles = 2 * CeilDiv(positions, kTileRows);  // of sums, a block of filters
  const double blocks_ns =
      CeilDiv(positions, kTilePositions) * kBlockNs +
      tiles * (plan.chunks.size() * kProductNs + kStoreNs + kTileRows * kOutputNs);
  const double weight_bytes = static_cast<double>(plan.blocks()) * plan.block_bytes();
  const double far_ns = weight_bytes > cache_bytes ? weight_bytes * kFarByteNs : 0;
  const double copy_ns =
      plan.direct ? 0 : static_cast<double>(plan.phases.size()) * plan.phase_bytes() * kByteNs;
  return static_cast<double>(s.batch) * plan.bands() *
         (plan.blocks() * blocks_ns + copy_ns + far_ns);
}

}  // namespace tf_signbin
