// The families that unpack filters to int8 weights, dense (AVX-512 VNNI) and gemm (AVX-VNNI, AVX2,
// NEON), against the reference family. A failure prints its seed; replay it with
// TF_SIGNBIN_SEED=<seed>.
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <map>
#include <string>
#include <vector>

#include "engine/planner.h"
#include "engine/unpack.h"
#include "tests/random_layer.h"
#include "tests/run_kernel.h"

namespace tf_signbin {
namespace {

bool IsAny(Isa isa, const std::vector<Isa>& isas) {
  return std::find(isas.begin(), isas.end(), isa) != isas.end();
}

bool HasDenseKernels() {
  for (const Isa isa : HostTarget().Isas()) {
    if (IsAny(isa, {Isa::kAvx2, Isa::kNeon})) return true;
  }
  return false;
}

// The kernels that should run the layer: all but one take any weight.
std::vector<PlanOptions> DenseKernels(const RandomLayer& layer) {
  const std::vector<int8_t>& values = layer.filters.values_i8;
  const bool least = std::find(values.begin(), values.end(), -128) != values.end();
  std::vector<PlanOptions> kernels;
  for (const Isa isa : HostTarget().Isas()) {
    PlanOptions options;
    options.isa = IsaName(isa);
    options.family = IsAny(isa, {Isa::kAmx, Isa::kAvx512Vnni}) ? "dense" : "gemm";
    if (IsAny(isa, {Isa::kAmx, Isa::kAvx512Vnni, Isa::kAvxVnni, Isa::kAvx2, Isa::kNeonDot,
                    Isa::kNeonI8mm}) ||
        (isa == Isa::kNeon && !least)) {
      kernels.push_back(options);
    }
  }
  return kernels;
}

void ExpectDenseEqualsReference(const RandomLayer& layer, int threads) {
  PlanOptions reference;
  reference.family = "reference";
  ThreadPool one(1), several(threads);
  const auto expected = RunKernel<int8_t>(layer, reference, &one);
  for (const PlanOptions& dense : DenseKernels(layer)) {
    std::string name;
    EXPECT_EQ(RunKernel<int8_t>(layer, dense, &one, &name), expected) << name;
    EXPECT_EQ(RunKernel<int8_t>(layer, dense, &several), expected)
        << threads << " threads, " << name;
  }
}

RandomLayer LayerOf(const ConvShape& shape, Rng* rng) {
  RandomLayer layer;
  layer.type = DataType::kInt8;
  layer.filters.regions = 1;
  layer.shape = shape;
  FillFilters(*rng, &layer);
  FillOutputStage(*rng, &layer);
  FillInput(*rng, &layer);
  return layer;
}

// Runs of every length, panels that are not full, rows that are taken as they lie and others.
TEST(Dense, AnyNumberOfPixelsAndFilters) {
  if (!HasDenseKernels()) GTEST_SKIP() << "needs AVX2 or NEON";
  Rng rng(5);
  for (int pixels = 1; pixels <= 40; ++pixels) {
    ConvShape shape;
    shape.in_h = shape.out_h = 1;
    shape.in_w = shape.out_w = pixels;
    shape.in_c = rng.Int(1, 4) * (pixels % 3 == 0 ? 16 : pixels % 3 == 1 ? 4 : 3);
    shape.out_c = rng.Int(1, pixels % 5 == 1 ? 150 : 50);
    shape.kernel_h = shape.kernel_w = 1;
    const RandomLayer layer = LayerOf(shape, &rng);
    SCOPED_TRACE(layer.Describe());
    ExpectDenseEqualsReference(layer, 2);
    if (HasFailure()) return;
  }
}

TEST(Dense, EqualsReferenceOnRandomLayers) {
  if (!HasDenseKernels()) GTEST_SKIP() << "needs AVX2 or NEON";
  for (const uint64_t seed : Seeds(400)) {
    const RandomLayer layer = MakeRandomLayer(DataType::kInt8, seed);
    SCOPED_TRACE("TF_SIGNBIN_SEED=" + std::to_string(seed) + ": " + layer.Describe());
    ExpectDenseEqualsReference(layer, 2 + static_cast<int>(seed % 3));
    if (HasFailure()) return;
  }
}

// The same weights as values instead of masks.
TEST(Dense, DenseFiltersEqualMaskedOnes) {
  PlanOptions reference;
  reference.family = "reference";
  ThreadPool one(1);
  for (const uint64_t seed : Seeds(100)) {
    RandomLayer layer = MakeRandomLayer(DataType::kInt8, seed);
    SCOPED_TRACE("TF_SIGNBIN_SEED=" + std::to_string(seed) + ": " + layer.Describe());
    const auto expected = RunKernel<int8_t>(layer, reference, &one);
    PackedFilters& f = layer.filters;
    std::vector<int8_t> weights(f.out_c * f.weights_per_filter());
    for (int filter = 0; filter < f.out_c; ++filter) {
      UnpackFilter(f, f.values_i8, filter, &weights[filter * f.weights_per_filter()]);
    }
    f.kind = WeightKind::kDense;
    f.regions = 1;
    f.pattern_n = f.pattern_m = 0;
    f.masks.clear();
    f.values_i8 = std::move(weights);
    EXPECT_EQ(RunKernel<int8_t>(layer, reference, &one), expected);
    ExpectDenseEqualsReference(layer, 2);
    for (const char* family : {"permute", "table"}) {
      PlanOptions options;
      options.family = family;
      Status status;
      auto conv = Conv2D::Create(layer.type, f, layer.output, options, &status);
      if (conv != nullptr) status = conv->Resize(layer.shape, 1);
      EXPECT_FALSE(status.ok()) << family;
    }
    if (HasFailure()) return;
  }
}

ConvShape SameShape(int height, int width, int in_c, int out_c, int kernel) {
  ConvShape s;
  s.in_h = s.out_h = height;
  s.in_w = s.out_w = width;
  s.in_c = in_c;
  s.out_c = out_c;
  s.kernel_h = s.kernel_w = kernel;
  s.pad_top = s.pad_left = kernel / 2;
  return s;
}

// Matrix tiles: one block and several, tiles that overlap, groups of one to four tiles of filters,
// sums long enough to be interrupted, and pixels that are copied further apart.
TEST(Dense, TilesOfEveryNumberOfPositionsAndFilters) {
  if (!HasDenseKernels()) GTEST_SKIP() << "needs AVX2 or NEON";
  Rng rng(11);
  const auto expect = [&rng](const ConvShape& shape) {
    const RandomLayer layer = LayerOf(shape, &rng);
    SCOPED_TRACE(layer.Describe());
    ExpectDenseEqualsReference(layer, 2);
  };
  for (const int width : {1, 15, 16, 17, 32, 33, 47, 49, 64, 65, 96, 113}) {
    for (const int out_c : {5, 16, 17, 33, 64, 65, 100}) {
      expect(SameShape(1, width, 64, out_c, 1));
    }
    expect(SameShape(1, width, 1100, 40, 1));
    expect(SameShape(1, width, 1024, 70, 1));
  }
  for (const int side : {3, 5, 7, 9}) {
    for (const int in_c : {16, 24, 64, 128}) expect(SameShape(side, side, in_c, 80, 3));
  }
}

// Shapes that random layers are too small to reach: rows cut into strips, filters into panels, and
// every width of a microkernel.
TEST(Dense, EqualsReferenceOnStripsPanelsAndEveryWidth) {
  if (!HasDenseKernels()) GTEST_SKIP() << "needs AVX2 or NEON";
  std::vector<ConvShape> shapes = {
      SameShape(30, 31, 128, 17, 1),  // one flattened row, several strips
      SameShape(2, 700, 260, 5, 3),   // several strips with neighbours
      SameShape(3, 5, 300, 400, 3),   // several panels
      SameShape(7, 7, 70, 130, 3),    // filters split over threads
  };
  for (int width = 1; width <= 33; ++width) {
    shapes.push_back(SameShape(2, width, 5, 70, 3));
    shapes.push_back(SameShape(1, width, 16, 16, 1));
    shapes.push_back(SameShape(1, 3, width, width, 1));  // every remainder of depth and filters
    shapes.push_back(SameShape(1, 1, width, 2 * width, 1));
  }
  // First layers: few channels, of which groups run on from pixel to pixel.
  for (const int channels : {1, 2, 3, 5, 6}) {
    for (const int kernel : {2, 3, 5, 7}) {
      for (const int stride : {1, 2}) {
        ConvShape s = SameShape(11, 14 + kernel, channels, 20, kernel);
        s.stride_h = s.stride_w = stride;
        s.out_h = (s.in_h + 2 * s.pad_top - kernel) / stride + 1;
        s.out_w = (s.in_w + 2 * s.pad_left - kernel) / stride + 1;
        shapes.push_back(s);
      }
    }
  }
  for (size_t i = 0; i < shapes.size(); ++i) {
    Rng rng(i);
    const RandomLayer layer = LayerOf(shapes[i], &rng);
    SCOPED_TRACE(layer.Describe());
    ExpectDenseEqualsReference(layer, 3);
    if (HasFailure()) return;
  }
}

// A layer of two values a filter with inputs of few bits.
RandomLayer LookedUpLayer(const ConvShape& shape, int bits, uint64_t seed, bool pattern = false) {
  Rng rng(seed);
  RandomLayer layer;
  layer.type = DataType::kInt8;
  layer.filters.regions = 1;
  layer.shape = shape;
  do {
    layer.filters.values_i8.clear();
    FillFilters(rng, &layer);
  } while (layer.filters.kind != WeightKind::kTwoValued ||
           (pattern && layer.filters.pattern_m == 0));
  FillOutputStage(rng, &layer);
  layer.output.input_zero_point = 128 - (1 << bits);
  layer.input_i8.resize(static_cast<size_t>(shape.batch) * shape.in_h * shape.in_w * shape.in_c);
  for (int8_t& x : layer.input_i8) x = static_cast<int8_t>(127 - rng.Int(0, (1 << bits) - 1));
  return layer;
}

bool HasLookUps() { return HostTarget().Has(IsaFeatures(Isa::kAvx512Vnni) | feature::kAvx512Vbmi); }

// The i-th of the processors that look-ups are offered, each with the caches that divide work most.
Target LookUpTarget(size_t i) {
  Target target = HostTarget();
  target.core = std::vector<Core>{Core::kIntel, Core::kGeneric, Core::kZen5}[i % 3];
  if (target.core == Core::kZen5) target.caches.level1 = 8 << 10;
  return target;
}

// Sums of subsets that are looked up in the place of dot products: groups that are not whole, every
// width, strides, dilations, strips, panels, kernel rows apart, threads.
TEST(Dense, LookedUpSumsEqualReference) {
  if (!HasLookUps()) GTEST_SKIP() << "needs AVX-512 VNNI and VBMI";
  std::vector<ConvShape> shapes = {
      SameShape(30, 31, 128, 32, 1), SameShape(2, 300, 260, 16, 3), SameShape(3, 5, 320, 720, 3),
      SameShape(7, 7, 70, 130, 3),   SameShape(9, 8, 48, 33, 5),    SameShape(5, 19, 200, 70, 3),
      SameShape(4, 9, 400, 33, 3),
  };
  for (int width = 1; width <= 25; ++width) shapes.push_back(SameShape(2, width, 31, 32, 3));
  for (int width = 1; width <= 17; ++width) shapes.push_back(SameShape(1, width, 16, 16, 1));
  for (const int channels : {15, 17, 32, 63, 64}) {
    shapes.push_back(SameShape(1, 3, channels, channels, 1));
    shapes.push_back(SameShape(1, 2, channels, 64, 3));
  }
  for (const int step : {2, 3}) {
    ConvShape strided = SameShape(9, 11, 40, 20, 3), dilated = SameShape(9, 11, 40, 20, 3);
    strided.stride_h = strided.stride_w = step;
    strided.out_h = (strided.in_h - 1) / step + 1;
    strided.out_w = (strided.in_w - 1) / step + 1;
    dilated.dilation_h = dilated.dilation_w = step;
    dilated.pad_top = dilated.pad_left = step;
    dilated.batch = 2;
    dilated.in_c = 180;
    ConvShape pointwise = SameShape(9, 11, 40, 20, 1);
    pointwise.stride_h = pointwise.stride_w = step;
    pointwise.out_h = strided.out_h;
    pointwise.out_w = strided.out_w;
    shapes.insert(shapes.end(), {strided, dilated, pointwise});
  }
  PlanOptions reference, tables;
  reference.family = "reference";
  tables.family = "dense";
  tables.isa = IsaName(Isa::kAvx512Vnni);
  ThreadPool one(1), three(3);
  std::map<std::string, int> looked_up;  // by the microkernels' form
  for (size_t i = 0; i < 3 * shapes.size(); ++i) {
    const int bits = 1 + static_cast<int>(i % 6);
    const Target target = LookUpTarget(i / shapes.size());
    const RandomLayer layer = LookedUpLayer(shapes[i % shapes.size()], bits, i);
    SCOPED_TRACE(layer.Describe() + ", " + std::to_string(bits) + " bits");
    std::string name;
    const auto expected = RunKernel<int8_t>(layer, reference, &one);
    EXPECT_EQ(RunKernel<int8_t>(layer, tables, &one, &name, target), expected) << name;
    EXPECT_EQ(RunKernel<int8_t>(layer, tables, &three, nullptr, target), expected) << name;
    looked_up["rows"] += name.find("_rows") != name.npos;
    for (const char* form : {"_i8b_", "_i8b2_", "_i8b4_"}) {
      if (name.find(form) != std::string::npos) {
        ++looked_up[form];
        if (name.find("_m4_") == std::string::npos) ++looked_up["more than four channels"];
      }
    }
    if (HasFailure()) return;
  }
  EXPECT_GT(looked_up["_i8b_"], static_cast<int>(shapes.size()) / 2);
  EXPECT_GT(looked_up["_i8b2_"], 5);
  EXPECT_GT(looked_up["_i8b4_"], 15);
  EXPECT_GT(looked_up["more than four channels"], 5);
  EXPECT_GT(looked_up["rows"], 3);
}

// One look-up for 64 filters, where few subsets of a group of channels occur: every width, groups
// that are not whole, filters that do not fill a vector, both numbers of groups that are added.
TEST(Dense, LookUpsOf64FiltersEqualReference) {
  if (!HasLookUps()) GTEST_SKIP() << "needs AVX-512 VNNI and VBMI";
  std::vector<ConvShape> shapes;
  for (int width = 1; width <= 20; ++width) shapes.push_back(SameShape(3, width, 61, 64, 3));
  for (const int channels : {33, 49, 70, 128, 200, 400}) {
    shapes.push_back(SameShape(2, 9, channels, channels, 1));
    shapes.push_back(SameShape(4, 6, channels, channels + 7, 3));
    shapes.push_back(SameShape(5, 11, channels + 200, 64, 3));
    shapes.push_back(SameShape(3, 5, channels, 64, 5));
  }
  for (const int step : {2, 3}) {
    ConvShape strided = SameShape(9, 11, 40, 64, 3), dilated = SameShape(9, 11, 40, 64, 3);
    strided.stride_h = strided.stride_w = step;
    strided.out_h = (strided.in_h - 1) / step + 1;
    strided.out_w = (strided.in_w - 1) / step + 1;
    dilated.dilation_h = dilated.dilation_w = step;
    dilated.pad_top = dilated.pad_left = step;
    dilated.batch = 2;
    shapes.insert(shapes.end(), {strided, dilated});
  }
  PlanOptions reference, tables;
  reference.family = "reference";
  tables.family = "dense";
  tables.isa = IsaName(Isa::kAvx512Vnni);
  ThreadPool one(1), three(3);
  std::map<std::string, int> looked_up;
  for (size_t i = 0; i < 4 * shapes.size(); ++i) {
    const int bits = 4 + static_cast<int>(i % 3);
    const Target target = LookUpTarget(i / shapes.size());
    const RandomLayer layer = LookedUpLayer(shapes[i % shapes.size()], bits, i, /*pattern=*/true);
    SCOPED_TRACE(layer.Describe() + ", " + std::to_string(bits) + " bits");
    std::string name;
    const auto expected = RunKernel<int8_t>(layer, reference, &one);
    EXPECT_EQ(RunKernel<int8_t>(layer, tables, &one, &name, target), expected) << name;
    EXPECT_EQ(RunKernel<int8_t>(layer, tables, &three, nullptr, target), expected) << name;
    for (const char* form : {"_i8w2_", "_i8w4_", "_rows"}) {
      looked_up[form] += name.find(form) != name.npos;
    }
    if (HasFailure()) return;
  }
  EXPECT_GT(looked_up["_i8w2_"], 5);
  EXPECT_GT(looked_up["_i8w4_"], 30);
  EXPECT_GT(looked_up["_rows"], 5);
}

// Sums of 16 bits, unsigned: up to the largest that they hold, and beyond, where no such kernel is
// offered.
TEST(Dense, LookUpsOf64FiltersHoldTheLargestSums) {
  if (!HasLookUps()) GTEST_SKIP() << "needs AVX-512 VNNI and VBMI";
  Target target = HostTarget();
  target.core = Core::kGeneric;
  PlanOptions reference, tables;
  reference.family = "reference";
  tables.family = "dense";
  tables.isa = IsaName(Isa::kAvx512Vnni);
  ThreadPool one(1);
  for (const int channels : {1050, 1170, 1180}) {  // sums of 58590, 65286, 65844
    const int bits = 5;
    Rng rng(channels);
    RandomLayer layer = LookedUpLayer(SameShape(1, 4, channels, 64, 3), bits, 1, /*pattern=*/true);
    PackedFilters& f = layer.filters;
    f.pattern_n = 2;
    f.pattern_m = 10;
    std::fill(f.masks.begin(), f.masks.end(), 0);
    for (int filter = 0; filter < f.out_c; ++filter) {
      for (int tap = 0; tap < 9; ++tap) {
        for (int c = 0; c < channels; c += 10) {  // two of ten
          const int first = rng.Int(0, 8), second = rng.Int(first + 1, 9);
          for (const int channel : {c + first, c + second}) {
            const size_t k = static_cast<size_t>(tap) * channels + channel;
            f.masks[filter * f.mask_row_bytes() + k / 8] |= static_cast<uint8_t>(1 << k % 8);
          }
        }
      }
    }
    // All rows of the window within the image, all of its pixels at the largest value.
    layer.shape.in_h = 3;
    layer.shape.pad_top = 0;
    layer.input_i8.assign(size_t{3} * 4 * channels, 127);
    OutputStage& o = layer.output;
    o.multiplier.assign(f.out_c, 1 << 30);
    o.shift.assign(f.out_c, -17);
    o.real_multiplier.clear();
    std::string name;
    const auto expected = RunKernel<int8_t>(layer, reference, &one);
    EXPECT_EQ(RunKernel<int8_t>(layer, tables, &one, &name, target), expected) << name;
    EXPECT_EQ(name.find("_i8w4_") != name.npos, channels < 1180) << name;
  }
}

// Look-ups of filters with a background: the largest sums of filters (signed) and of windows
// (unsigned) that 16 bits hold, and the next ones, for which 32 are taken.
TEST(Dense, LookedUpSumsWithBackgroundsAtTheLimitsOfWords) {
  if (!HasLookUps()) GTEST_SKIP() << "needs AVX-512 VNNI and VBMI";
  PlanOptions reference, tables;
  reference.family = "reference";
  tables.family = "dense";
  tables.isa = IsaName(Isa::kAvx512Vnni);
  ThreadPool one(1);
  const int bits = 6, most = 63;
  for (const int channels : {115, 116}) {  // sums of 65205, 65772
    const int weights = 9 * channels;
    for (const int effectual : {0x7fff / most, 0x7fff / most + 1}) {
      Rng rng(channels + effectual);
      RandomLayer layer = LookedUpLayer(SameShape(3, 9, channels, 20, 3), bits, 1);
      PackedFilters& f = layer.filters;
      f.pattern_n = f.pattern_m = 0;
      std::fill(f.masks.begin(), f.masks.end(), 0);
      f.values_i8.clear();
      for (int filter = 0; filter < f.out_c; ++filter) {
        const int first = rng.Int(0, weights - effectual);
        for (int k = first; k < first + effectual; ++k) {
          f.masks[filter * f.mask_row_bytes() + k / 8] |= static_cast<uint8_t>(1 << k % 8);
        }
        const int sign = filter % 2 ? 1 : -1;
        f.values_i8.insert(f.values_i8.end(), {static_cast<int8_t>(-sign * rng.Int(100, 127)),
                                               static_cast<int8_t>(sign * rng.Int(100, 127))});
      }
      // The largest values in whole windows, and others.
      layer.input_i8.assign(size_t{27} * channels, 127);
      for (size_t i = size_t{22} * channels; i < layer.input_i8.size(); ++i) {
        layer.input_i8[i] = static_cast<int8_t>(127 - rng.Int(0, 1) * rng.Int(0, most));
      }
      OutputStage& o = layer.output;
      o.multiplier.assign(f.out_c, 1 << 30);
      o.shift.assign(f.out_c, -14);
      o.real_multiplier.clear();
      o.clamp_min_i8 = -128;
      o.clamp_max_i8 = 127;
      std::string name;
      const auto expected = RunKernel<int8_t>(layer, reference, &one);
      EXPECT_EQ(RunKernel<int8_t>(layer, tables, &one, &name), expected)
          << name << ", " << channels << " channels, " << effectual << " effectual";
      EXPECT_NE(name.find("_m4_"), name.npos) << name;
    }
  }
}

// The NEON kernel adds two products of 8 bits in 16: the largest ones, everywhere, of either sign.
TEST(Dense, EqualsReferenceAtTheExtremes) {
  if (!HasDenseKernels()) GTEST_SKIP() << "needs AVX2 or NEON";
  for (const int weight : {-128, -127, 127}) {
    for (const int activation : {-128, 127}) {
      Rng rng(0);
      RandomLayer layer = LayerOf(SameShape(5, 5, 21, 9, 3), &rng);
      PackedFilters& f = layer.filters;
      f.kind = WeightKind::kDense;
      f.pattern_n = f.pattern_m = 0;
      f.masks.clear();
      f.values_i8.assign(f.out_c * f.weights_per_filter(), static_cast<int8_t>(weight));
      std::fill(layer.input_i8.begin(), layer.input_i8.end(), static_cast<int8_t>(activation));
      OutputStage& o = layer.output;
      o.multiplier.assign(f.out_c, 1 << 30);
      o.shift.assign(f.out_c, -14);  // outputs within eight bits
      o.real_multiplier.clear();
      SCOPED_TRACE(std::to_string(weight) + " * " + std::to_string(activation));
      ExpectDenseEqualsReference(layer, 2);
      if (weight == -128 && IsAny(Isa::kNeon, HostTarget().Isas())) {
        PlanOptions neon;
        neon.family = "gemm";
        neon.isa = "neon";
        const ConvProblem problem{layer.type, layer.shape, &f, &o};
        EXPECT_TRUE(Candidates(problem, neon).empty());
      }
    }
  }
}

// Accumulators that are just the biases: ties, their neighbours and large values under every shift.
// One more filter decides by which rule the layer is rescaled: float has no place for its bias, the
// 64-bit rule none for its shift to the left.
TEST(Dense, RescalesAsReferenceUnderEveryShift) {
  if (!HasDenseKernels()) GTEST_SKIP() << "needs AVX2 or NEON";
  Rng rng(0);
  for (int shift = -31; shift <= 2; ++shift) {
    RandomLayer layer;
    layer.type = DataType::kInt8;
    std::vector<int32_t> biases = {0, 1, -1, 2, -2, 3, -3};
    for (int i = 0; i < 400; ++i) {
      // Halves of an output step, as multiples of 2^-shift at multiplier 2^30 (one half), +-1.
      const int64_t half = int64_t{1} << std::min(std::max(-shift, 1), 29);
      const int64_t bias = rng.Int(-300, 300) * half + rng.Int(-1, 1);
      const int64_t limit = shift > 0 ? 1 << 26 : std::numeric_limits<int32_t>::max();
      biases.push_back(static_cast<int32_t>(std::min(std::max(bias, -limit), limit)));
    }
    layer.shape = SameShape(1, 3, 1, static_cast<int>(biases.size()), 1);
    PackedFilters& f = layer.filters;
    f.out_c = layer.shape.out_c;
    f.in_c = 1;
    f.masks.assign(f.out_c, 0);
    f.values_i8.assign(2 * f.out_c, 0);
    OutputStage& o = layer.output;
    o.bias_i32 = biases;
    o.output_zero_point = rng.Int(-128, 127);
    for (int i = 0; i < f.out_c; ++i) {
      o.multiplier.push_back(i % 2 ? 1 << 30 : rng.Int(1 << 30, 2147483646));
      o.shift.push_back(shift);
    }
    FillInput(rng, &layer);
    for (const int last_shift : {-31, -1, 1}) {
      o.bias_i32.back() = last_shift == -1 ? 1 << 30 : 100;
      o.shift.back() = last_shift;
      for (const bool relu : {false, true}) {
        o.clamp_min_i8 = relu ? o.output_zero_point : -128;
        SCOPED_TRACE("shift " + std::to_string(shift) + (relu ? " relu, " : ", ") +
                     std::to_string(last_shift));
        ExpectDenseEqualsReference(layer, 2);
      }
    }
    if (HasFailure()) return;
  }
}

}  // namespace
}  // namespace tf_signbin
