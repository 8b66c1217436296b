#if 0  // A string to Bazel, macros to C++ (for which quotes come in pairs), lines to CMake.
REGISTRY = """ #"
#endif
// Every instruction set and every kernel family, once. C++ (target.h, families.h) defines the macros
// that it wants before it includes this file; cmake/kernels.cmake and kernels.bzl take the lines that
// start with a macro's name apart at the commas, so a row is one line.
#ifndef TF_SIGNBIN_ISA
#define TF_SIGNBIN_ISA(...)
#endif
#ifndef TF_SIGNBIN_FAMILY
#define TF_SIGNBIN_FAMILY(...)
#endif
#define TF_SIGNBIN_FLAGS(...)

// Instruction sets that kernels are compiled for, the better ones of a processor first: Isa, its
// name in options and in the names of files (*_<name>.cc, *_<name>.S), the features it takes.
TF_SIGNBIN_ISA(kAmx, amx, feature::kAvx2 | feature::kAvx512 | feature::kAvx512Vnni | feature::kAmxInt8)
TF_SIGNBIN_ISA(kAvx512Vnni, avx512vnni, feature::kAvx2 | feature::kAvx512 | feature::kAvx512Vnni)
TF_SIGNBIN_ISA(kAvx512, avx512, feature::kAvx2 | feature::kAvx512)
TF_SIGNBIN_ISA(kAvxVnni, avxvnni, feature::kAvx2 | feature::kAvxVnni)
TF_SIGNBIN_ISA(kAvx2, avx2, feature::kAvx2)
TF_SIGNBIN_ISA(kNeonI8mm, neoni8mm, feature::kNeon | feature::kDotProd | feature::kI8mm)
TF_SIGNBIN_ISA(kNeonDot, neondot, feature::kNeon | feature::kDotProd)
TF_SIGNBIN_ISA(kNeon, neon, feature::kNeon)
TF_SIGNBIN_ISA(kPortable, portable, 0)

// The compiler's flags for the files of an instruction set: processor, name, the set whose flags it
// takes over, flags, flags for GCC alone: GCC 12 warns of its own _mm512_undefined_epi32(), and where
// it orders dot products before it chooses registers, sums move between registers in every step. A
// feature of target.h stands for all that is enabled here.
TF_SIGNBIN_FLAGS(x86, avx2, , -mavx2 -mfma -mf16c -mbmi -mbmi2 -mlzcnt -mpopcnt -mmovbe -maes -mpclmul, )
TF_SIGNBIN_FLAGS(x86, avxvnni, avx2, -mavxvnni, )
TF_SIGNBIN_FLAGS(x86, avx512, avx2, -mavx512f -mavx512cd -mavx512bw -mavx512dq -mavx512vl, -Wno-maybe-uninitialized -Wno-uninitialized)
TF_SIGNBIN_FLAGS(x86, avx512vnni, avx512, -mavx512vnni, )
TF_SIGNBIN_FLAGS(x86, amx, avx512vnni, -mamx-tile -mamx-int8, )
TF_SIGNBIN_FLAGS(aarch64, neon, , , )
TF_SIGNBIN_FLAGS(aarch64, neondot, , -march=armv8.2-a+dotprod, -fno-schedule-insns)
TF_SIGNBIN_FLAGS(aarch64, neoni8mm, , -march=armv8.2-a+dotprod+i8mm, )
TF_SIGNBIN_FLAGS(armv7, neon, , -mfpu=neon-vfpv4, -mfp16-format=ieee)

// Kernel families: the processors that have them (x86, arm for both of Arm's, any), the folder under
// kernels/ and name in options, the KernelFamily. Of plans that cost the same the first one wins.
TF_SIGNBIN_FAMILY(x86, permute, kPermuteFamily)
TF_SIGNBIN_FAMILY(x86, dense, kDenseFamily)
TF_SIGNBIN_FAMILY(x86, row, kRowFamily)
TF_SIGNBIN_FAMILY(x86, gemm, kGemmFamily)
TF_SIGNBIN_FAMILY(arm, gemm, kGemmFamily)
TF_SIGNBIN_FAMILY(any, table, kTableFamily)
TF_SIGNBIN_FAMILY(any, reference, kReferenceFamily)

#undef TF_SIGNBIN_ISA
#undef TF_SIGNBIN_FLAGS
#undef TF_SIGNBIN_FAMILY
#if 0
""" #"
#endif
