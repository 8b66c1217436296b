"""The check of Android builds finds what it must; the build itself is a slow test."""

import os
import shutil
import subprocess
import sys

import pytest

from tools import matrix
from tools.android_check import elf, standin

ROOT = matrix.ROOT
ARM64, ARMV7 = standin.ABIS
needs_clang = pytest.mark.skipif(
    bool(standin.missing_tools()), reason=f"not installed: {', '.join(standin.missing_tools())}"
)


@pytest.fixture(scope="module")
def stubs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stubs")
    for library in standin.LIBRARIES:
        standin.write_stub(library, ARM64, folder)
    return folder


def link(stubs, folder, source, *flags):
    """A library of that C source, otherwise linked as the delegate is."""
    (folder / "a.c").write_text(source + "".join(f"void {name}(void){{}}" for name in elf.EXPORTS))
    out = folder / "a.so"
    good = ["-Wl,-z,max-page-size=16384", "-Wl,-z,relro,-z,now", "-Wl,-z,defs", "-s"]
    subprocess.run(
        ["clang-19", f"--target={ARM64.target}{standin.API}", "-nostdlib", "-shared", "-fPIC",
         "-ffreestanding", "-fuse-ld=lld-19", *good, *flags, str(folder / "a.c"), f"-L{stubs}",
         "-lc", "-o", str(out)],
        check=True, capture_output=True,
    )  # fmt: skip
    return out


@needs_clang
def test_a_good_library_passes(stubs, tmp_path):
    source = "void* malloc(unsigned long); void* f(void) { return malloc(1); }"
    out = link(stubs, tmp_path, source, "-fvisibility=hidden")
    # Everything is hidden, the entry points too.
    assert elf.problems(out, ARM64) == [f"exports [], not {sorted(elf.EXPORTS)}"]
    assert elf.problems(link(stubs, tmp_path, ""), ARM64) == []


@needs_clang
@pytest.mark.parametrize(
    ("source", "flags", "problem"),
    [
        ("", ["-Wl,-z,max-page-size=4096"], "segments are aligned to"),
        ("", ["-Wl,-z,execstack"], "executable stack"),
        ("", ["-Wl,-z,norelro"], "relro"),
        ("", ["-Wl,-rpath,/x"], "folders to search"),
        ("", ["-Wl,--strip-debug"], "not stripped"),
        ("int other(void) { return 1; }", [], "exports ['other'"),
        ("__thread int t; __attribute__((visibility(\"hidden\"))) int f(void) { return t++; }",
         ["-fno-emulated-tls"], "TLS segment"),
        # Android has it from API 28 on.
        ("void* aligned_alloc(unsigned long, unsigned long);"
         "__attribute__((visibility(\"hidden\"))) void* f(void) { return aligned_alloc(64, 64); }"
         "__attribute__((visibility(\"hidden\"), used)) void* (*p)(void) = f;",
         ["-Wl,-z,undefs"], "Android 7 does not have: aligned_alloc"),
    ],
)  # fmt: skip
def test_problems_are_found(stubs, tmp_path, source, flags, problem):
    found = elf.problems(link(stubs, tmp_path, source, *flags), ARM64)
    assert any(problem in line for line in found), found


@needs_clang
def test_stubs_refuse_what_android_lacks(stubs, tmp_path):
    source = "void* aligned_alloc(unsigned long, unsigned long); void* p = aligned_alloc;"
    with pytest.raises(subprocess.CalledProcessError) as error:
        link(stubs, tmp_path, source)
    assert b"undefined symbol: aligned_alloc" in error.value.stderr


def test_library_of_another_machine_is_refused():
    (problem,) = elf.problems(matrix.native_library(), ARM64)
    assert "not for arm64-v8a" in problem


def test_list_of_symbols_is_android_7s():
    names = {abi.architecture: {n for _, n, _ in standin.bionic_symbols(abi, "libc")}
             for abi in standin.ABIS}  # fmt: skip
    for found in names.values():
        assert {"malloc", "posix_memalign", "pthread_create", "getauxval", "__errno"} <= found
        # New in API 26, 28 and 30; glibc's and musl's.
        assert not {"nl_langinfo", "aligned_alloc", "pthread_cond_clockwait",
                    "__errno_location", "__assert_fail"} & found  # fmt: skip
    assert "__aeabi_memcpy" in names["arm"] - names["arm64"]


def test_missing_tools_are_named_with_the_way_out(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(RuntimeError, match=r"clang\+\+-19.*apt-get install.*ANDROID_NDK"):
        standin.prepare()


@pytest.mark.slow
@pytest.mark.skipif(
    bool(standin.missing_tools()) and "ANDROID_NDK" not in os.environ,
    reason="needs an NDK, or clang-19, lld-19 and Debian's cross compilers",
)
def test_the_delegate_builds_for_android():
    assert shutil.which("readelf")
    run = subprocess.run(
        [sys.executable, str(ROOT / "tools/android_check.py")], capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout + run.stderr
    assert [line.partition(":")[0] for line in run.stdout.splitlines()[1:]] == [
        abi.name for abi in standin.ABIS for _ in ("delegate", "accelerator")
    ]
