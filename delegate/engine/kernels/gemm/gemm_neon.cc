// NEON without dot products, 32 and 64 bit: depth in lanes. Two products of 8 bits fit 16 bits, as
// no weight is -128; they are added in pairs to 32-bit sums.
#include <arm_neon.h>

#include "engine/kernels/gemm/gemm_ops.h"
#if defined(__aarch64__)
#include "engine/kernels/output/filter_lanes_neon-inl.h"
#endif

namespace tf_signbin {
namespace gemm {
namespace {

constexpr int kFilters = 4;
#if defined(__aarch64__)
constexpr int kPixels = 4;
#else
constexpr int kPixels = 2;  // half as many registers
#endif

// The products of x[p] and w, added in fours, are what sums[p] starts with (kFirst) or added to it.
// One kind of instruction for all pixels before the next, so that none waits for the one before.
template <bool kFirst>
inline void AddProducts(const int8x16_t (&x)[kPixels], int8x16_t w, int32x4_t (&sums)[kPixels]) {
#if defined(__aarch64__)
  // Assembly, as compilers run out of registers.
#define TF_SIGNBIN_ADD_PRODUCTS(add, sum_is)                                                    \
  asm("smull %[p0].8h, %[x0].8b, %[w].8b\n\t"                                                   \
      "smull %[p1].8h, %[x1].8b, %[w].8b\n\t"                                                   \
      "smull %[p2].8h, %[x2].8b, %[w].8b\n\t"                                                   \
      "smull %[p3].8h, %[x3].8b, %[w].8b\n\t"                                                   \
      "smlal2 %[p0].8h, %[x0].16b, %[w].16b\n\t"                                                \
      "smlal2 %[p1].8h, %[x1].16b, %[w].16b\n\t"                                                \
      "smlal2 %[p2].8h, %[x2].16b, %[w].16b\n\t"                                                \
      "smlal2 %[p3].8h, %[x3].16b, %[w].16b\n\t" add " %[s0].4s, %[p0].8h\n\t" add              \
      " %[s1].4s, %[p1].8h\n\t" add " %[s2].4s, %[p2].8h\n\t" add " %[s3].4s, %[p3].8h"         \
      : [s0] sum_is(sums[0]), [s1] sum_is(sums[1]), [s2] sum_is(sums[2]), [s3] sum_is(sums[3]), \
        [p0] "=&w"(p0), [p1] "=&w"(p1), [p2] "=&w"(p2), [p3] "=&w"(p3)                          \
      : [x0] "w"(x[0]), [x1] "w"(x[1]), [x2] "w"(x[2]), [x3] "w"(x[3]), [w] "w"(w))
  int16x8_t p0, p1, p2, p3;
  if (kFirst) {
    TF_SIGNBIN_ADD_PRODUCTS("saddlp", "=&w");
  } else {
    TF_SIGNBIN_ADD_PRODUCTS("sadalp", "+w");
  }
#undef TF_SIGNBIN_ADD_PRODUCTS
#else
  int16x8_t products[kPixels];
  for (int p = 0; p < kPixels; ++p) products[p] = vmull_s8(vget_low_s8(x[p]), vget_low_s8(w));
  for (int p = 0; p < kPixels; ++p) {
    products[p] = vmlal_s8(products[p], vget_high_s8(x[p]), vget_high_s8(w));
  }
  for (int p = 0; p < kPixels; ++p) {
    sums[p] = kFirst ? vpaddlq_s16(products[p]) : vpadalq_s16(sums[p], products[p]);
  }
#endif
}

// The four lanes' sums of a, b, c and d.
inline int32x4_t SumLanes(int32x4_t a, int32x4_t b, int32x4_t c, int32x4_t d) {
#if defined(__aarch64__)
  return vpaddq_s32(vpaddq_s32(a, b), vpaddq_s32(c, d));
#else
  const auto half = [](int32x4_t x) { return vpadd_s32(vget_low_s32(x), vget_high_s32(x)); };
  return vcombine_s32(vpadd_s32(half(a), half(b)), vpadd_s32(half(c), half(d)));
#endif
}

struct Sums {
  int32x4_t of[kFilters][kPixels];

  void Clear() {
    for (auto& filter : of) {
      for (int32x4_t& sum : filter) sum = vdupq_n_s32(0);
    }
  }

  template <bool kFirst>
  void AddBlock(const int8_t* const (&rows)[kPixels], int k, const int8_t* weights) {
    int8x16_t x[kPixels];
#pragma GCC unroll 4
    for (int p = 0; p < kPixels; ++p) x[p] = vld1q_s8(rows[p] + k);
#pragma GCC unroll 4
    for (int f = 0; f < kFilters; ++f) {
      AddProducts<kFirst>(x, vld1q_s8(weights + f * kDepthBlock), of[f]);
    }
  }

