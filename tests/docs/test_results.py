"""The README's table is what docs/results/*.json say."""

import importlib.util
import json
import subprocess
from pathlib import Path

import pytest

from tests.docs.blocks import ROOT
from tf_signbin.benchmark.views import VIEWS


def results():
    spec = importlib.util.spec_from_file_location("results", ROOT / "tools/results.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_readme_table_is_that_of_the_measurements():
    text = (ROOT / "README.md").read_text()
    assert "<!-- results:begin -->" in text
    assert results().with_table(text) == text, "run tools/results.py"


def test_every_result_is_kept():
    module = results()
    for name, command in module.commands(module.measured_views()).items():
        assert module.load(name)["command"] == command[1]


@pytest.fixture
def copied(tmp_path, monkeypatch):
    """The results in a folder of their own, and a view's beside them."""
    module = results()
    for name, command in module.commands(["avx2"]).items():
        kept = module.load(
            name.removeprefix("view_avx2_").replace("_4bits", "_5bits").replace("50", "18")
        )
        view = {"view": {"name": "avx2"}} if "--as" in command else {}
        result = {**kept, **view, "session": "2026-11-29T10:00+00:00"}
        (tmp_path / f"{name}.json").write_text(json.dumps(result))
    monkeypatch.setattr(module, "RESULTS", tmp_path)
    return module


def test_a_view_that_was_measured_has_a_row(copied):
    ratio = copied.load("layers_int8")["geomean_ratio"]
    (row,) = [line for line in copied.readme_table().splitlines() if line.startswith("| `avx2`")]
    assert row.startswith(f"| `avx2`: {VIEWS['avx2']} | {ratio:.2f}x |")
    assert row.count("x |") == len(copied.VIEW_COMMANDS)
    assert copied.measured_views() == ["avx2"]


@pytest.mark.parametrize("change", [{"session": "2026-11-30T10:00+00:00"}, {"machine": {}}])
def test_figures_of_two_sessions_or_machines_are_never_mixed(copied, change):
    path = copied.RESULTS / "view_avx2_resnet18_int8.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(SystemExit, match=r"view_avx2_resnet18_int8\.json was not measured with"):
        copied.readme_table()


def test_measuring_replaces_everything(copied, monkeypatch):
    """The views of the machine before go, and nothing does when a command fails."""
    done = []

    def tool(command, **options):
        name = Path(command[-1]).stem
        done.append(name)
        kept = copied.load("layers_int8" if "layers" in command else "resnet18_int8")
        Path(command[-1]).write_text(json.dumps(kept))
        if failing and len(done) == 3:
            raise subprocess.CalledProcessError(1, command)

    monkeypatch.setattr(copied.subprocess, "run", tool)
    monkeypatch.setattr(copied, "available_views", lambda: ["avxvnni"])
    before = {path: path.read_text() for path in copied.RESULTS.iterdir()}
    failing = True
    with pytest.raises(subprocess.CalledProcessError):
        copied.measure()
    assert {path: path.read_text() for path in copied.RESULTS.iterdir()} == before
    failing = False
    copied.measure()
    assert copied.measured_views() == ["avxvnni"]
    copied.check_origin()
