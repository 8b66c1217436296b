// What matrix tiles would multiply, by plain loops: runs where there are no tiles, too.
#include "engine/kernels/dense/tiles_plan.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "engine/unpack.h"
#include "tests/random_layer.h"

namespace tf_signbin {
namespace {

// A pixel of the padded image.
int8_t Pixel(const RandomLayer& layer, const ConvShape& s, int image, int y, int x, int c) {
  if (y < 0 || y >= s.in_h || x < 0 || x >= s.in_w) {
    return static_cast<int8_t>(layer.output.input_zero_point);
  }
  return layer.input_i8[((static_cast<size_t>(image) * s.in_h + y) * s.in_w + x) * s.in_c + c];
}

int32_t WindowSum(const RandomLayer& layer, const std::vector<int8_t>& weights, int image, int y,
                  int x) {
  const ConvShape& s = layer.shape;
  int32_t sum = 0;
  const int8_t* weight = weights.data();
  for (int dy = 0; dy < s.kernel_h; ++dy) {
    for (int dx = 0; dx < s.kernel_w; ++dx) {
      for (int c = 0; c < s.in_c; ++c) {
        sum += *weight++ * Pixel(layer, s, image, y * s.stride_h + dy * s.dilation_h - s.pad_top,
                                 x * s.stride_w + dx * s.dilation_w - s.pad_left, c);
      }
    }
  }
  return sum;
}

// The phases of output rows [first_row, first_row + rows), one behind the other.
std::vector<int8_t> CopyBand(const RandomLayer& layer, const TilesPlan& plan, int image,
                             int first_row, int rows) {
  const ConvShape& s = plan.shape;
  std::vector<int8_t> copy;
  for (const TilePhase& phase : plan.phases) {
    for (int r = 0; r < rows + plan.more_rows; ++r) {
      for (int column = 0; column < plan.columns; ++column) {
        for (int c = 0; c < s.in_c; ++c) {
          copy.push_back(Pixel(layer, s, image,
                               (first_row + r) * s.stride_h + phase.row - s.pad_top,
                               column * s.stride_w + phase.column - s.pad_left, c));
        }
      }
    }
    copy.resize((copy.size() + plan.phase_bytes() - 1) / plan.phase_bytes() * plan.phase_bytes());
  }
  return copy;
}

TEST(TilesPlan, ChunksOfEveryPositionAreItsWindow) {
  int several_phases = 0, several_bands = 0;
  for (const uint64_t seed : Seeds(300)) {
    SCOPED_TRACE("TF_SIGNBIN_SEED=" + std::to_string(seed));
    const RandomLayer layer = MakeRandomLayer(DataType::kInt8, seed);
    const TilesPlan plan = MakeTilesPlan(layer.shape, layer.filters, /*copy_bytes=*/4096);
    const ConvShape& s = plan.shape;
    std::vector<int8_t> weights(layer.filters.weights_per_filter());
    UnpackFilter(layer.filters, layer.filters.values_i8, 0, weights.data());
    several_phases += plan.phases.size() > 1;
    several_bands += plan.bands() > 1;
    std::vector<int32_t> sums, expected;
    for (int image = 0; image < s.batch; ++image) {
      for (int band = 0; band < plan.bands(); ++band) {
        const int first_row = band * plan.band_rows;
        const int rows = std::min(plan.band_rows, s.out_h - first_row);
        ASSERT_GT(rows, 0);
        const std::vector<int8_t> copy = CopyBand(layer, plan, image, first_row, rows);
        for (int position = 0; position < plan.Positions(rows); ++position) {
          int32_t sum = 0;
          size_t multiplied = 0;
          for (const TileChunk& chunk : plan.chunks) {
            ASSERT_LE(chunk.weights, kTileBytes);
            const size_t at = static_cast<size_t>(position) * s.in_c + plan.offset(chunk);
            // The rest of a tile's row may lie behind the copy, which Aligned leaves room for.
            ASSERT_LT(at, copy.size());
            ASSERT_LE(at + chunk.weights, copy.size());
            for (int i = 0; i < chunk.weights; ++i) {
              sum += weights[chunk.first_weight + i] * copy[at + i];
            }
            multiplied += chunk.weights;
          }
          ASSERT_EQ(multiplied, weights.size());
          if (position % plan.columns < s.out_w) sums.push_back(sum);
        }
      }
    }
    const ConvShape& own = layer.shape;
    for (int image = 0; image < own.batch; ++image) {
      for (int y = 0; y < own.out_h; ++y) {
        for (int x = 0; x < own.out_w; ++x) {
          expected.push_back(WindowSum(layer, weights, image, y, x));
        }
      }
    }
    ASSERT_EQ(sums, expected) << layer.Describe();
  }
  if (Seeds(2).size() == 2) {
    EXPECT_GT(several_phases, 20);
    EXPECT_GT(several_bands, 20);
  }
}

// 1x1 layers of whole tiles are read where they are.
TEST(TilesPlan, PointwiseLayersOfWholeTilesAreNotCopied) {
  ConvShape shape;
  shape.in_h = shape.out_h = 14;
  shape.in_w = shape.out_w = 9;
  shape.in_c = 2 * kTileBytes;
  shape.out_c = 40;
  EXPECT_TRUE(MakeTilesPlan(shape, PackedFilters(), 1 << 18).direct);
  shape.in_c += 4;
  EXPECT_FALSE(MakeTilesPlan(shape, PackedFilters(), 1 << 18).direct);
}

}  // namespace
}  // namespace tf_signbin
