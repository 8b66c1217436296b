// Shows a thread a lesser processor than the one it runs on; `tf-signbin benchmark --as` (docs/
// performance.md, "Views") uses it while the runtime and the delegate look at their processor.
//
// The thread is stepped through instruction by instruction (the trap flag, which every x86 has).
// A CPUID that it is about to execute is answered here, with features left out; and of the
// instructions that it executes inside of the watched code, those of hidden extensions are counted.
// So no code is changed or decoded, and what is found is what was executed.
//
// A library of its own, since it takes SIGTRAP: nothing but the benchmark loads it. For one thread
// at a time.
#include <cpuid.h>
#include <signal.h>
#include <sys/syscall.h>
#include <ucontext.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "engine/target.h"

namespace {

// Each view hides what the one before hides, and more.
constexpr const char* kViews[] = {"amx", "avx512vnni", "avxvnni", "avx2"};
enum View : int { kAmx, kAvx512Vnni, kAvxVnni, kAvx2 };

enum Register { kEax, kEbx, kEcx, kEdx };
constexpr uint32_t kAnySubleaf = ~0u;

template <typename... Numbers>
constexpr uint32_t Bits(Numbers... numbers) {
  return ((1u << numbers) | ...);
}

// Feature bits that CPUID does not show from a view on, as Intel's and AMD's manuals number them.
struct Hidden {
  View from;
  uint32_t leaf, subleaf;
  Register where;
  uint32_t bits;
};
constexpr Hidden kHidden[] = {
    // AMX, and what only processors with AMX have: AVX512_FP16, AVX10.
    {kAvx512Vnni, 0x7, 0, kEdx, Bits(22, 23, 24, 25)},
    {kAvx512Vnni, 0x7, 1, kEax, Bits(21)},
    {kAvx512Vnni, 0x7, 1, kEdx, Bits(8, 19)},
    {kAvx512Vnni, 0xd, 0, kEax, Bits(17, 18)},
    {kAvx512Vnni, 0x1d, kAnySubleaf, kEax, ~0u},
    {kAvx512Vnni, 0x1d, kAnySubleaf, kEbx, ~0u},
    {kAvx512Vnni, 0x1d, kAnySubleaf, kEcx, ~0u},
    {kAvx512Vnni, 0x1e, kAnySubleaf, kEax, ~0u},
    {kAvx512Vnni, 0x1e, kAnySubleaf, kEbx, ~0u},
    {kAvx512Vnni, 0x24, kAnySubleaf, kEax, ~0u},
    {kAvx512Vnni, 0x24, kAnySubleaf, kEbx, ~0u},
    // AVX-512 and its state, AVX-IFMA, AVX_VNNI_INT8 and _INT16, AVX_NE_CONVERT.
    {kAvxVnni, 0x7, 0, kEbx, Bits(16, 17, 21, 26, 27, 28, 30, 31)},
    {kAvxVnni, 0x7, 0, kEcx, Bits(1, 6, 11, 12, 14)},
    {kAvxVnni, 0x7, 0, kEdx, Bits(2, 3, 8)},
    {kAvxVnni, 0x7, 1, kEax, Bits(5, 23)},
    {kAvxVnni, 0x7, 1, kEdx, Bits(4, 5, 10)},
    {kAvxVnni, 0xd, 0, kEax, Bits(5, 6, 7)},
    {kAvxVnni, 0x8000001a, 0, kEax, Bits(3)},
    // AVX-VNNI; GFNI, VAES, VPCLMULQDQ.
    {kAvx2, 0x7, 1, kEax, Bits(4)},
    {kAvx2, 0x7, 0, kEcx, Bits(8, 9, 10)},
};

// What tf_signbin_view_end() tells; the same in tf_signbin/benchmark/views.py.
struct Seen {
  uint64_t steps;
  uint64_t answers;         // CPUIDs answered
  uint64_t feature_leaves;  // of them, those that list vector extensions (leaf 7, subleaf 0)
  // Instructions of the watched code, by their encodings: AVX's, and AVX-VNNI's dot products and
  // products of tiles among them; AVX-512's, and dot products among them.
  uint64_t vex, vex_dot_products, tile_products;
  uint64_t evex, evex_dot_products;
};

struct Range {
  uintptr_t begin, end;
};
constexpr size_t kMostRanges = 64;

View view;
Range watched[kMostRanges];
size_t watched_count;
Seen seen;
const void* stepped_thread;
struct sigaction previous;

constexpr greg_t kTrapFlag = 0x100;

// The thread pointer, which x86-64's ABI keeps there; GCC has had a builtin only since 11.
const void* ThisThread() {
  const void* pointer;
  asm("mov %%fs:0, %0" : "=r"(pointer));
  return pointer;
}

void AnswerCpuid(greg_t* registers) {
  const auto leaf = static_cast<uint32_t>(registers[REG_RAX]);
  const auto subleaf = static_cast<uint32_t>(registers[REG_RCX]);
  uint32_t answer[4];
  __cpuid_count(leaf, subleaf, answer[kEax], answer[kEbx], answer[kEcx], answer[kEdx]);
  for (const Hidden& hidden : kHidden) {
    if (view >= hidden.from && leaf == hidden.leaf &&
        (hidden.subleaf == kAnySubleaf || hidden.subleaf == subleaf)) {
      answer[hidden.where] &= ~hidden.bits;
    }
  }
  registers[REG_RAX] = answer[kEax];
  registers[REG_RBX] = answer[kEbx];
  registers[REG_RCX] = answer[kEcx];
  registers[REG_RDX] = answer[kEdx];
  registers[REG_RIP] += 2;
  ++seen.answers;
  if (leaf == 7 && subleaf == 0) ++seen.feature_leaves;
}

bool IsWatched(uintptr_t address) {
  for (size_t i = 0; i < watched_count; ++i) {
    if (address >= watched[i].begin && address < watched[i].end) return true;
  }
  return false;
}

// By the bytes of 64-bit code: a prefix (VEX: C5 or C4, EVEX: 62), with the map of opcodes where it
// is not the compact one, and the opcode.
void CountInstruction(const uint8_t* code) {
  constexpr int kMap0F38 = 2;
  const auto is_dot_product = [](uint8_t opcode) { return opcode >= 0x50 && opcode <= 0x53; };
  if (code[0] == 0x62) {
    ++seen.evex;
    if ((code[1] & 0x07) == kMap0F38 && is_dot_product(code[4])) ++seen.evex_dot_products;
    return;
  }
  ++seen.vex;
  if (code[0] == 0xc4 && (code[1] & 0x1f) == kMap0F38) {
    if (is_dot_product(code[3])) ++seen.vex_dot_products;
    if (code[3] == 0x5e) ++seen.tile_products;
  }
}

// Executes `rt_sigprocmask` but for SIGTRAP, which cannot wait: the C library blocks all signals
// while it starts a thread.
void SetSignalMask(ucontext_t* context) {
  greg_t* registers = context->uc_mcontext.gregs;
  const auto* set = reinterpret_cast<const uint64_t*>(registers[REG_RSI]);
  auto* old_set = reinterpret_cast<uint64_t*>(registers[REG_RDX]);
  uint64_t mask;  // the kernel's set of 64 signals begins uc_sigmask
  std::memcpy(&mask, &context->uc_sigmask, sizeof(mask));
  uint64_t wanted = mask;
  if (set != nullptr) {
    const auto how = static_cast<int>(registers[REG_RDI]);
    wanted = how == SIG_BLOCK ? mask | *set : how == SIG_UNBLOCK ? mask & ~*set : *set;
    wanted &= ~(uint64_t{1} << (SIGTRAP - 1));
  }
  if (old_set != nullptr) *old_set = mask;
  std::memcpy(&context->uc_sigmask, &wanted, sizeof(wanted));
  registers[REG_RAX] = 0;
  registers[REG_RIP] += 2;
}

// Before every instruction of the stepped thread.
void Step(int, siginfo_t*, void* raw_context) {
  auto* context = static_cast<ucontext_t*>(raw_context);
  greg_t* registers = context->uc_mcontext.gregs;
  if (ThisThread() != stepped_thread) {  // a thread that the stepped one started
    registers[REG_EFL] &= ~kTrapFlag;
    return;
  }
  ++seen.steps;
  for (;;) {  // what is executed here takes no step of its own
    const auto* code = reinterpret_cast<const uint8_t*>(registers[REG_RIP]);
    if (code[0] == 0x0f && code[1] == 0xa2) {
      AnswerCpuid(registers);
    } else if (code[0] == 0x0f && code[1] == 0x05 && registers[REG_RAX] == SYS_rt_sigprocmask) {
      SetSignalMask(context);
    } else {
      const bool has_prefix = code[0] == 0x62 || code[0] == 0xc4 || code[0] == 0xc5;
      if (has_prefix && IsWatched(registers[REG_RIP])) CountInstruction(code);
      return;
    }
  }
}

int NumberOf(const char* name) {
  for (size_t i = 0; i < sizeof(kViews) / sizeof(*kViews); ++i) {
    if (std::strcmp(name, kViews[i]) == 0) return static_cast<int>(i);
  }
  return -1;
}

}  // namespace

