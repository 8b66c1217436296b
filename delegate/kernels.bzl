"""Kernel families and instruction sets, as engine/kernels/registry.bzl names them: files named
*_<isa>.* get that ISA's flags."""

load(":engine/kernels/registry.bzl", "REGISTRY")

def _rows(macro):
    """The arguments of the registry's lines `macro(first, second, ...)`."""
    start = macro + "("
    return [
        [cell.strip() for cell in line[len(start):-1].split(",")]
        for line in REGISTRY.splitlines()
        if line.startswith(start)
    ]

def _flags_of(processor):
    """The flags of each instruction set of a processor, by name."""
    flags = {}
    for row_processor, isa, base, own, gcc in _rows("TF_SIGNBIN_FLAGS"):
        if row_processor == processor:
            words = (own + " " + gcc).split(" ")
            flags[isa] = flags.get(base, []) + [word for word in words if word]
    return flags

def _families_of(processors):
    return [row[1] for row in _rows("TF_SIGNBIN_FAMILY") if row[0] == processors]

_X86 = _flags_of("x86")
_AARCH64 = _flags_of("aarch64")
_ARMV7 = _flags_of("armv7")
_ISAS = [row[1] for row in _rows("TF_SIGNBIN_FLAGS")]

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
            ["engine/kernels/%s/*.cc" % family for family in _families_of("any")],
            exclude = special,
        ),
        copts = copts,
        linkstatic = True,
        deps = deps + [":kernels_output"],
    )
    for processor, families in [("x86", _families_of("x86")), ("arm", _families_of("arm"))]:
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
