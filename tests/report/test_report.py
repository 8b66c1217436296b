"""The report page: its figures, and that it stands alone, is well-formed and fits a phone."""

import json
import re
import shutil
import subprocess
from html import escape
from html.parser import HTMLParser

import numpy as np
import pytest

from tf_signbin.benchmark.layers import LayerShape
from tf_signbin.benchmark.networks import network_model
from tf_signbin.benchmark.weights import WeightSpec
from tf_signbin.cli import main
from tf_signbin.convert.rewrite import pack
from tf_signbin.report import charts
from tf_signbin.report.collect import accuracy, collect, read_log
from tf_signbin.report.page import render
from tf_signbin.runtime import Interpreter


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("report")
    stock = network_model("resnet20", "int8", WeightSpec(pattern=(2, 10)))
    (path / "model.tflite").write_bytes(pack(stock)[0])
    (path / "stock.tflite").write_bytes(stock)
    (path / "log.csv").write_text("epoch,loss,val_accuracy,note\n1,2.3,0.1,a\n2,1.1,0.7,b\n")
    return path


@pytest.fixture(scope="module")
def result(folder):
    return collect(
        str(folder / "model.tflite"), {"other <file>": str(folder / "stock.tflite")},
        log=str(folder / "log.csv"), seconds=0.05,
    )  # fmt: skip


@pytest.fixture(scope="module")
def page(result):
    return render(result)


def test_figures(result):
    assert [row["name"] for row in result["latency"]] == [
        "tf_signbin", "same weights, dense", "other <file>",
    ]  # fmt: skip
    assert [row["kernels"] for row in result["latency"]] == ["tf_signbin", "XNNPACK", "XNNPACK"]
    assert len(result["analysis"]["layers"]) == 18
    assert result["training"] == {
        "epoch": [1, 2], "loss": [2.3, 1.1], "val_accuracy": [0.1, 0.7],
    }  # fmt: skip


def test_accuracy_is_that_of_the_delegate(folder):
    data = (folder / "model.tflite").read_bytes()
    samples = np.random.default_rng(0).normal(size=(8, 32, 32, 3)).astype(np.float32)
    labels = Interpreter(data).predict(samples).argmax(axis=1)
    labels[:2] = (labels[:2] + 1) % 10
    assert accuracy(data, samples, labels, "auto", 1) == {"top1": 0.75, "samples": 8}
    with pytest.raises(ValueError, match="8 samples, but labels of shape"):
        accuracy(data, samples, labels[:3], "auto", 1)


def test_log_without_numbers(folder):
    path = folder / "words.csv"
    path.write_text("a,b\nx,y\n")
    with pytest.raises(ValueError, match=r"words\.csv: no column of numbers"):
        read_log(str(path))


def test_a_comparison_that_is_not_there_is_explained(result):
    changed = json.loads(json.dumps(result))
    changed["latency"] = changed["latency"][:2]
    changed["latency"][1]["kernels"] = "stock kernels"
    text = render(changed)
    assert "XNNPACK took no operator of" in text
    assert "--compare fp32=FILE" in text


def test_page_stands_alone_and_runs_nothing(page):
    assert "<script" not in page
    assert not re.search(r"https?:|url\(|src=", page)


def test_names_from_files_are_escaped(result):
    hostile = '"><script>alert(1)</script>'
    changed = json.loads(json.dumps(result))
    changed["model"] = hostile
    changed["info"]["layers"][1]["name"] = hostile
    text = render(changed)
    assert "<script" not in text
    assert text.count(escape(hostile)) >= 3


def test_page_is_well_formed(page):
    class Checker(HTMLParser):
        def __init__(self):
            super().__init__()
            self.open_tags = []

        def handle_starttag(self, tag, attributes):
            if tag not in ("meta", "link"):
                self.open_tags.append(tag)

        def handle_startendtag(self, tag, attributes):
            pass

        def handle_endtag(self, tag):
            assert self.open_tags.pop() == tag

    checker = Checker()
    checker.feed(page)
    assert checker.open_tags == []


def test_bars_are_in_proportion():
    text = charts.bars([("a", 1.0, "1", True), ("b", 4.0, "4", False)])
    assert re.findall(r"width:([\d.]+)%", text) == ["25.0", "100.0"]
    assert "width:40.0%" in charts.bars([("a", 0.4, "40 %", True)], most=1.0)


def test_lines_lie_within_the_chart():
    text = charts.lines([1, 2, 3], {"y": [0.0, 5.0, 10.0]}, "x", "y")
    points = re.search(r'points="([^"]+)"', text)[1].split()
    across, down = zip(*(map(float, point.split(",")) for point in points), strict=True)
    assert list(across) == sorted(across)
    assert list(down) == sorted(down, reverse=True)
    assert min(down) >= 0


def test_command(folder, capsys):
    output = folder / "page.html"
    arguments = [str(folder / "model.tflite"), "-o", str(output), "--seconds", "0.01"]
    assert main(["report", *arguments, "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["model"] == "model.tflite"
    assert output.read_text().startswith("<!doctype html>")


def test_errors(folder, tmp_path, capsys):
    dense = tmp_path / "dense.tflite"
    dense.write_bytes(LayerShape(5, 8, 8).model("int8", WeightSpec("dense")))
    assert main(["report", str(dense)]) == 1
    assert "no layer is signed-binary" in capsys.readouterr().err
    assert main(["report", str(folder / "model.tflite"), "--samples", "x.npy"]) == 2
    assert "belong together" in capsys.readouterr().err
    assert not list(tmp_path.glob("*.html"))


@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs the Debian package chromium")
@pytest.mark.parametrize("width", [360, 1200])
def test_in_a_browser(page, tmp_path, width):
    """No message on the console, and nothing wider than the window."""
    frame = (
        f'<iframe id="f" style="border:0;width:{width}px;height:900px" '
        f'srcdoc="{escape(page)}"></iframe>'
        "<script>onload = () => { const d = document.getElementById('f').contentDocument;"
        "const e = d.documentElement; document.title = 'beyond=' + (e.scrollWidth - e.clientWidth);"
        "};</script>"
    )
    path = tmp_path / "frame.html"
    path.write_text(f"<!doctype html><meta charset=utf-8>{frame}")
    result = subprocess.run(
        ["chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr",
         f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", path.as_uri()],
        capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    assert "<title>beyond=0</title>" in result.stdout
    assert "CONSOLE" not in result.stderr
