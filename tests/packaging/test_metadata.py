"""What the package promises, read from its sources."""

import sys
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = pytest.importorskip("tomli")

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_running_needs_only_numpy():
    assert [name.split(">")[0] for name in PROJECT["dependencies"]] == ["numpy"]


def test_no_tensorflow_in_the_runtime_extra():
    assert not any("tensorflow" in name for name in PROJECT["optional-dependencies"]["runtime"])


def test_every_requirement_has_an_upper_limit_or_is_a_tool():
    tools = {"setuptools>=77", "wheel"}
    for names in PROJECT["optional-dependencies"].values():
        assert all("<" in name or "==" in name or name in tools for name in names), names


def test_versions_agree():
    cmake = (ROOT / "delegate/CMakeLists.txt").read_text()
    assert f"VERSION {PROJECT['version']} " in cmake
    assert f"## {PROJECT['version']}" in (ROOT / "CHANGELOG.md").read_text()
