"""What an NDK would provide, where there is none: enough to compile and link for Android.

    python tools/android/standin.py      prints the folder, for ANDROID_NDK

The C++ library is LLVM's, built here from the sources in the `ziglang` wheel, without locales. The
C headers are musl's from the same wheel, with bionic's spelling where the names of symbols differ.
The system libraries are empty functions under bionic's names and versions (bionic-24.txt), so a
link fails on anything that Android 7 lacks. musl's structures have other sizes than bionic's: what
is built shows that the sources compile and link, and must not be run.

Needs Debian's clang-19 and lld-19, and its cross compilers' libgcc.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
CACHE = HERE.parents[1] / ".cache" / "android"
STANDIN = CACHE / "standin"
SYMBOLS = HERE / "bionic-24.txt"
TOOLCHAIN = HERE / "toolchain.cmake"
API = 24
CXX_SOURCES = "ziglang==0.14.1"  # has LLVM 19's, as clang-19
LIBRARIES = ("libc", "libm", "libdl")


@dataclass(frozen=True)
class Abi:
    name: str  # the NDK's
    target: str
    architecture: str  # in bionic-24.txt
    musl: str
    linux: str
    gcc: str
    flags: tuple[str, ...] = ()


ABIS = (
    Abi("arm64-v8a", "aarch64-linux-android", "arm64", "aarch64-linux-musl", "aarch64-linux-any",
        "aarch64-linux-gnu-gcc"),
    Abi("armeabi-v7a", "armv7a-linux-androideabi", "arm", "arm-linux-musl", "arm-linux-any",
        "arm-linux-gnueabihf-gcc", ("-mthumb",)),
)  # fmt: skip

# Of libc++, libc++abi and libunwind: what is left without streams, locales and file systems.
_CXX = """
algorithm any bind call_once charconv chrono condition_variable
condition_variable_destructor error_category exception functional future hash
legacy_pointer_safety memory memory_resource mutex mutex_destructor new_handler new_helpers
optional random_shuffle shared_mutex stdexcept string system_error thread typeinfo valarray variant
vector verbose_abort"""
_CXXABI = """
abort_message cxa_aux_runtime cxa_default_handlers cxa_demangle cxa_exception
cxa_exception_storage cxa_guard cxa_handlers cxa_personality cxa_vector cxa_virtual fallback_malloc
private_typeinfo stdlib_exception stdlib_new_delete stdlib_stdexcept stdlib_typeinfo"""
_UNWIND = ("libunwind.cpp", "Unwind-EHABI.cpp", "UnwindLevel1.c", "UnwindLevel1-gcc-ext.c",
           "UnwindRegistersRestore.S", "UnwindRegistersSave.S")  # fmt: skip

# Added to musl's headers: bionic's names where the symbols differ, and a header that it lacks.
_BIONIC = {
    "android/api-level.h": "// The compiler defines __ANDROID_API__.\n",
    # musl's names for 64-bit times on 32-bit processors.
    "features.h": """
#undef __REDIR
#define __REDIR(name, other)
""",
    "errno.h": """
#undef errno
#define errno (*__errno())
#ifdef __cplusplus
extern "C"
#endif
int* __errno(void);
""",
    "assert.h": """
