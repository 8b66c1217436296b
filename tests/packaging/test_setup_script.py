"""tools/setup.sh on machines that lack something, played with a PATH of our own."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BASICS = ("sh", "uname", "cat", "cksum", "dirname", "id", "sort", "tr", "env", "grep", "sed")


@pytest.fixture
def machine(tmp_path):
    """A function that runs the script in a copy of the tree that sees only the given programs."""
    checkout = tmp_path / "checkout"
    (checkout / "tools").mkdir(parents=True)
    shutil.copy(ROOT / "tools/setup.sh", checkout / "tools")
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in BASICS:
        (programs / name).symlink_to(shutil.which(name))

    def run(**scripts):
        for name, body in scripts.items():
            path = programs / name.replace("__", "-")
            path.unlink(missing_ok=True)
            path.write_text(f"#!/bin/sh\n{body}\n")
            path.chmod(0o755)
        return subprocess.run(
            [str(checkout / "tools/setup.sh")], capture_output=True, text=True, check=False,
            env={"PATH": str(programs), "HOME": str(tmp_path)},
        )  # fmt: skip

    return run


def test_without_apt_it_lists_what_is_missing(machine):
    result = machine()
    assert result.returncode == 1
    for package in ("g++", "cmake", "ninja-build", "libgtest-dev", "libhwy-dev"):
        assert package in result.stderr


def test_without_rights_it_says_what_to_install(machine):
    result = machine(apt__get="exit 99", id="echo 1000", sudo="exit 1")
    assert result.returncode == 1
    assert "not root" in result.stderr
    assert "sudo apt-get install -y" in result.stderr


def test_as_root_it_installs_only_what_is_missing(machine, tmp_path):
    log = tmp_path / "apt.log"
    result = machine(
        apt__get=f'echo "$@" >> {log}', id="echo 0", cmake="exit 0", ninja="exit 0", cxx="exit 0"
    )
    update, install = log.read_text().splitlines()
    assert update.startswith("update")
    assert "g++" in install
    assert "cmake" not in install.split()
    # This apt-get installs nothing, which must not go unnoticed.
    assert result.returncode == 1
    assert "still missing after installation" in result.stderr


def test_failing_apt_is_reported(machine):
    result = machine(apt__get="exit 100", id="echo 0")
    assert result.returncode == 1
    assert "apt-get update failed" in result.stderr


@pytest.mark.skipif(os.getuid() != 0 and shutil.which("sudo") is None, reason="needs root or sudo")
def test_with_sudo_it_uses_it(machine, tmp_path):
    log = tmp_path / "sudo.log"
    machine(apt__get="exit 0", id="echo 1000", sudo=f'echo "$@" >> {log}; [ "$1" = -n ] && exit 0')
    assert "apt-get update" in log.read_text()
