"""Finding and loading the delegate's library: every way it can be unusable has its own message."""

import platform
import subprocess
import sys

import pytest

from tf_signbin.runtime import DelegateError, delegate_path, load_delegate
from tf_signbin.runtime.delegate import ENVIRONMENT
from tf_signbin.runtime.elf import elf_target, process_target


def test_elf_target_of_this_python_is_this_machine():
    expected = {"x86_64": "x86-64", "aarch64": "AArch64"}.get(platform.machine())
    if expected is None:
        pytest.skip(f"no expectation for {platform.machine()}")
    assert process_target() == f"64-bit {expected}"


def test_elf_target_reads_class_and_machine(tmp_path):
    header = bytearray(64)
    header[:6] = b"\x7fELF\x01\x01"
    header[18:20] = (40).to_bytes(2, "little")
    path = tmp_path / "armv7.so"
    path.write_bytes(header)
    assert elf_target(path) == "32-bit ARM"
    path.write_bytes(b"not ELF")
    assert elf_target(path) is None


def test_missing_library_named_by_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv(ENVIRONMENT, str(tmp_path / "none.so"))
    with pytest.raises(DelegateError, match=r"TF_SIGNBIN_DELEGATE names .*none\.so.*unset"):
        load_delegate()


def test_library_of_another_cpu(monkeypatch, tmp_path):
    foreign = bytearray(delegate_path().read_bytes())
    machine = 183 if "x86" in process_target() else 62
    foreign[18:20] = machine.to_bytes(2, "little")
    path = tmp_path / "foreign.so"
    path.write_bytes(foreign)
    monkeypatch.setenv(ENVIRONMENT, str(path))
    with pytest.raises(DelegateError, match=r"foreign\.so is built for .*but this Python is"):
        load_delegate()


def test_file_that_is_no_library(monkeypatch, tmp_path):
    path = tmp_path / "text.so"
    path.write_text("hello")
    monkeypatch.setenv(ENVIRONMENT, str(path))
    with pytest.raises(DelegateError, match="is not an ELF shared library"):
        load_delegate()


def test_truncated_library(monkeypatch, tmp_path):
    path = tmp_path / "short.so"
    whole = delegate_path().read_bytes()
    monkeypatch.setenv(ENVIRONMENT, str(path))
    for size in (20, 50, 5000, len(whole) // 2):
        path.write_bytes(whole[:size])
        with pytest.raises(DelegateError, match=r"short\.so is truncated"):
            load_delegate()


def test_unknown_option_lists_the_known_ones():
    with pytest.raises(DelegateError, match=r"unknown delegate option 'colour'.*num_threads"):
        load_delegate(colour="blue")


@pytest.mark.parametrize("value", [0, -1, "many", ""])
def test_bad_option_value_is_named(value):
    with pytest.raises(DelegateError, match=f"option num_threads is '{value}'"):
        load_delegate(num_threads=value)


def test_running_needs_neither_tensorflow_nor_keras():
    """In a fresh process, because other tests import TensorFlow."""
    code = """
import sys
for name in ("tensorflow", "tf_keras", "keras", "tensorflow_model_optimization", "rich"):
    sys.modules[name] = None  # an import of it fails
import tf_signbin
tf_signbin.load_delegate(num_threads=1)
"""
    subprocess.run([sys.executable, "-c", code], check=True)