  void AddHalfBlock(const int8_t* const (&rows)[kPixels], int k, const int8_t* weights) {
#pragma GCC unroll 4
    for (int f = 0; f < kFilters; ++f) {
      const int8x8_t w = vld1_s8(weights + f * 8);
#pragma GCC unroll 4
      for (int p = 0; p < kPixels; ++p) {
        of[f][p] = vpadalq_s16(of[f][p], vmull_s8(vld1_s8(rows[p] + k), w));
      }
    }
  }

  void Store(int32_t* to) const {
#pragma GCC unroll 4
    for (int f = 0; f < kFilters; ++f) {
#if defined(__aarch64__)
      vst1q_s32(to + f * kTilePixels, SumLanes(of[f][0], of[f][1], of[f][2], of[f][3]));
#else
      const int32x4_t zero = vdupq_n_s32(0);
      vst1_s32(to + f * kTilePixels, vget_low_s32(SumLanes(of[f][0], of[f][1], zero, zero)));
#endif
    }
  }
};

void Panel(const PanelArgs& args) {
  const int whole = args.depth / kDepthBlock * kDepthBlock;
  for (int pixel = 0; pixel < args.pixels; pixel += kPixels) {
    const int8_t* rows[kPixels];
    for (int p = 0; p < kPixels; ++p) {
      rows[p] = static_cast<const int8_t*>(args.rows) + (pixel + p) * args.row_bytes;
    }
    const auto* weights = static_cast<const int8_t*>(args.weights);
    Sums sums;
    int k = 0;
    if (whole > 0) {
      sums.AddBlock<true>(rows, k, weights);
      k += kDepthBlock, weights += kFilters * kDepthBlock;
    } else {
      sums.Clear();
    }
    for (; k < whole; k += kDepthBlock, weights += kFilters * kDepthBlock) {
      sums.AddBlock<false>(rows, k, weights);
    }
    if (k < args.depth) sums.AddHalfBlock(rows, k, weights);
    sums.Store(args.sums + pixel);
  }
}

// The dot products of one row of `depth` activations with a panel.
inline int32x4_t RowSums(const int8_t* row, const int8_t* weights, int depth) {
  int32x4_t sums[kFilters];
  for (int32x4_t& sum : sums) sum = vdupq_n_s32(0);
  for (; depth >= kDepthBlock; depth -= kDepthBlock, row += kDepthBlock) {
    const int8x16_t x = vld1q_s8(row);
#pragma GCC unroll 4
    for (int f = 0; f < kFilters; ++f, weights += kDepthBlock) {
      const int8x16_t w = vld1q_s8(weights);
      const int16x8_t products = vmull_s8(vget_low_s8(x), vget_low_s8(w));
      sums[f] = vpadalq_s16(sums[f], vmlal_s8(products, vget_high_s8(x), vget_high_s8(w)));
    }
  }
  if (depth > 0) {
    const int8x8_t x = vld1_s8(row);
    for (int f = 0; f < kFilters; ++f) {
      sums[f] = vpadalq_s16(sums[f], vmull_s8(x, vld1_s8(weights + f * 8)));
    }
  }
  return SumLanes(sums[0], sums[1], sums[2], sums[3]);
}

#if defined(__aarch64__)
// Four panels at a time fill the lanes of the output stage. Of the arguments a copy, which no
// output, a byte, can overwrite as far as compilers know.
void WriteRow(const OutputArgs& arguments) {
  WithScale(arguments.rescale, [&arguments](const auto& make) {
    const OutputArgs args = arguments;
    const int8x16_t least = vdupq_n_s8(args.least), most = vdupq_n_s8(args.most);
    const int8_t* weights = args.weights;
    for (int filter = 0; filter < args.filters; filter += kLaneFilters) {
      int32x4_t x[kLaneVectors];
#pragma GCC unroll 4
      for (int v = 0; v < kLaneVectors; ++v) {
        x[v] = vld1q_s32(args.biases + filter + kFilters * v);
        if (filter + kFilters * v >= args.filters) continue;
        x[v] = vaddq_s32(x[v], RowSums(args.rows, weights, args.depth));
        weights += kFilters * args.depth;
      }
      const auto scale = make(args.rescale, args.first_lane + filter);
      StoreBytes(ToBytes(scale, x, least, most), args.filters - filter, args.out + filter);
    }
  });
}
#else
void Row(const PanelArgs& args) {
  vst1q_s32(args.sums, RowSums(static_cast<const int8_t*>(args.rows),
                               static_cast<const int8_t*>(args.weights), args.depth));
}
#endif

}  // namespace

const GemmOps kGemmOpsNeon = {Isa::kNeon,
                              kPixels,
                              kFilters,
                              /*depth_unit=*/8,
                              /*run=*/16,
                              /*takes_least=*/false,
                              /*widen=*/nullptr,
                              /*to_unsigned=*/nullptr,
                              Panel,
#if defined(__aarch64__)
                              /*row=*/nullptr,
                              WriteRow};
#else
                              Row,
                              /*write=*/nullptr};
#endif

}  // namespace gemm
}  // namespace tf_signbin
