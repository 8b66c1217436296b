// Instruction sets and cores: what this build has kernels for and what this CPU runs.
#ifndef TF_SIGNBIN_ENGINE_CPU_H_
#define TF_SIGNBIN_ENGINE_CPU_H_

#include <string>
#include <vector>

namespace tf_signbin {

enum class Isa {
  kPortable,    // plain C++ and whatever the compiler's baseline offers
  kAvx2,        // AVX2 and FMA
  kAvx512,      // AVX-512 F, BW, DQ, VL
  kAvx512Vnni,  // kAvx512 and VNNI
  kNeon,        // ARMv7 NEON or AArch64 Advanced SIMD
  kNeonDot,     // kNeon and the int8 dot product (ARMv8.2)
};

const char* IsaName(Isa isa);  // "portable", "avx2", "avx512", "avx512vnni", "neon", "neondot"
// Best first; always ends with kPortable.
const std::vector<Isa>& SupportedIsaList();

// Cores that want other kernels or constants than their instruction set tells.
enum class Core {
  kGeneric,
  kZen5,
  kIntel,  // with VBMI: Ice Lake, Sapphire Rapids and later
};
Core CurrentCore();
// Those whose kernels this CPU has the instructions for.
const std::vector<Core>& RunnableCores();
// Plans made from here on are for that core, one of RunnableCores(). For tests.
void SetCurrentCore(Core core);

}  // namespace tf_signbin

#endif  // TF_SIGNBIN_ENGINE_CPU_H_
