#include "engine/cpu.h"

#include <atomic>

#if defined(__x86_64__) || defined(__i386__)
#include <cpuid.h>
#elif defined(__linux__) && (defined(__aarch64__) || defined(__arm__))
#include <sys/auxv.h>
#endif

namespace tf_signbin {
namespace {

#if defined(__x86_64__) || defined(__i386__)

struct Registers {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
};

Registers Cpuid(unsigned leaf, unsigned subleaf) {
  Registers r;
  __get_cpuid_count(leaf, subleaf, &r.eax, &r.ebx, &r.ecx, &r.edx);
  return r;
}

// Which register state the operating system saves (XCR0).
unsigned SavedState() {
  unsigned eax, edx;
  asm volatile("xgetbv" : "=a"(eax), "=d"(edx) : "c"(0));
  return eax;
}

constexpr bool Has(unsigned value, unsigned bits) { return (value & bits) == bits; }

// Every extension that CMakeLists.txt enables for the files of an ISA is asked for here.
std::vector<Isa> Detect() {
  std::vector<Isa> isas;
  const Registers basic = Cpuid(1, 0);
  const Registers extended = Cpuid(7, 0);
  const Registers amd = Cpuid(0x80000001u, 0);
  constexpr unsigned kOsxsave = 1u << 27, kAvx = 1u << 28, kFma = 1u << 12, kF16c = 1u << 29,
                     kPopcnt = 1u << 23, kMovbe = 1u << 22, kAes = 1u << 25, kPclmul = 1u << 1;
  constexpr unsigned kBmi1 = 1u << 3, kAvx2 = 1u << 5, kBmi2 = 1u << 8;
  constexpr unsigned kLzcnt = 1u << 5;
  constexpr unsigned kAvx512 =
      1u << 16 | 1u << 17 | 1u << 28 | 1u << 30 | 1u << 31;  // F DQ CD BW VL
  constexpr unsigned kVnni = 1u << 11;
  constexpr unsigned kYmmState = 0x6, kZmmState = 0xe6;
  if (Has(basic.ecx, kOsxsave | kAvx | kFma | kF16c | kPopcnt | kMovbe | kAes | kPclmul) &&
      Has(extended.ebx, kBmi1 | kAvx2 | kBmi2) && Has(amd.ecx, kLzcnt)) {
    const unsigned saved = SavedState();
    if (Has(extended.ebx, kAvx512) && Has(saved, kZmmState)) {
      if (Has(extended.ecx, kVnni)) isas.push_back(Isa::kAvx512Vnni);
      isas.push_back(Isa::kAvx512);
    }
    if (Has(saved, kYmmState)) isas.push_back(Isa::kAvx2);
  }
  isas.push_back(Isa::kPortable);
  return isas;
}

#elif defined(__aarch64__)

std::vector<Isa> Detect() {
  constexpr unsigned long kAsimdDp = 1ul << 20;  // HWCAP_ASIMDDP
  std::vector<Isa> isas;
  if (getauxval(AT_HWCAP) & kAsimdDp) isas.push_back(Isa::kNeonDot);
  isas.push_back(Isa::kNeon);
  isas.push_back(Isa::kPortable);
  return isas;
}

#elif defined(__arm__)

std::vector<Isa> Detect() {
  // The NEON files are compiled for VFPv4 (fused multiply-add), which every ARMv7 core since
  // Cortex-A7 has.
  constexpr unsigned long kNeon = 1ul << 12, kVfpv4 = 1ul << 16;  // HWCAP_NEON, HWCAP_VFPv4
  std::vector<Isa> isas;
  if ((getauxval(AT_HWCAP) & (kNeon | kVfpv4)) == (kNeon | kVfpv4)) isas.push_back(Isa::kNeon);
  isas.push_back(Isa::kPortable);
  return isas;
}

#else

std::vector<Isa> Detect() { return {Isa::kPortable}; }

#endif

#if defined(__x86_64__) || defined(__i386__)

bool HasVbmi() { return Has(Cpuid(7, 0).ecx, 1u << 1); }

Core DetectCore() {
  const Registers vendor = Cpuid(0, 0), basic = Cpuid(1, 0);
  const bool amd = vendor.ebx == 0x68747541;    // "Auth", of AuthenticAMD
  const bool intel = vendor.ebx == 0x756e6547;  // "Genu", of GenuineIntel
  const unsigned family = (basic.eax >> 8 & 0xf) + (basic.eax >> 20 & 0xff);
  if (intel && HasVbmi()) return Core::kIntel;
  return amd && family >= 0x1a ? Core::kZen5 : Core::kGeneric;
}

#else

bool HasVbmi() { return false; }
Core DetectCore() { return Core::kGeneric; }

#endif

std::atomic<Core>& CoreInUse() {
  static std::atomic<Core> core{DetectCore()};
  return core;
}

}  // namespace

const char* IsaName(Isa isa) {
  switch (isa) {
    case Isa::kPortable:
      return "portable";
    case Isa::kAvx2:
      return "avx2";
    case Isa::kAvx512:
      return "avx512";
    case Isa::kAvx512Vnni:
      return "avx512vnni";
    case Isa::kNeon:
      return "neon";
    case Isa::kNeonDot:
      return "neondot";
  }
  return "unknown";
}

Core CurrentCore() { return CoreInUse().load(std::memory_order_relaxed); }

const std::vector<Core>& RunnableCores() {
  static const std::vector<Core> cores =
      HasVbmi() ? std::vector<Core>{Core::kGeneric, Core::kZen5, Core::kIntel}
                : std::vector<Core>{Core::kGeneric, Core::kZen5};
  return cores;
}

void SetCurrentCore(Core core) { CoreInUse().store(core, std::memory_order_relaxed); }

const std::vector<Isa>& SupportedIsaList() {
  static const std::vector<Isa> list = Detect();
  return list;
}

}  // namespace tf_signbin
