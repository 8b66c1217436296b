"""Arm in emulation: root folders, Python packages, cores and builds, all cached in .cache/cross.

Needs Debian's g++-aarch64-linux-gnu or g++-arm-linux-gnueabihf, qemu-user and mmdebstrap. Nothing
is booted: qemu runs single programs, and a root folder only holds the libraries they load.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / ".cache" / "cross"
PYTHON = "python3.11"  # Debian 12's
LIBRARY = "libtf_signbin_delegate.so"


class ToolMissingError(RuntimeError):
    """A program that emulation needs is not installed."""


@dataclass(frozen=True)
class Core:
    """A core as qemu emulates it, and what /proc/cpuinfo shows of it.

    qemu shows the host's /proc/cpuinfo unless the root folder has one, and XNNPACK picks its
    kernels by the part number there.
    """

    name: str  # qemu's -cpu, unless that is given
    part: str  # of /proc/cpuinfo, implementer 0x41
    features: str
    qemu: str = ""


@dataclass(frozen=True)
class Package:
    """A TFLite runtime on PyPI for one architecture, with what pip needs to find its wheels."""

    name: str
    requirements: tuple[str, ...]
    platforms: tuple[str, ...]


@dataclass(frozen=True)
class Architecture:
    name: str
    debian: str
    triplet: str
    qemu: str
    libraries: str  # the root's folder of shared libraries
    getppid: int  # the system call that marks spans for insncount.c
    cores: tuple[Core, ...]
    runtimes: tuple[Package, ...]
    debian_packages: tuple[str, ...] = ()

    def core(self, name: str) -> Core:
        return next(core for core in self.cores if core.name == name)

    def runtime(self, name: str) -> Package:
        return next(package for package in self.runtimes if package.name == name)


_ARMV8 = "fp asimd evtstrm aes pmull sha1 sha2 crc32 cpuid"
_ARMV8_2 = f"{_ARMV8} atomics fphp asimdhp asimdrdm lrcpc dcpop asimddp"
_I8MM = f"{_ARMV8_2} sve sve2 i8mm bf16"
_ARMV7 = "half thumb fastmult vfp edsp neon vfpv3 tls vfpv4 idiva idivt vfpd32 lpae"

AARCH64 = Architecture(
    name="aarch64",
    debian="arm64",
    triplet="aarch64-linux-gnu",
    qemu="qemu-aarch64",
    libraries="usr/lib/aarch64-linux-gnu",
    getppid=173,
    cores=(
        Core("cortex-a53", "0xd03", _ARMV8),  # Raspberry Pi 3
        Core("cortex-a72", "0xd08", _ARMV8),  # Raspberry Pi 4
        Core("cortex-a76", "0xd0b", _ARMV8_2),  # Raspberry Pi 5
        # Cores with i8mm: phones since 2022 (Cortex-A510, A710, X2 and later), servers (Neoverse
        # V1, N2). qemu 7.2 has none by name, and its "max" has SME, too, for which XNNPACK has
        # kernels of its own; XNNPACK sees a Neoverse N2.
        Core("i8mm", "0xd49", _I8MM, qemu="max,sme=off"),
    ),
    runtimes=(
        Package(
            "ai-edge-litert",
            ("ai-edge-litert==2.3.0", "numpy"),
            ("manylinux_2_27_aarch64", "manylinux2014_aarch64"),
        ),
        Package(
            "tflite-runtime",
            ("tflite-runtime==2.14.0", "numpy<2"),
            ("manylinux_2_34_aarch64", "manylinux2014_aarch64"),
        ),
    ),
)

ARMV7 = Architecture(
    name="armv7",
    debian="armhf",
    triplet="arm-linux-gnueabihf",
    qemu="qemu-arm",
    libraries="usr/lib/arm-linux-gnueabihf",
    getppid=64,
    cores=(Core("cortex-a7", "0xc07", _ARMV7),),  # Raspberry Pi 2
    # NumPy has no such wheel: it is Debian's, in the root folder.
    runtimes=(Package("tflite-runtime", ("tflite-runtime==2.14.0",), ("manylinux_2_34_armv7l",)),),
    debian_packages=("python3-numpy",),
)

ARCHITECTURES = {a.name: a for a in (AARCH64, ARMV7)}


def require(*programs: str) -> None:
    """Raises ToolMissingError with the programs that are not installed."""
    missing = [program for program in programs if shutil.which(program) is None]
    if missing:
        raise ToolMissingError(
            f"not installed: {', '.join(missing)}; on Debian 12: apt-get install mmdebstrap "
            "qemu-user g++-aarch64-linux-gnu g++-arm-linux-gnueabihf llvm-19"
        )


def prepare_root(architecture: Architecture) -> Path:
    """A folder with Debian's Python and C++ runtime of that architecture."""
    root = CACHE / f"{architecture.name}-root"
    ready = CACHE / f"{architecture.name}-root.ready"
    if ready.exists():
        return root
    require("mmdebstrap")
    shutil.rmtree(root, ignore_errors=True)
    CACHE.mkdir(parents=True, exist_ok=True)
    packages = (PYTHON, "libstdc++6", "libatomic1", *architecture.debian_packages)
    command = ["mmdebstrap", "--variant=extract", f"--architectures={architecture.debian}"]
    # One mirror without the security archive: extracted programs meet no network.
    mirror = os.environ.get("DEBIAN_MIRROR", "http://deb.debian.org/debian")
    _run([*command, f"--include={','.join(packages)}", "bookworm", str(root), mirror])
    # Maintainer scripts did not run, so the alternatives that NumPy loads are linked here.
    for library in ("blas/libblas.so.3", "lapack/liblapack.so.3"):
        target = root / architecture.libraries / library
        if target.exists():
            (target.parents[1] / target.name).symlink_to(library)
    ready.touch()
    return root


