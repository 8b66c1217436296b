"""`tf-signbin benchmark` end to end on small work; times are written, never judged."""

import json

import pytest

from tf_signbin.benchmark import compare, layers
from tf_signbin.cli import main


@pytest.fixture(autouse=True)
def small_layers(monkeypatch):
    monkeypatch.setitem(layers.LAYER_GROUPS, "3x3", (layers.LayerShape(7, 16, 16),))
    monkeypatch.setattr(compare, "DENSITIES", (1.0, 0.1))


def run(tmp_path, *arguments):
    path = tmp_path / "result.json"
    assert main(["benchmark", *arguments, "--seconds", "0.01", "--json", str(path)]) == 0
    return json.loads(path.read_text())


@pytest.mark.parametrize("activations", ["int8", "float32"])
def test_layers(tmp_path, capsys, activations):
    result = run(
        tmp_path, "layers", "--activations", activations, "--plot", str(tmp_path / "p.png")
    )
    (row,) = result["layers"]
    assert row["name"] == "7x7x16"
    base = row["xnnpack_int8_ms" if activations == "int8" else "xnnpack_fp32_ms"]
    assert row["xnnpack_ms"] == base
    assert row["ratio"] == pytest.approx(base / row["ours_ms"])
    assert result["geomean_ratio"] == pytest.approx(row["ratio"])
    assert result["machine"]["runtime"].startswith("ai_edge_litert")
    assert row["kernel"] in capsys.readouterr().out
    assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")


def test_model(tmp_path):
    arguments = [
        "--network", "resnet20", "--pattern", "2:10", "--plot", str(tmp_path / "p.svg"),
        "--option", "claim_dense=false",
    ]  # fmt: skip
    result = run(tmp_path, "model", *arguments)
    assert result["ratio"] == pytest.approx(result["xnnpack_ms"] / result["ours_ms"])
    assert len(result["claimed_layers"]) == 18
    assert result["weights"]["pattern"] == [2, 10]
    assert result["weights"]["density"] == pytest.approx(0.2)


def test_kinds(tmp_path):
    result = run(tmp_path, "kinds", "--plot", str(tmp_path / "p.png"))
    kinds = {kind["name"]: kind for kind in result["kinds"]}
    assert set(kinds) == {
        "fp32", "int8", "binary", "ternary", "signed_binary", "signed_binary 3:7",
        "signed_binary 2:10",
    }  # fmt: skip
    assert kinds["binary"]["ratio_to_binary"] == 1.0
    faster = kinds["binary"]["ours_ms"] / kinds["ternary"]["ours_ms"]
    assert kinds["ternary"]["ratio_to_binary"] == pytest.approx(faster)  # one layer: no mean


def test_density(tmp_path):
    result = run(tmp_path, "density", "--plot", str(tmp_path / "p.png"))
    points = {(p["kind"], p["density"]) for p in result["layers"][0]["points"]}
    assert points == {(kind, d) for kind in ("signed_binary", "ternary") for d in (1.0, 0.1)} | {
        ("binary", 1.0)
    }


def test_json_on_stdout_is_all_there_is(capsys):
    assert main(["benchmark", "layers", "--seconds", "0.01", "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["command"] == "layers"


def test_forced_kernel_is_used(tmp_path):
    result = run(tmp_path, "layers", "--option", "kernel=reference")
    assert result["layers"][0]["kernel"].startswith("reference")
    assert result["delegate_options"] == {"kernel": "reference"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["layers", "--isa", "z80"], "z80"),
        (["layers", "--layers", "9x9"], "unknown layers"),
        (["layers", "--pattern", "2:10", "--density", "0.5"], "more than pattern 2:10 allows"),
    ],
)
def test_errors_say_what_is_wrong(capsys, arguments, message):
    assert main(["benchmark", *arguments]) == 1
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments", [["--pattern", "7"], ["--threads", "0"], ["--density", "2"], ["--option", "x"]]
)
def test_wrong_usage(arguments, capsys):
    with pytest.raises(SystemExit) as info:
        main(["benchmark", "layers", *arguments])
    assert info.value.code == 2
    assert arguments[0] in capsys.readouterr().err
