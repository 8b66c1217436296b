"""Versions that are not supported: an error at import or at load that says what to install."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from tf_signbin.runtime import Interpreter, RuntimeNotFoundError, find_runtime
from tf_signbin.versions import SUPPORTED, UnsupportedVersionError, check_version, release

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("package", "version", "message"),
    [
        ("ai-edge-litert", "1.3.0", "1.3.0 is too old.*pip install 'ai-edge-litert>=1.4,<3.0'"),
        ("ai-edge-litert", "3.0.0", "too new"),
        ("tflite-runtime", "2.13.0", "too old"),
        ("tensorflow", "2.15.1", r"too old.*'tensorflow>=2.16,<2.22'"),
        ("tensorflow", "2.22.0rc1", "too new"),
        ("tensorflow-model-optimization", "0.7.5", "too old"),
    ],
)
def test_other_versions_are_refused(package, version, message):
    with pytest.raises(UnsupportedVersionError, match=message):
        check_version(package, version)


@pytest.mark.parametrize(
    ("package", "version"),
    [("ai-edge-litert", "1.4.0"), ("ai-edge-litert", "2.2.0.dev20260101"),
     ("tflite-runtime", "2.14.0"), ("tflite-runtime", "unknown"), ("tensorflow", "2.16.2"),
     ("tensorflow", "2.21.0"), ("tensorflow-model-optimization", "0.8.1")],
)  # fmt: skip
def test_supported_versions_pass(package, version):
    check_version(package, version)


def test_the_project_file_asks_for_the_same_versions():
    text = (ROOT / "pyproject.toml").read_text()  # Python 3.10 has no tomllib
    compared = 0
    for name, (oldest, beyond) in SUPPORTED.items():
        for low, high in re.findall(rf'"{name}>=([\d.]+),<([\d.]+)[";]', text):
            assert release(f"{low}.0") == oldest, name
            assert release(f"{high}.0") == beyond, name
            compared += 1
    assert compared >= 4


@pytest.fixture
def installed(monkeypatch):
    """Sets the version that a package seems to have."""
    real, changed = metadata.version, {}
    monkeypatch.setattr(metadata, "version", lambda name: changed.get(name) or real(name))
    return changed


def test_runtime_that_is_too_old(installed):
    installed["ai-edge-litert"] = "1.3.0"
    message = "ai_edge_litert: ai-edge-litert 1.3.0 is too old.*pip install 'ai-edge-litert>=1.4"
    with pytest.raises(RuntimeNotFoundError, match=message):
        find_runtime("ai_edge_litert")
    with pytest.raises(RuntimeNotFoundError, match=message):
        Interpreter(b"", runtime="ai_edge_litert")


def test_auto_takes_the_next_supported_runtime(installed):
    installed["ai-edge-litert"] = "3.1.0"
    installed["tflite-runtime"] = "2.5.0"
    assert find_runtime("auto").name == "tensorflow"
    installed["tensorflow-cpu"] = installed["tensorflow"] = "2.15.0"
    with pytest.raises(RuntimeNotFoundError, match=r"(?s)3\.1\.0 is too new.*2\.15\.0 is too old"):
        find_runtime("auto")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("tf.__version__ = '2.15.1'", "tensorflow 2.15.1 is too old"),
        ("versions['tf_keras'] = '2.16.0'", "tf_keras 2.16.0 does not go with TensorFlow 2"),
        ("versions['tensorflow-model-optimization'] = '0.7.5'", "optimization 0.7.5 is too old"),
        ("del versions['tf_keras']", "training needs the package tf_keras: pip install"),
    ],
)
def test_training_names_the_package_and_the_remedy(change, message):
    """In a process of its own: the check runs when the front end of Keras 2 is imported."""
    script = f"""
import tensorflow as tf
from importlib import metadata
real = metadata.version
versions = {{name: real(name) for name in ("tf_keras", "tensorflow-model-optimization")}}
def version(name):
    if name in ("tf_keras", "tensorflow-model-optimization") and name not in versions:
        raise metadata.PackageNotFoundError(name)
    return versions.get(name) or real(name)
metadata.version = version
{change}
import tf_signbin.train.keras2
"""
    run = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 1
    assert message in run.stderr.strip().splitlines()[-1]
