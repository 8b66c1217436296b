// The processor that kernels are planned for. Plain data: tests and tools make one up and ask what
// would be planned for it.
#ifndef TF_SIGNBIN_ENGINE_TARGET_H_
#define TF_SIGNBIN_ENGINE_TARGET_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace tf_signbin {

// What a processor offers and its operating system allows, a bit each.
using Features = uint32_t;
namespace feature {
inline constexpr Features kAvx2 = 1u << 0;  // AVX2 and what came with it: FMA, F16C, BMI, MOVBE...
inline constexpr Features kAvx512 = 1u << 1;  // AVX-512 F, CD, BW, DQ, VL
inline constexpr Features kAvx512Vnni = 1u << 2;
inline constexpr Features kAvx512Vbmi = 1u << 3;
inline constexpr Features kAvxVnni = 1u << 4;  // dot products in 256 bits without AVX-512
inline constexpr Features kAmxInt8 = 1u << 5;  // tiles, which the system allows this process
inline constexpr Features kNeon = 1u << 16;    // AArch64, or ARMv7 with VFPv4
inline constexpr Features kDotProd = 1u << 17;
inline constexpr Features kI8mm = 1u << 18;
}  // namespace feature

// Instruction sets that kernels are compiled for: named sets of features, best first.
enum class Isa {
#define TF_SIGNBIN_ISA(id, name, features) id,
#include "engine/kernels/registry.bzl"
};
const char* IsaName(Isa isa);  // for example "avx512vnni"
Features IsaFeatures(Isa isa);

// Cores that want other kernels or constants than their features tell.
enum class Core {
  kGeneric,  // of x86, as Zen 4
  kZen3,     // and AMD's before it: those without AVX-512
  kZen5,
  kIntel,    // with VBMI: Ice Lake, Sapphire Rapids and later
  kIntelPc,  // Intel's others
  kArm,
};

// Data caches of one core, in bytes; the defaults stand for sizes that nobody tells.
struct Caches {
  size_t level1 = 32 << 10;
  size_t level2 = 1 << 20;
  size_t last = 0;  // 0: there is none beyond the second level, or its size is unknown

  // The part of the second level that data read over and over can keep while activations and
  // weights stream through. More than 384 KiB has not been measured to pay.
  size_t level2_kept() const { return std::min<size_t>(level2 * 3 / 8, 384 << 10); }
  // Streams that are longer come from beyond the second level.
  size_t level2_streamed() const { return level2 * 3 / 4; }
};

struct Target {
  Features features = 0;
  Core core = Core::kGeneric;
  Caches caches;

  bool Has(Features wanted) const { return (features & wanted) == wanted; }
  bool OfIntel() const { return core == Core::kIntel || core == Core::kIntelPc; }
  // The instruction sets it runs, best first; always ends with kPortable.
  std::vector<Isa> Isas() const;
  std::vector<std::string> IsaNames() const;
};

// The processor this runs on.
const Target& HostTarget();

// Names of the instruction sets that HostTarget() runs, best first; always ends with "portable".
const std::vector<std::string>& SupportedIsas();

}  // namespace tf_signbin

#endif  // TF_SIGNBIN_ENGINE_TARGET_H_
