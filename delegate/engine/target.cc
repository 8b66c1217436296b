#include "engine/target.h"

#include <unistd.h>

#if defined(__x86_64__) || defined(__i386__)
#include <cpuid.h>
#include <sys/syscall.h>
#elif defined(__linux__) && (defined(__aarch64__) || defined(__arm__))
#include <sys/auxv.h>
#endif

namespace tf_signbin {
namespace {

struct IsaRow {
  Isa isa;
  const char* name;
  Features features;
};
constexpr IsaRow kIsas[] = {
#define TF_SIGNBIN_ISA(id, name, features) {Isa::id, #name, features},
#include "engine/kernels/registry.bzl"
};

const IsaRow& RowOf(Isa isa) { return kIsas[static_cast<int>(isa)]; }

// `fallback` where the system does not say.
[[maybe_unused]] size_t CacheBytes(int name, size_t fallback) {
  const long size = sysconf(name);
  return size > 0 ? static_cast<size_t>(size) : fallback;
}

Caches DetectCaches() {
  Caches caches;
#ifdef _SC_LEVEL1_DCACHE_SIZE
  caches.level1 = CacheBytes(_SC_LEVEL1_DCACHE_SIZE, caches.level1);
#endif
#ifdef _SC_LEVEL2_CACHE_SIZE
  caches.level2 = CacheBytes(_SC_LEVEL2_CACHE_SIZE, caches.level2);
#endif
#ifdef _SC_LEVEL3_CACHE_SIZE
  caches.last = CacheBytes(_SC_LEVEL3_CACHE_SIZE, caches.last);
#endif
  return caches;
}

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

// Linux saves the tiles' 8 KiB only for processes that asked for them. Asking again is harmless; a
// sandbox or an older system refuses, and is then served without tiles.
bool MayUseTiles() {
#if defined(__linux__) && defined(__x86_64__)
  constexpr long kRequestPermission = 0x1023, kTileData = 18;  // asm/prctl.h, since Linux 5.16
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
#else
  return false;
#endif
}

constexpr bool Has(unsigned value, unsigned bits) { return (value & bits) == bits; }

// Every extension that registry.bzl enables for the files of an instruction set is asked for here.
Features DetectFeatures() {
  const Registers basic = Cpuid(1, 0);
  const Registers extended = Cpuid(7, 0);
  const Registers more = extended.eax >= 1 ? Cpuid(7, 1) : Registers();
  const Registers amd = Cpuid(0x80000001u, 0);
  constexpr unsigned kOsxsave = 1u << 27, kAvx = 1u << 28, kFma = 1u << 12, kF16c = 1u << 29,
                     kPopcnt = 1u << 23, kMovbe = 1u << 22, kAes = 1u << 25, kPclmul = 1u << 1;
  constexpr unsigned kBmi1 = 1u << 3, kAvx2 = 1u << 5, kBmi2 = 1u << 8;
  constexpr unsigned kLzcnt = 1u << 5;
  constexpr unsigned kAvx512 =
      1u << 16 | 1u << 17 | 1u << 28 | 1u << 30 | 1u << 31;  // F DQ CD BW VL
  constexpr unsigned kVbmi = 1u << 1, kVnni = 1u << 11;
  constexpr unsigned kAmx = 1u << 24 | 1u << 25;  // tiles and their int8 products
  constexpr unsigned kAvxVnni = 1u << 4;
  constexpr unsigned kYmmState = 0x6, kZmmState = 0xe6, kTileState = 0x60000;
  if (!Has(basic.ecx, kOsxsave | kAvx | kFma | kF16c | kPopcnt | kMovbe | kAes | kPclmul) ||
      !Has(extended.ebx, kBmi1 | kAvx2 | kBmi2) || !Has(amd.ecx, kLzcnt)) {
    return 0;
  }
  const unsigned saved = SavedState();
  if (!Has(saved, kYmmState)) return 0;
  Features features = feature::kAvx2;
  if (Has(more.eax, kAvxVnni)) features |= feature::kAvxVnni;
  if (Has(extended.ebx, kAvx512) && Has(saved, kZmmState)) {
    features |= feature::kAvx512;
    if (Has(extended.ecx, kVnni)) features |= feature::kAvx512Vnni;
    if (Has(extended.ecx, kVbmi)) features |= feature::kAvx512Vbmi;
  }
  if (Has(extended.edx, kAmx) && Has(saved, kTileState) && MayUseTiles()) {
    features |= feature::kAmxInt8;
  }
  return features;
}

Core DetectCore(Features features) {
  const Registers vendor = Cpuid(0, 0), basic = Cpuid(1, 0);
  const bool amd = vendor.ebx == 0x68747541;    // "Auth", of AuthenticAMD
  const bool intel = vendor.ebx == 0x756e6547;  // "Genu", of GenuineIntel
  const unsigned family = (basic.eax >> 8 & 0xf) + (basic.eax >> 20 & 0xff);
  const unsigned model = (basic.eax >> 4 & 0xf) + (basic.eax >> 12 & 0xf0);
  // By their 512-bit units: with those hidden (`tf-signbin benchmark --as avx2`) the processor is
  // planned for as the PC that it is shown as.
  if (intel) return features & feature::kAvx512Vbmi ? Core::kIntel : Core::kIntelPc;
  if (!amd) return Core::kGeneric;
  // Of family 19h, Zen 4 has the models 10h to 1fh and from 60h on.
  if (family == 0x17 || (family == 0x19 && model >> 4 != 1 && model < 0x60)) return Core::kZen3;
  return family >= 0x1a && (features & feature::kAvx512) ? Core::kZen5 : Core::kGeneric;
}

#elif defined(__aarch64__)

Features DetectFeatures() {
  constexpr unsigned long kHwcapAsimdDp = 1ul << 20, kHwcap2I8mm = 1ul << 13;
  Features features = feature::kNeon;
  if (getauxval(AT_HWCAP) & kHwcapAsimdDp) features |= feature::kDotProd;
  if (getauxval(AT_HWCAP2) & kHwcap2I8mm) features |= feature::kI8mm;
  return features;
}

Core DetectCore(Features) { return Core::kArm; }

#elif defined(__arm__)

Features DetectFeatures() {
  // The NEON files are compiled for VFPv4 (fused multiply-add), which every ARMv7 core since
  // Cortex-A7 has.
  constexpr unsigned long kHwcapNeon = 1ul << 12, kHwcapVfpv4 = 1ul << 16,
                          kBoth = kHwcapNeon | kHwcapVfpv4;
  return (getauxval(AT_HWCAP) & kBoth) == kBoth ? feature::kNeon : 0;
}

Core DetectCore(Features) { return Core::kArm; }

#else

Features DetectFeatures() { return 0; }
Core DetectCore(Features) { return Core::kGeneric; }

#endif

}  // namespace

const char* IsaName(Isa isa) { return RowOf(isa).name; }

Features IsaFeatures(Isa isa) { return RowOf(isa).features; }

std::vector<Isa> Target::Isas() const {
  std::vector<Isa> isas;
  for (const IsaRow& row : kIsas) {
    if (Has(row.features)) isas.push_back(row.isa);
  }
  return isas;
}

std::vector<std::string> Target::IsaNames() const {
  std::vector<std::string> names;
  for (const Isa isa : Isas()) names.push_back(IsaName(isa));
  return names;
}

const Target& HostTarget() {
  static const Target target = [] {
    Target host;
    host.features = DetectFeatures();
    host.core = DetectCore(host.features);
    host.caches = DetectCaches();
    return host;
  }();
  return target;
}

const std::vector<std::string>& SupportedIsas() {
  static const std::vector<std::string> names = HostTarget().IsaNames();
  return names;
}

}  // namespace tf_signbin