def prepare_site(architecture: Architecture, package: Package) -> Path:
    """A folder with the runtime's wheel and NumPy for that architecture."""
    site = CACHE / f"{architecture.name}-{package.name}"
    ready = site / ".ready"
    if ready.exists():
        return site
    shutil.rmtree(site, ignore_errors=True)
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    command += ["--target", str(site), "--only-binary=:all:", "--implementation", "cp"]
    command += ["--python-version", PYTHON.removeprefix("python")]
    for platform in package.platforms:
        command += ["--platform", platform]
    if architecture.debian_packages:
        command.append("--no-deps")
    _run([*command, *package.requirements])
    ready.touch()
    return site


def core_view(architecture: Architecture, core: Core) -> Path:
    """The root folder as a machine with four of these cores shows it."""
    root = prepare_root(architecture)
    view = CACHE / f"{architecture.name}-{core.name}"
    cpus = view / "sys/devices/system/cpu"
    cpus.mkdir(parents=True, exist_ok=True)
    for folder in ("lib", "usr", "etc", "lib64", "bin"):
        link = view / folder
        if (root / folder).exists() and not link.is_symlink():
            link.symlink_to((root / folder).resolve())
    (view / "proc").mkdir(exist_ok=True)
    level = 8 if architecture is AARCH64 else 7
    (view / "proc/cpuinfo").write_text(
        "".join(
            f"processor\t: {number}\nBogoMIPS\t: 108.00\nFeatures\t: {core.features}\n"
            f"CPU implementer\t: 0x41\nCPU architecture: {level}\nCPU variant\t: 0x0\n"
            f"CPU part\t: {core.part}\nCPU revision\t: 3\n\n"
            for number in range(4)
        )
    )
    for name in ("possible", "present", "online"):
        (cpus / name).write_text("0-3\n")
    (cpus / "kernel_max").write_text("255\n")
    return view


def emulated(
    architecture: Architecture, core: Core, command: list[str], plugin: str | None = None
) -> list[str]:
    """The command line that runs a program of that architecture on that core."""
    require(architecture.qemu)
    view = str(core_view(architecture, core))
    qemu = [architecture.qemu, "-cpu", core.qemu or core.name, "-L", view]
    if plugin is not None:
        qemu += ["-plugin", plugin]
    return [*qemu, *command]


def emulated_python(
    architecture: Architecture,
    core: Core,
    package: Package,
    arguments: list[str],
    plugin: str | None = None,
) -> tuple[list[str], dict[str, str]]:
    """The command line and environment of the root's Python with that runtime and this project."""
    site = prepare_site(architecture, package)
    python = core_view(architecture, core) / "usr/bin" / PYTHON
    environment = os.environ | {
        "PYTHONPATH": f"{site}:{ROOT}",
        "PYTHONDONTWRITEBYTECODE": "1",
        "TF_SIGNBIN_DELEGATE": str(build_folder(architecture) / LIBRARY),
    }
    return emulated(architecture, core, [str(python), *arguments], plugin), environment


def build_folder(architecture: Architecture) -> Path:
    """The one of the CMake preset."""
    return ROOT / "build" / "cross" / f"linux-{architecture.name}"


def build(architecture: Architecture, tests: bool) -> Path:
    """Cross-builds the delegate and, if asked, the C++ tests; the build folder."""
    require(f"{architecture.triplet}-g++", "cmake", "ninja")
    folder = build_folder(architecture)
    _run([str(ROOT / "tools/sysroot.sh"), architecture.name], quiet=True)
    tests_too = f"-DTF_SIGNBIN_BUILD_TESTS={'ON' if tests else 'OFF'}"
    configure = ["cmake", "--preset", f"linux-{architecture.name}", tests_too]
    _run(configure, quiet=True, folder=ROOT / "delegate")
    # CMake asks each test program for its tests as it builds it.
    environment = os.environ | {
        "QEMU_LD_PREFIX": str(core_view(architecture, architecture.cores[0])),
        "QEMU_CPU": architecture.cores[0].name,
    }
    _run(["cmake", "--build", str(folder), "-j", str(os.cpu_count() or 1)], environment, quiet=True)
    return folder


def _run(
    command: list[str],
    environment: dict[str, str] | None = None,
    quiet: bool = False,
    folder: Path | None = None,
) -> None:
    result = subprocess.run(
        command, env=environment, capture_output=quiet, text=True, cwd=folder, check=False
    )
    if result.returncode != 0:
        output = f":\n{result.stdout}{result.stderr}" if quiet else ""
        raise RuntimeError(f"{command[0]} failed with {result.returncode}{output}")
