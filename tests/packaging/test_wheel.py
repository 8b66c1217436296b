"""Builds a wheel and an sdist, installs the wheel elsewhere, and uses it."""

import os
import platform
import re
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]
LIBRARY = "tf_signbin/runtime/libtf_signbin_delegate.so"


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


def test_wheel_holds_the_delegate_and_the_examples_and_no_tests(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert LIBRARY in names
    assert "tf_signbin/_examples/train_resnet.py" in names
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
