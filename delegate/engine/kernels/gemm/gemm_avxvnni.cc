// AVX-VNNI: dot products in 256 bits on processors without AVX-512. Filters in lanes, four weights
// of each a dot product with four activations, which are unsigned: x + 128.
#include <immintrin.h>

#include <cstring>
#include <type_traits>

#include "engine/kernels/gemm/gemm_ops.h"
#include "engine/kernels/output/filter_vectors_avx2-inl.h"

namespace tf_signbin {
namespace gemm {
namespace {

constexpr int kGroup = 4;                // activations of a dot product
constexpr int kFilters = kWriteFilters;  // of a panel
constexpr int kVectors = kFilters / 8;   // of a panel
constexpr int kGroupBytes = kFilters * kGroup;
// Twelve sums: a dot product takes up to five cycles, and there are two a cycle.
constexpr int kMostPixels = 6;

// The sums of kPixels rows by kPanels panels.
template <int kPixels, int kPanels>
struct Sums {
  static_assert(kPixels == 1 || kPanels == 1);
  __m256i lanes[kPixels][kPanels * kVectors];

  void Start(const int32_t* biases) {
#pragma GCC unroll 8
    for (int v = 0; v < kPanels * kVectors; ++v) {
      const __m256i bias = LoadLanes(biases, 8 * v);
#pragma GCC unroll 6
      for (int p = 0; p < kPixels; ++p) lanes[p][v] = bias;
    }
  }

  // Group `group` from there on.
  void AddGroup(const int8_t* const (&rows)[kPixels], const int8_t* weights, size_t panel_bytes,
                int group) {
    const auto load = [=](int v) {
      return _mm256_load_si256(reinterpret_cast<const __m256i*>(
          weights + v / kVectors * panel_bytes + group * kGroupBytes + v % kVectors * 32));
    };
    __m256i w[kVectors];
#pragma GCC unroll 6
    for (int p = 0; p < kPixels; ++p) {
      int four;
      std::memcpy(&four, rows[p] + group * kGroup, sizeof(four));
      const __m256i x = _mm256_set1_epi32(four);
#pragma GCC unroll 8
      for (int v = 0; v < kPanels * kVectors; ++v) {
        if (p == 0) w[v % kVectors] = load(v);  // of more panels there is one pixel
        // Assembly, as GCC keeps sums in memory around the loop.
        asm("%{vex%} vpdpbusd %2, %1, %0" : "+x"(lanes[p][v]) : "x"(x), "x"(w[v % kVectors]));
      }
    }
  }
};

void StoreFilters(__m128i bytes, int filters, int8_t* out) {
  if (filters >= kFilters) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out), bytes);
    return;
  }
  int8_t last[kFilters];
  _mm_storeu_si128(reinterpret_cast<__m128i*>(last), bytes);
  for (int i = 0; i < filters; ++i) out[i] = last[i];
}