#undef assert
#ifdef NDEBUG
#define assert(condition) ((void)0)
#else
#define assert(condition) \\
  ((condition) ? (void)0 : __assert2(__FILE__, __LINE__, __func__, #condition))
#endif
#ifdef __cplusplus
extern "C"
#endif
void __assert2(const char*, int, const char*, const char*) __attribute__((noreturn));
""",
}
# What libc++'s own build would put before its __config.
_CONFIG = """
#define _LIBCPP_ABI_VERSION 1
#define _LIBCPP_ABI_NAMESPACE __ndk1
#define _LIBCPP_HAS_MUSL_LIBC
#define _LIBCPP_HAS_NO_LOCALIZATION
#define _LIBCPP_HAS_NO_FILESYSTEM
#define _LIBCPP_HAS_NO_RANDOM_DEVICE
#define _LIBCPP_HAS_NO_UNICODE
#define _LIBCPP_HAS_NO_TIME_ZONE_DATABASE
#define _LIBCPP_HAS_NO_VENDOR_AVAILABILITY_ANNOTATIONS
#define _LIBCPP_HARDENING_MODE_DEFAULT 2
#define _LIBCPP_PSTL_BACKEND_SERIAL
"""


TOOLS = ("clang++-19", "ld.lld-19", "llvm-ar-19", "cmake", "ninja", *(abi.gcc for abi in ABIS))


def missing_tools() -> list[str]:
    return [tool for tool in TOOLS if shutil.which(tool) is None]


def prepare() -> Path:
    """The folder that stands for an NDK, made if it is not there.

    Raises:
      RuntimeError: a tool is missing, or something does not build.
    """
    if missing := missing_tools():
        raise RuntimeError(
            f"not installed: {', '.join(missing)}; on Debian: apt-get install clang-19 lld-19 "
            "llvm-19 cmake ninja-build gcc-aarch64-linux-gnu gcc-arm-linux-gnueabihf. With an NDK, "
            "name its folder in ANDROID_NDK instead"
        )
    toolchain = STANDIN / "build/cmake/android.toolchain.cmake"
    inputs = [Path(__file__), SYMBOLS, TOOLCHAIN]
    newest = max(path.stat().st_mtime for path in inputs)
    if toolchain.exists() and toolchain.stat().st_mtime >= newest:
        return STANDIN
    shutil.rmtree(STANDIN, ignore_errors=True)
    sources = _sources()
    for abi in ABIS:
        sysroot = STANDIN / "sysroot" / abi.name
        _write_headers(sources, abi, sysroot / "include")
        (sysroot / "lib").mkdir()
        _collect_builtins(abi, sysroot / "lib")
        for library in LIBRARIES:
            write_stub(library, abi, sysroot / "lib")
        _build_cxx(sources, abi, sysroot)
    toolchain.parent.mkdir(parents=True)
    shutil.copyfile(TOOLCHAIN, toolchain)  # last, since it says that all is there
    return STANDIN


def bionic_symbols(abi: Abi, library: str) -> list[tuple[str, str, str]]:
    """Version, name and kind of what that library of Android 7 offers."""
    found = []
    for line in SYMBOLS.read_text().splitlines():
        if not line.startswith("#"):
            owner, version, name, kind, *architectures = line.split()
            if owner == library and abi.architecture in architectures:
                found.append((version, name, kind))
    return found


def write_stub(library: str, abi: Abi, folder: Path) -> None:
    """A shared library with bionic's symbols and nothing behind them."""
    symbols = bionic_symbols(abi, library)
    assembly, versions, previous = [".text"], [], ""
    for version in dict.fromkeys(version for version, _, _ in symbols):
        names = [name for v, name, _ in symbols if v == version]
        versions.append(f"{version} {{ global: {'; '.join(names)}; }} {previous};")
        previous = version
    for _, name, kind in symbols:
        kind = "object" if kind == "variable" else "function"
        assembly += [f".global {name}", f".type {name}, %{kind}", f".size {name}, 8", f"{name}:"]
    source, script = folder / f"{library}.s", folder / f"{library}.map"
    source.write_text("\n".join([*assembly, ".quad 0", ""]))
    script.write_text("\n".join([*versions, ""]))
    _run("clang-19", f"--target={abi.target}{API}", "-shared", "-nostdlib", "-fuse-ld=lld-19",
         f"-Wl,-soname,{library}.so,--version-script={script}", str(source),
         "-o", str(folder / f"{library}.so"))  # fmt: skip
    source.unlink()
    script.unlink()


def _collect_builtins(abi: Abi, folder: Path) -> None:
    """The compiler's helper functions: division on 32-bit cores, thread-local variables."""
    archive = folder / "libbuiltins.a"
    shutil.copyfile(_run(abi.gcc, "-print-libgcc-file-name").strip(), archive)
    # Only this one of libgcc_eh.a, whose unwinder is not bionic's.
    unwinder = _run(abi.gcc, "-print-file-name=libgcc_eh.a").strip()
    _run("llvm-ar-19", "x", f"--output={folder}", unwinder, "emutls.o")
    _run("llvm-ar-19", "r", str(archive), str(folder / "emutls.o"))
    (folder / "emutls.o").unlink()


def _sources() -> Path:
    """The C++ library's sources and the C headers from the wheel."""
    folder = CACHE / CXX_SOURCES
    if (folder / ".ready").exists():
        return folder / "ziglang/lib"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    _run(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check",
         "--no-deps", "--only-binary=:all:", "-d", str(folder), CXX_SOURCES)  # fmt: skip
    (wheel,) = folder.glob("*.whl")
    headers = ["generic-musl", "any-linux-any", *(abi.musl for abi in ABIS)]
    headers += [abi.linux for abi in ABIS]
    wanted = ("libcxx/", "libcxxabi/", "libunwind/", *(f"libc/include/{name}/" for name in headers))
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            if name.removeprefix("ziglang/lib/").startswith(wanted):
                archive.extract(name, folder)
    wheel.unlink()
    (folder / ".ready").touch()
    return folder / "ziglang/lib"


def _write_headers(sources: Path, abi: Abi, include: Path) -> None:
    for name in ("any-linux-any", abi.linux, "generic-musl", abi.musl):
        shutil.copytree(sources / "libc/include" / name, include, dirs_exist_ok=True)
    shutil.copytree(sources / "libcxx/include", include / "c++/v1")
    shutil.copytree(sources / "libcxxabi/include", include / "c++/v1", dirs_exist_ok=True)
    shutil.copytree(sources / "libunwind/include", include / "c++/v1", dirs_exist_ok=True)
    for name, text in _BIONIC.items():
        (include / name).parent.mkdir(exist_ok=True)
        with (include / name).open("a") as header:
            header.write(text)
    config = include / "c++/v1/__config"
    guard = "#define _LIBCPP___CONFIG\n"
    text = config.read_text()
    if guard not in text:
        raise RuntimeError(f"{CXX_SOURCES}: __config has another include guard than expected")
    config.write_text(text.replace(guard, guard + _CONFIG, 1))


def _build_cxx(sources: Path, abi: Abi, sysroot: Path) -> None:
    """libc++_static.a, with libc++abi and libunwind in it."""
    objects = sysroot / "objects"
    objects.mkdir()
    paths = [sources / "libcxx/src" / f"{name}.cpp" for name in _CXX.split()]
    paths += [sources / "libcxxabi/src" / f"{name}.cpp" for name in _CXXABI.split()]
    paths += [sources / "libunwind/src" / name for name in _UNWIND]
    common = [f"--target={abi.target}{API}", *abi.flags, "-O2", "-fPIC", "-w", "-nostdlibinc",
              "-isystem", str(sysroot / "include/c++/v1"), "-isystem", str(sysroot / "include"),
              "-I", str(sources / "libcxx/src"), "-I", str(sources / "libcxxabi/include"),
              "-D_LIBCPP_BUILDING_LIBRARY", "-D_LIBCXXABI_BUILDING_LIBRARY",
              "-DLIBCXX_BUILDING_LIBCXXABI", "-D_LIBUNWIND_IS_NATIVE_ONLY",
              "-DLIBCXXABI_NON_DEMANGLING_TERMINATE", "-DNDEBUG"]  # fmt: skip
    made = []
    for path in paths:
        cxx = ["-std=c++23", "-nostdinc++"] if path.suffix == ".cpp" else []
        out = objects / f"{path.parents[1].name}_{path.stem}.o"
        _run("clang++-19" if cxx else "clang-19", *common, *cxx, "-c", str(path), "-o", str(out))
        made.append(str(out))
    _run("llvm-ar-19", "rcs", str(sysroot / "lib/libc++_static.a"), *made)
    shutil.rmtree(objects)


def _run(*command: str) -> str:
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} failed:\n{result.stderr[-3000:]}")
    return result.stdout


if __name__ == "__main__":
    print(prepare())
