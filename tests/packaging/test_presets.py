"""CMake presets and tools/sysroot.sh: what they offer, and what they say of missing things."""

import os
import shutil
import subprocess

import pytest

from tools import matrix

ROOT = matrix.ROOT
SYSROOT = str(ROOT / "tools/sysroot.sh")


def run(*command, **environment):
    return subprocess.run(
        command, cwd=ROOT / "delegate", env=os.environ | environment, capture_output=True,
        text=True, check=False,
    )  # fmt: skip


@pytest.mark.skipif(shutil.which("cmake") is None, reason="needs cmake")
def test_there_is_a_preset_for_every_target():
    run_ = run("cmake", "--list-presets")
    assert run_.returncode == 0, run_.stderr
    for name in ("native", "linux-x86_64", "linux-aarch64", "linux-armv7", "android-arm64",
                 "android-armv7"):  # fmt: skip
        assert f'"{name}"' in run_.stdout


@pytest.mark.skipif(shutil.which("cmake") is None, reason="needs cmake")
@pytest.mark.parametrize("architecture", ["x86_64", "aarch64", "armv7"])
def test_a_missing_sysroot_is_named_with_the_way_out(architecture, tmp_path):
    run_ = run("cmake", "--preset", f"linux-{architecture}", "-B", str(tmp_path / "build"),
               f"-DTF_SIGNBIN_SYSROOT={tmp_path}/none/{architecture}")  # fmt: skip
    assert run_.returncode != 0
    message = " ".join(run_.stderr.split())
    assert f"is missing: run tools/sysroot.sh {architecture}" in message


def test_sysroot_of_an_unknown_architecture():
    run_ = run(SYSROOT, "sparc")
    assert run_.returncode == 2
    assert "x86_64|aarch64|armv7" in run_.stderr


def test_sysroot_without_mmdebstrap_says_what_to_install(tmp_path):
    """In a checkout of its own, where no sysroot is cached."""
    (tmp_path / "checkout/tools").mkdir(parents=True)
    (tmp_path / "bin").mkdir()
    script = shutil.copy(SYSROOT, tmp_path / "checkout/tools")
    for name in ("sh", "dirname", "cat"):
        (tmp_path / "bin" / name).symlink_to(shutil.which(name))
    run_ = run(str(script), "armv7", PATH=str(tmp_path / "bin"))
    assert run_.returncode == 1
    assert "apt-get install mmdebstrap" in run_.stderr
