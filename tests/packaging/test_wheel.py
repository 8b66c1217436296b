"""Builds a wheel and an sdist, installs the wheel elsewhere, and uses it."""

import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

from tools import build_wheel, cross_test
from tools.cross_test import emulation

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]
LIBRARY = "tf_signbin/runtime/libtf_signbin_delegate.so"
ACCELERATOR = "tf_signbin/runtime/libLiteRtGpuAccelerator.so"


def run(*command, **options):
    environment = {key: value for key, value in os.environ.items() if key != "TF_SIGNBIN_DELEGATE"}
    subprocess.run(command, check=True, env={**environment, **options.pop("env", {})}, **options)


def build(kind, folder, source=ROOT):
    """With setuptools' backend directly: what pip does, without fetching the backend again."""
    code = f"""
import setuptools.build_meta as backend
print(backend.build_{kind}({str(folder)!r}))
"""
    run(sys.executable, "-c", code, cwd=source, stdout=subprocess.DEVNULL)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    build("wheel", folder)
    (path,) = folder.glob("*.whl")
    return path


def test_wheel_serves_every_python_of_this_platform(wheel):
    machine = re.escape(platform.machine())
    assert re.fullmatch(rf"tf_signbin-[\d.]+-py3-none-linux_{machine}\.whl", wheel.name)


