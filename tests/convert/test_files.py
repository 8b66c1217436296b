"""Files appear whole or not at all."""

import os
import stat

import pytest

from tf_signbin.convert import files as files_module
from tf_signbin.convert import read_file, replacing, write_file
from tf_signbin.format import ModelError


def test_writes_and_replaces(tmp_path):
    path = tmp_path / "model.tflite"
    write_file(path, b"first")
    write_file(str(path), b"second")
    assert read_file(path) == b"second"
    assert os.listdir(tmp_path) == ["model.tflite"]
    mask = os.umask(0)
    os.umask(mask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~mask


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "model.tflite"
    write_file(path, b"old")

    def full_disk(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files_module.os, "fsync", full_disk)
    with pytest.raises(OSError, match="No space"):
        write_file(path, b"new")
    assert os.listdir(tmp_path) == ["model.tflite"]
    assert read_file(path) == b"old"


def test_a_failure_while_another_writes_leaves_the_old_file(tmp_path):
    """`replacing` is for writers that want a path, Keras and Matplotlib."""
    path = tmp_path / "model.keras"
    path.write_bytes(b"old")
    with pytest.raises(OSError, match="No space"), replacing(path) as file:  # noqa: PT012
        assert file.suffix == ".keras"  # Keras chooses the format by it
        file.write_bytes(b"half of the new")
        raise OSError(28, "No space left on device")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["model.keras"]
    with replacing(path) as file:
        file.write_bytes(b"new")
    assert path.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["model.keras"]


def test_a_missing_folder_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        write_file(tmp_path / "no" / "model.tflite", b"data")


def test_files_over_two_gigabytes(tmp_path):
    path = tmp_path / "large.tflite"
    with open(path, "wb") as file:
        file.truncate(2**31)  # sparse
    with pytest.raises(ModelError, match="2 GB"):
        read_file(path)
