"""SECURITY.md: nothing of a file is executed. No code of the package could."""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "tf_signbin"
# What turns data into code: by name when called, by module when imported.
BUILTINS = {"eval", "exec", "compile", "__import__"}
MODULES = {
    "cPickle", "cloudpickle", "code", "dill", "imp", "joblib", "marshal", "pickle", "runpy",
    "shelve", "yaml",
}  # fmt: skip
METHODS = {"os.system", "os.popen", "pickle.load", "pickle.loads"}
# Reads pickled arrays by an Unpickler of its own, for which no name but inert stand-ins resolves
# (tests/training/test_datasets.py).
UNPICKLER = ROOT / "tf_signbin/training/datasets/array_pickle.py"


def violations(source: str) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = {alias.name.partition(".")[0] for alias in node.names}
            found += [f"line {node.lineno}: import {name}" for name in sorted(names & MODULES)]
        elif isinstance(node, ast.ImportFrom):
            if (node.module or "").partition(".")[0] in MODULES:
                found.append(f"line {node.lineno}: from {node.module} import")
        elif isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            if name in BUILTINS | METHODS:
                found.append(f"line {node.lineno}: {name}()")
            found += [f"line {node.lineno}: {name}({keyword.arg}=...)" for keyword in node.keywords
                      if _allows_code(keyword)]  # fmt: skip
    return found


def _allows_code(keyword: ast.keyword) -> bool:
    """allow_pickle, shell and Keras's safe_mode, unless they are the literal that forbids code."""
    safe = {"allow_pickle": False, "shell": False, "safe_mode": True}
    if keyword.arg not in safe:
        return False
    return not (
        isinstance(keyword.value, ast.Constant) and keyword.value.value is safe[keyword.arg]
    )


SOURCES = sorted([*PACKAGE.rglob("*.py"), *(ROOT / "examples").rglob("*.py")])


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_code_from_data(path):
    found = violations(path.read_text())
    if path == UNPICKLER:
        assert [line.partition(": ")[2] for line in found] == ["import pickle"]
    else:
        assert found == []


@pytest.mark.parametrize(
    "source",
    ["import pickle", "from pickle import loads", "import yaml.loader", "eval('1')", "exec(text)",
     "np.load(path, allow_pickle=True)", "np.load(path, allow_pickle=flag)", "os.system(command)",
     "subprocess.run(command, shell=True)", "load_model(path, safe_mode=False)",
     "__import__(name)"],
)  # fmt: skip
def test_the_check_finds(source):
    assert violations(source)


@pytest.mark.parametrize(
    "source",
    ["re.compile('a')", "model.compile()", "import json", "np.load(p, allow_pickle=False)"],
)
def test_the_check_allows(source):
    assert violations(source) == []


class Payload:
    """Unpickling it writes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.write_text, (self.path, "executed")


def test_pickled_samples_are_refused_and_not_executed(tmp_path):
    from tf_signbin.commands.samples import load_samples
    from tf_signbin.console import CommandError

    witness, samples = tmp_path / "witness", tmp_path / "samples.npy"
    np.save(samples, np.array([Payload(witness)], dtype=object), allow_pickle=True)
    with pytest.raises(CommandError, match=r"samples\.npy"):
        list(load_samples(str(samples))())
    assert not witness.exists()
    np.load(samples, allow_pickle=True)  # the witness of the test itself
    assert witness.exists()