def test_wheel_holds_the_delegate_and_training_and_no_tests(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert {LIBRARY, ACCELERATOR} <= set(names)
    assert ("tf_signbin/runtime/libtf_signbin_view.so" in names) == (platform.machine() == "x86_64")
    assert "tf_signbin/training/run.py" in names
    assert "tf_signbin/py.typed" in names
    assert not any(name.startswith(("tests/", "delegate/")) for name in names)


def test_delegate_exports_only_its_entry_points(wheel, tmp_path):
    zipfile.ZipFile(wheel).extract(LIBRARY, tmp_path)
    symbols = subprocess.run(
        ["nm", "-D", "--defined-only", str(tmp_path / LIBRARY)],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert {line.split()[-1] for line in symbols.splitlines()} == {
        "tflite_plugin_create_delegate", "tflite_plugin_destroy_delegate", "tf_signbin_describe",
        "tf_signbin_take_error",
    }  # fmt: skip


def test_installed_wheel_runs_a_model(wheel, tmp_path):
    """In a new environment that sees this one's numpy and runtime, but not the checkout."""
    home = tmp_path / "venv"
    venv.create(home, with_pip=False)
    python = home / "bin/python"
    site = next(home.glob("lib/python*/site-packages"))
    zipfile.ZipFile(wheel).extractall(site)
    packages = [path for path in sys.path if path.endswith("site-packages")]
    (site / "outside.pth").write_text("\n".join(packages))
    run(str(python), "-m", "tf_signbin.commands.self_test", "ai_edge_litert", "int8", cwd=tmp_path)


def test_sdist_builds(tmp_path):
    build("sdist", tmp_path)
    (path,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        archive.extractall(tmp_path / "source", filter="data")
    (source,) = (tmp_path / "source").iterdir()
    build("wheel", tmp_path / "out", source)
    (built,) = (tmp_path / "out").glob("*.whl")
    assert LIBRARY in zipfile.ZipFile(built).namelist()


def needs(*programs):
    missing = [program for program in programs if shutil.which(program) is None]
    return pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)}")


_LOADER = """
#include <dlfcn.h>
#include <gnu/libc-version.h>
#include <stdio.h>
int main(int count, char** arguments) {
  void* library = dlopen(arguments[count - 1], RTLD_NOW);
  if (!library) return puts(dlerror()), 1;
  void* (*create)(void*, void*, size_t, void*) = dlsym(library, "tflite_plugin_create_delegate");
  void (*destroy)(void*) = dlsym(library, "tflite_plugin_destroy_delegate");
  void* delegate = create(0, 0, 0, 0);
  if (!delegate) return 2;
  destroy(delegate);
  puts(gnu_get_libc_version());
  return 0;
}
"""


def create_on_debian_11(library, architecture, folder):
    """Loads the library and makes a delegate with Debian 11's own C library; its version."""
    sysroot = Path(run_output(str(ROOT / "tools/sysroot.sh"), architecture).strip())
    triplet, emulator = {
        "x86_64": ("x86_64-linux-gnu", []),
        "aarch64": ("aarch64-linux-gnu", ["qemu-aarch64", "-L", str(sysroot)]),
        "armv7": ("arm-linux-gnueabihf", ["qemu-arm", "-L", str(sysroot)]),
    }[architecture]
    libraries = sysroot / "usr/lib" / triplet
    source, program = folder / "loader.c", folder / "loader"
    source.write_text(_LOADER)
    run(f"{triplet}-gcc", f"--sysroot={sysroot}", f"-B{libraries}", f"-L{libraries}", str(source),
        "-ldl", "-o", str(program))  # fmt: skip
    if not emulator:
        folders = f"{sysroot}/lib/{triplet}:{libraries}"
        emulator = [str(sysroot / "lib64/ld-linux-x86-64.so.2"), "--library-path", folders]
    return run_output(*emulator, str(program), str(library)).strip()


def run_output(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def cross_wheel(architecture, folder):
    """The wheel, after a look at what is in it."""
    wheel = build_wheel.build_wheel(architecture, folder)
    zipfile.ZipFile(wheel).extract(LIBRARY, folder)
    facts = cross_test.library_facts(folder / LIBRARY)
    machine = build_wheel.MACHINES[architecture]
    name, major, minor = re.fullmatch(
        r"(tf_signbin-[\d.]+-py3-none)-manylinux_(\d+)_(\d+)_" + machine, wheel.stem
    ).groups()
    assert facts["versions"]["GLIBC"] == f"{major}.{minor}", name
    assert create_on_debian_11(folder / LIBRARY, architecture, folder) == "2.31"
    return wheel


@needs("mmdebstrap", "x86_64-linux-gnu-gcc")
@pytest.mark.skipif(platform.machine() != "x86_64", reason="needs an x86-64 machine")
def test_x86_64_wheel_loads_on_debian_11(tmp_path):
    cross_wheel("x86_64", tmp_path)


@needs("mmdebstrap", "arm-linux-gnueabihf-g++", "qemu-arm")
def test_armv7_wheel_holds_a_library_for_it(tmp_path):
    cross_wheel("armv7", tmp_path)
    header = (tmp_path / LIBRARY).read_bytes()[:20]
    assert header[4] == 1  # 32 bit
    assert header[18] == 40  # EM_ARM


@needs("mmdebstrap", "aarch64-linux-gnu-g++", "qemu-aarch64")
def test_aarch64_wheel_runs_a_model_in_emulation(tmp_path):
    """Installed beside a runtime's wheel in Debian's own Python, on a Cortex-A72."""
    arm = emulation.AARCH64
    installed = tmp_path / "site"
    wheel = cross_wheel("aarch64", tmp_path)
    build_wheel.install(wheel, installed, emulation.PYTHON.removeprefix("python"))
    package = arm.runtime("ai-edge-litert")
    code = """
import sys, tf_signbin.runtime, tf_signbin.convert.rewrite
from tf_signbin.commands.self_test import find_problem
assert tf_signbin.__file__.startswith(sys.argv[1]), tf_signbin.__file__
assert not {name for name in sys.modules if name.partition(".")[0] == "tensorflow"}
print([find_problem("ai_edge_litert", dtype) for dtype in ("int8", "float32")])
"""
    command, environment = emulation.emulated_python(
        arm, arm.core("cortex-a72"), package, ["-c", code, str(installed)]
    )
    del environment["TF_SIGNBIN_DELEGATE"]
    environment["PYTHONPATH"] = f"{installed}:{emulation.prepare_site(arm, package)}"
    run = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == "[None, None]"


def test_a_library_with_foreign_needs_gets_no_tag(tmp_path):
    if shutil.which("c++") is None:
        pytest.skip("needs a C++ compiler")
    library = tmp_path / "libx.so"
    source = tmp_path / "x.cc"
    source.write_text("#include <string>\nstd::string* f() { return new std::string; }\n")
    subprocess.run(["c++", "-shared", "-fPIC", str(source), "-o", str(library)], check=True)
    with pytest.raises(RuntimeError, match=r"needs libstdc\+\+\.so\.6.*: link it statically"):
        build_wheel.platform_tag(library, "x86_64")
