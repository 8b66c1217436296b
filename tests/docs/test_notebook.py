"""The tutorial notebook runs from start to end."""

import time

import nbformat
import pytest
from nbclient import NotebookClient

from tests.docs.blocks import ROOT
from tf_signbin.runtime import delegate_path

NOTEBOOK = ROOT / "examples/tutorial.ipynb"
LIMIT_SECONDS = 180  # what the documentation promises


def test_tutorial_runs(monkeypatch, tmp_path):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("TF_SIGNBIN_DELEGATE", str(delegate_path().resolve()))
    # The inline backend, which shows pictures in the notebook, is the kernel's default.
    monkeypatch.delenv("MPLBACKEND", raising=False)
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    client = NotebookClient(notebook, timeout=LIMIT_SECONDS, kernel_name="python3")
    start = time.monotonic()
    client.execute(cwd=str(tmp_path))
    assert time.monotonic() - start < LIMIT_SECONDS
    pictures = [
        output for cell in notebook.cells for output in cell.get("outputs", [])
        if "image/png" in output.get("data", {})
    ]  # fmt: skip
    assert len(pictures) == 2
    printed = "".join(
        output.text
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if output.output_type == "stream" and output.name == "stdout"
    )
    assert "same predictions as Keras: True" in printed
    assert pytest.approx(1, abs=0.1) == float(printed.split("accuracy ")[1].split()[0])
