#include <algorithm>
#include <vector>

#include "engine/families.h"
#include "engine/kernels/gemm/gemm.h"

namespace tf_signbin {
namespace gemm {
namespace {

const GemmOps* OpsFor(Isa isa) {
  switch (isa) {
#if defined(__x86_64__) || defined(__i386__)
    case Isa::kAvx2:
      return &kGemmOpsAvx2;
    case Isa::kAvxVnni:
      return &kGemmOpsAvxVnni;
#elif defined(__aarch64__) || defined(__arm__)
    case Isa::kNeon:
      return &kGemmOpsNeon;
#endif
#if defined(__aarch64__)
    case Isa::kNeonDot:
      return &kGemmOpsNeonDot;
    case Isa::kNeonI8mm:
      return &kGemmOpsNeonI8mm;
#endif
    default:
      return nullptr;
  }
}

// Nanoseconds, with AVX2 measured on Zen 4, with AVX-VNNI on Zen 5 and on Emerald Rapids (at 3 GHz)
// without their AVX-512. Else by llvm-mca's cycles (tools/arm_cost.py) of a Cortex-A72 at 1.5 GHz,
// with dot products an A76 and with i8mm a Neoverse N2 at 2.4 GHz.
double CostNs(const ConvProblem& problem, const GemmOps& ops) {
  struct Costs {
    double product, byte, output;    // a multiply-add, one byte copied, one output
    double far_byte;                 // of weights beyond the second-level cache, for every tile
    double row_product, row_output;  // where there is only one pixel; 0: as of any
  };
  const bool intel = problem.target.OfIntel();
  const Costs costs = ops.isa == Isa::kAvx2 ? Costs{0.0125, 0.08, 0.27, 0.04, 0, 0}
                      : ops.isa == Isa::kAvxVnni && intel
                          ? Costs{0.0059, 0.065, 0.2, 0.028, 0.034, 0.1}
                      : ops.isa == Isa::kAvxVnni  ? Costs{0.0039, 0.03, 0.09, 0.025, 0.03, 0.09}
                      : ops.isa == Isa::kNeonI8mm ? Costs{0.0092, 0.03, 0.5, 0.1, 0, 0}
                      : ops.isa == Isa::kNeonDot  ? Costs{0.013, 0.03, 0.45, 0.1, 0.0135, 0.8}
                                                  : Costs{0.09, 0.1, 1.0, 0.25, 0.085, 3};
  // Half of the second-level cache that the costs were measured with, and all of a smaller one.
  constexpr size_t kMostNearBytes = 512 << 10;
  const double near_bytes =
      static_cast<double>(std::min(problem.target.caches.level2, kMostNearBytes));
  const ConvShape& s = problem.shape;
  const auto padded = [](int n, int unit) { return (n + unit - 1) / unit * unit; };
  const double depth = ops.PaddedDepth(static_cast<int>(problem.filters->weights_per_filter()));
  const double filters = padded(s.out_c, ops.filters);
  const int pixels = s.batch * s.out_h * s.out_w;
  // The output stage takes all lanes, where pixels are in lanes.
  const double outputs = padded(pixels, Writes(s, ops) ? ops.pixels : kTilePixels);
  const double tiles = padded(pixels, kTilePixels) / kTilePixels;
  const double copied = TakesInPlace(s, ops) ? 0 : pixels * depth;
  const double weight_bytes = filters * depth * static_cast<double>(ops.element_bytes());
  const double far_bytes = weight_bytes > near_bytes ? weight_bytes : 0;
  if (pixels == 1 && costs.row_product > 0) {
    constexpr double kStreamedByte = 0.03;  // read once, in order, and so fetched ahead
    return filters * depth * costs.row_product + copied * costs.byte + s.out_c * costs.row_output +
           far_bytes * kStreamedByte;
  }
  return padded(pixels, ops.pixels) * filters * depth * costs.product + copied * costs.byte +
         outputs * s.out_c * costs.output + tiles * far_bytes * costs.far_byte;
}

std::vector<Offer> Offers(const ConvProblem& problem, const OfferRequest& request) {
  std::vector<Offer> offers;
  if (problem.type != DataType::kInt8) return offers;
  const std::vector<Isa>& isas = request.isas;
  // The dense family has the same dot products, twice as wide.
  const bool wider = std::find(isas.begin(), isas.end(), Isa::kAvx512Vnni) != isas.end();
  for (const Isa isa : isas) {
    if (isa == Isa::kAvxVnni && wider) continue;
    const GemmOps* ops = OpsFor(isa);
    if (ops == nullptr || !Supports(problem, *ops)) continue;
    const auto make = [problem, ops](int threads, bool profile) {
      return MakeGemmConv(problem, *ops, profile, threads);
    };
    offers.push_back({isa, CostNs(problem, *ops), make});
  }
  return offers;
}

}  // namespace
}  // namespace gemm

const KernelFamily kGemmFamily = {"gemm", /*has_groups=*/false, gemm::Offers};

}  // namespace tf_signbin
