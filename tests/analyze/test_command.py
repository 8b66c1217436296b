"""`tf-signbin analyze` end to end; times are written, never judged."""

import json

import pytest

from tf_signbin.analyze import synthetic
from tf_signbin.analyze.command import parse_layer
from tf_signbin.benchmark.layers import LayerShape, select_layers
from tf_signbin.benchmark.networks import network_model
from tf_signbin.benchmark.weights import WeightSpec
from tf_signbin.cli import main
from tf_signbin.convert.rewrite import pack


@pytest.mark.parametrize("activations", ["int8", "float32"])
def test_layer(tmp_path, monkeypatch, capsys, activations):
    monkeypatch.setattr(synthetic, "DENSITIES", (0.5, 0.1))
    path = tmp_path / "a.json"
    arguments = ["--activations", activations, "--seconds", "0.01", "--json", str(path)]
    assert main(["analyze", "7x7x32", *arguments, "--plot", str(tmp_path / "figure")]) == 0
    result = json.loads(path.read_text())
    binary, *others = result["points"]
    per_add = result["reference"]["ns_per_addition"] * 1e-6
    outputs = binary["outputs_per_sample"]
    for point in result["points"]:
        predicted = per_add * point["shared_adds_per_output"] * outputs
        assert point["predicted_ms"] == pytest.approx(predicted)
        parts = point["arithmetic_nj_per_sample"] + point["dram_nj_per_sample"]
        assert parts == pytest.approx(point["energy_nj_per_sample"])
    for dense in result["dense"]:
        per_mac = result["reference"][f"ns_per_mac_{dense['name']}"] * 1e-6
        assert dense["predicted_ms"] == pytest.approx(per_mac * result["macs"])
    assert {point["series"].split()[0] for point in others} == {"signed_binary", "ternary"}
    assert all(point["measured_ms"] > 0 for point in others)
    assert (tmp_path / "figure.png").exists()
    assert (tmp_path / "figure.svg").read_text().startswith("<?xml")
    assert "Horowitz" in capsys.readouterr().out


def test_model(tmp_path, capsys):
    model = tmp_path / "model.tflite"
    model.write_bytes(pack(network_model("resnet20", "int8", WeightSpec(pattern=(2, 10))))[0])
    arguments = ["--seconds", "0.1", "--json", "-", "--plot", str(tmp_path / "m.png")]
    assert main(["analyze", str(model), *arguments]) == 0
    layers = json.loads(capsys.readouterr().out)["layers"]
    assert len(layers) == 18
    assert all(layer["pattern"] == [2, 10] for layer in layers)
    assert all(layer["measured_ms"] > 0 and layer["kernel"] for layer in layers)
    assert all(layer["dense_ms"] > 0 for layer in layers)
    assert {layer["dense_kernels"] for layer in layers} == {"XNNPACK"}
    assert (tmp_path / "m.png").exists()


def test_model_without_packed_layers(tmp_path, capsys):
    model = tmp_path / "dense.tflite"
    model.write_bytes(LayerShape(5, 8, 8).model("int8", WeightSpec("dense")))
    assert main(["analyze", str(model)]) == 1
    assert "no layer is signed-binary" in capsys.readouterr().err


def test_layer_names_are_those_of_the_benchmark():
    for layer in select_layers("3x3,strided,1x1,5x5"):
        assert parse_layer(layer.name) == layer


@pytest.mark.parametrize("target", ["14x15x8", "missing.tflite", "hello"])
def test_bad_target(target, capsys):
    assert main(["analyze", target]) == 1
    assert target in capsys.readouterr().err