// The outputs of kPixels pixels from `pixel` on and of kPanels panels from `filter` on.
template <int kPixels, int kPanels, class MakeScale>
void WriteTile(const OutputArgs& args, const MakeScale& make, int pixel, int filter) {
  const size_t panel_bytes = static_cast<size_t>(kFilters) * args.depth;
  const int8_t* rows[kPixels];
#pragma GCC unroll 6
  for (int p = 0; p < kPixels; ++p) rows[p] = args.rows + (pixel + p) * args.row_bytes;
  const int8_t* weights = args.weights + filter / kFilters * panel_bytes;
  Sums<kPixels, kPanels> sums;
  sums.Start(args.biases + filter);
  constexpr int kUnroll = 4;
  int groups = args.depth / kGroup;
  for (; groups >= kUnroll; groups -= kUnroll) {
#pragma GCC unroll 4
    for (int g = 0; g < kUnroll; ++g) sums.AddGroup(rows, weights, panel_bytes, g);
#pragma GCC unroll 6
    for (int p = 0; p < kPixels; ++p) rows[p] += kUnroll * kGroup;
    weights += kUnroll * kGroupBytes;
  }
  for (; groups > 0; --groups) {
    sums.AddGroup(rows, weights, panel_bytes, 0);
#pragma GCC unroll 6
    for (int p = 0; p < kPixels; ++p) rows[p] += kGroup;
    weights += kGroupBytes;
  }
#pragma GCC unroll 4
  for (int i = 0; i < kPanels; ++i) {
    const int first = filter + i * kFilters, lane = args.first_lane + first;
    const auto scale = make(args.rescale, lane);
    const ByteRule to_bytes(args.rescale.addend + lane, args.least, args.most);
    int8_t* out = args.out + pixel * args.out_row_bytes + first;
#pragma GCC unroll 3
    for (int p = 0; p < kPixels; p += 2) {
      const auto& low = sums.lanes[p];
      const auto& high = sums.lanes[p + 1 < kPixels ? p + 1 : p];
      const __m256i bytes = to_bytes(ToWords(scale, low[kVectors * i], low[kVectors * i + 1]),
                                     ToWords(scale, high[kVectors * i], high[kVectors * i + 1]));
      StoreFilters(_mm256_castsi256_si128(bytes), args.filters - first, out);
      if (p + 1 < kPixels) {
        StoreFilters(_mm256_extracti128_si256(bytes, 1), args.filters - first,
                     out + args.out_row_bytes);
      }
      out += 2 * args.out_row_bytes;
    }
  }
}

// Pixels are divided evenly. The copy tells compilers that outputs, which are bytes, overwrite none
// of the arguments.
template <class MakeScale>
__attribute__((noinline)) void WriteWith(const OutputArgs& arguments, const MakeScale& make) {
  const OutputArgs args = arguments;
  int filter = 0;
  if (args.pixels == 1) {
    // Four panels at a time, so that a dot product does not wait for the one before.
    constexpr int kAtATime = 4 * kFilters;
    for (; filter + 3 * kFilters < args.filters; filter += kAtATime) {
      WriteTile<1, 4>(args, make, 0, filter);
    }
  }
  const int runs = (args.pixels + kMostPixels - 1) / kMostPixels;
  const int each = args.pixels / runs, longer = args.pixels % runs;
  for (; filter < args.filters; filter += kFilters) {
    int pixel = 0;
    for (int run = 0; run < runs; ++run) {
      const int pixels = each + (run < longer ? 1 : 0);
      switch (pixels) {
        case 1:
          WriteTile<1, 1>(args, make, pixel, filter);
          break;
        case 2:
          WriteTile<2, 1>(args, make, pixel, filter);
          break;
        case 3:
          WriteTile<3, 1>(args, make, pixel, filter);
          break;
        case 4:
          WriteTile<4, 1>(args, make, pixel, filter);
          break;
        case 5:
          WriteTile<5, 1>(args, make, pixel, filter);
          break;
        default:
          WriteTile<kMostPixels, 1>(args, make, pixel, filter);
      }
      pixel += pixels;
    }
  }
}

void Write(const OutputArgs& args) {
  WithScale(args.rescale, [&args](const auto& make) {
    if (std::decay_t<decltype(make)>::Scale::kRoundsDown) {
      const RoundDown round_down;
      WriteWith(args, make);
    } else {
      WriteWith(args, make);
    }
  });
}

void ToUnsigned(const int8_t* from, size_t count, int8_t* to) {
  const __m256i bit = _mm256_set1_epi8(-128);
  size_t i = 0;
  for (; i + 32 <= count; i += 32) {
    const __m256i x = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from + i));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + i), _mm256_xor_si256(x, bit));
  }
  for (; i < count; ++i) to[i] = static_cast<int8_t>(from[i] ^ -128);
}

}  // namespace

const GemmOps kGemmOpsAvxVnni = {Isa::kAvxVnni,         kMostPixels, kFilters,
                                 /*depth_unit=*/kGroup,
                                 /*run=*/kGroup,
                                 /*takes_least=*/true,
                                 /*widen=*/nullptr,     ToUnsigned,
                                 /*panel=*/nullptr,
                                 /*row=*/nullptr,       Write,
                                 /*rescales_sums=*/true};

}  // namespace gemm
}  // namespace tf_signbin