extern "C" {

// Whether this processor has what the view shows.
__attribute__((visibility("default"))) int tf_signbin_view_available(const char* name) {
  if (NumberOf(name) < 0) return 0;
  for (const std::string& isa : tf_signbin::SupportedIsas()) {
    if (isa == name) return 1;
  }
  return 0;
}

// From here to tf_signbin_view_end() the calling thread sees the view. `ranges`: pairs of
// addresses, the watched code. Returns 0; -1: no such view, more than 64 ranges, or SIGTRAP cannot
// be taken.
__attribute__((visibility("default"))) int tf_signbin_view_begin(const char* name,
                                                                 const uintptr_t* ranges,
                                                                 size_t count) {
  const int number = NumberOf(name);
  if (number < 0 || count > kMostRanges) return -1;
  view = static_cast<View>(number);
  watched_count = count;
  for (size_t i = 0; i < count; ++i) watched[i] = {ranges[2 * i], ranges[2 * i + 1]};
  seen = Seen();
  stepped_thread = ThisThread();
  struct sigaction action = {};
  action.sa_sigaction = Step;
  action.sa_flags = SA_SIGINFO;
  sigfillset(&action.sa_mask);  // so that no other handler is stepped through
  if (sigaction(SIGTRAP, &action, &previous) != 0) return -1;
  // 128: the part of the stack below its pointer that compiled code may use.
  asm volatile(
      "lea -128(%%rsp), %%rsp; pushfq; orq %0, (%%rsp); popfq; lea 128(%%rsp), %%rsp" ::"i"(
          kTrapFlag)
      : "memory", "cc");
  return 0;
}

__attribute__((visibility("default"))) void tf_signbin_view_end(Seen* result) {
  asm volatile(
      "lea -128(%%rsp), %%rsp; pushfq; andq %0, (%%rsp); popfq; lea 128(%%rsp), %%rsp" ::"i"(
          ~kTrapFlag)
      : "memory", "cc");
  sigaction(SIGTRAP, &previous, nullptr);
  *result = seen;
}

}  // extern "C"
