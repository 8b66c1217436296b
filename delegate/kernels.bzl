"""Kernel families, as in cmake/kernels.cmake: files named *_<isa>.* get that ISA's flags."""

_AVX2 = [
    "-mavx2", "-mfma", "-mf16c", "-mbmi", "-mbmi2", "-mlzcnt", "-mpopcnt", "-mmovbe", "-maes",
    "-mpclmul",
]
_AVX512 = _AVX2 + [
    "-mavx512f", "-mavx512cd", "-mavx512bw", "-mavx512dq", "-mavx512vl",
    # GCC 12 warns of its own _mm512_undefined_epi32().
    "-Wno-maybe-uninitialized", "-Wno-uninitialized",
]
_X86 = {"avx2": _AVX2, "avx512": _AVX512, "avx512vnni": _AVX512 + ["-mavx512vnni"]}
_AARCH64 = {"neon": [], "neondot": ["-march=armv8.2-a+dotprod"]}
_ARMV7 = {"neon": ["-mfpu=neon-vfpv4", "-mfp16-format=ieee"]}
_ISAS = _X86.keys() + _AARCH64.keys()

# Families of each processor; `reference` and `table` are everywhere.
_X86_FAMILIES = ["dense", "gemm", "permute"]
_ARM_FAMILIES = ["gemm"]

def kernel_defines():
    """The macros that tell the engine which families it has."""
    common = ["TF_SIGNBIN_HAVE_REFERENCE", "TF_SIGNBIN_HAVE_TABLE"]
    return common + select({
        "//delegate:x86_64": ["TF_SIGNBIN_HAVE_" + name.upper() for name in _X86_FAMILIES],
        "//delegate:aarch64": ["TF_SIGNBIN_HAVE_" + name.upper() for name in _ARM_FAMILIES],
        "//delegate:armv7": ["TF_SIGNBIN_HAVE_" + name.upper() for name in _ARM_FAMILIES],
        "//conditions:default": [],
    })

def _isa_library(processor, isa, flags, copts, deps):
    native.cc_library(
        name = "kernels_%s_%s" % (processor, isa),
        srcs = native.glob(["engine/kernels/*/*_%s.cc" % isa, "engine/kernels/*/*_%s.S" % isa]),
        copts = copts + flags,
        linkstatic = True,
        tags = ["manual"],  # only built where the compiler knows the flags
        deps = deps,
    )

def kernels(name, copts, deps):
    """One library for each instruction set, and one for what needs none.

    Args:
      name: of the library that holds them all.
      copts: compiler flags of all of them.
      deps: the engine's headers.
    """
    for processor, isas in [("x86", _X86), ("aarch64", _AARCH64), ("armv7", _ARMV7)]:
        for isa, flags in isas.items():
            _isa_library(processor, isa, flags, copts, deps)
    special = ["engine/kernels/*/*_%s.cc" % isa for isa in _ISAS]
    isa_libraries = select({
        "//delegate:x86_64": [":kernels_x86_" + isa for isa in _X86],
        "//delegate:aarch64": [":kernels_aarch64_" + isa for isa in _AARCH64],
        "//delegate:armv7": [":kernels_armv7_" + isa for isa in _ARMV7],
        "//conditions:default": [],
    })

    # What families share.
    native.cc_library(
        name = "kernels_output",
        srcs = native.glob(["engine/kernels/output/*.cc"], exclude = special),
        copts = copts,
        linkstatic = True,
        deps = deps + isa_libraries,
    )
    native.cc_library(
        name = "kernels_common",
        srcs = native.glob(
            ["engine/kernels/%s/*.cc" % family for family in ["reference", "table"]],
            exclude = special,
        ),
        copts = copts,
        linkstatic = True,
        deps = deps + [":kernels_output"],
    )
    for processor, families in [("x86", _X86_FAMILIES), ("arm", _ARM_FAMILIES)]:
        native.cc_library(
            name = "kernels_" + processor,
            srcs = native.glob(
                ["engine/kernels/%s/*.cc" % family for family in families],
                exclude = special,
            ),
            copts = copts,
            linkstatic = True,
            deps = deps + [":kernels_output"],
        )
    native.cc_library(
        name = name,
        deps = [":kernels_common"] + select({
            "//delegate:x86_64": [":kernels_x86"],
            "//delegate:aarch64": [":kernels_arm"],
            "//delegate:armv7": [":kernels_arm"],
            "//conditions:default": [],
        }) + isa_libraries,
    )
