"""Builds the C++ delegate with CMake and puts it into the package; the rest is pyproject.toml.

Environment:
  TF_SIGNBIN_BUILD_DIR    CMake's build folder (default: build/delegate)
  TF_SIGNBIN_CMAKE_ARGS   further arguments for CMake's configure step, for example a preset

`make wheel ARCH=aarch64` builds wheels for other machines (tools/build_wheel.py).
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).resolve().parent
# The CMake targets by the names that setuptools knows their libraries by.
LIBRARIES = {
    "tf_signbin.runtime.libtf_signbin_delegate": "tf_signbin_delegate",
    "tf_signbin.runtime.libLiteRtGpuAccelerator": "tf_signbin_accelerator",
    "tf_signbin.runtime.libtf_signbin_view": "tf_signbin_view",
}
# What CMake has no target for on some platforms.
NOT_EVERYWHERE = {"tf_signbin_view"}


def run_cmake(command, **options):
    try:
        return subprocess.run(command, check=True, cwd=ROOT, text=True, **options)
    except FileNotFoundError:
        sys.exit("building the delegate needs cmake: apt install cmake (or pip install cmake)")
    except subprocess.CalledProcessError as error:
        sys.exit(f"building the delegate failed ({error}); its messages are above")


class BuildDelegate(build_ext):
    """`build_ext` that runs CMake; with --inplace the libraries land beside the Python sources."""

    def get_ext_filename(self, fullname):
        return fullname.replace(".", "/") + ".so"

    def build_extension(self, ext):
        target = Path(self.get_ext_fullpath(ext.name)).resolve()
        build_dir = ROOT / os.environ.get("TF_SIGNBIN_BUILD_DIR", "build/delegate")
        configure = ["cmake", "-S", str(ROOT / "delegate"), "-B", str(build_dir)]
        if not (build_dir / "CMakeCache.txt").exists():
            configure.append("-DCMAKE_BUILD_TYPE=Release")
            if shutil.which("ninja"):
                configure += ["-G", "Ninja"]
        configure += shlex.split(os.environ.get("TF_SIGNBIN_CMAKE_ARGS", ""))
        jobs = os.environ.get("CMAKE_BUILD_PARALLEL_LEVEL") or str(min(os.cpu_count() or 1, 8))
        name = LIBRARIES[ext.name]
        run_cmake(configure)
        if name in NOT_EVERYWHERE:
            targets = run_cmake(
                ["cmake", "--build", str(build_dir), "--target", "help"], stdout=subprocess.PIPE
            )
            if not re.search(rf"\b{name}\b", targets.stdout):
                return
        run_cmake(["cmake", "--build", str(build_dir), "--target", name, "-j", jobs])
        target.parent.mkdir(parents=True, exist_ok=True)
        # A rename, so that a process that has the old library loaded keeps it.
        partial = target.with_suffix(".partial")
        shutil.copy2(build_dir / target.name, partial)
        partial.replace(target)


class AnyPythonWheel(bdist_wheel):
    """The library does not use Python's C API: one wheel a platform serves every Python 3."""

    def finalize_options(self):
        super().finalize_options()
        self.root_is_pure = False

    def get_tag(self):
        return "py3", "none", super().get_tag()[2]


def build_tools():
    """CMake from PyPI where the system has none."""
    return [] if shutil.which("cmake") else ["cmake>=3.25,<5", "ninja"]


setup(
    ext_modules=[
        Extension(name, sources=[], optional=target in NOT_EVERYWHERE)
        for name, target in LIBRARIES.items()
    ],
    cmdclass={
        "build_ext": BuildDelegate,
        "bdist_wheel": AnyPythonWheel,
    },
    setup_requires=build_tools(),
)
