"""The inspector's figures, against figures counted by hand or by plain loops."""

import itertools
import json

import numpy as np
import pytest

from tests.convert.models import int8_conv, one_conv, two_signature_model
from tests.format.tflite_builder import conv_model, random_filters
from tf_signbin.convert import inspect_model
from tf_signbin.convert.rewrite import pack
from tf_signbin.costs import distinct_patterns
from tf_signbin.format import ModelError


def test_signed_binary_layer():
    weights = np.zeros((6, 3, 3, 16), np.float32)
    weights[:2, ..., :4] = 0.5  # two positive filters, one of four weights effectual
    weights[2:, ..., 4:8] = -0.25
    stock = conv_model(weights, (1, 8, 8, 16), bias=np.zeros(6, np.float32), stride=(1, 1))
    [layer] = inspect_model(pack(stock)[0]).layers
    assert layer.name == "y"
    assert (layer.status, layer.kind, layer.regions) == ("already packed", "two_valued", 1)
    assert layer.density == 0.25
    assert (layer.positive_filters, layer.negative_filters) == (2, 4)
    assert layer.background_filters == 0
    assert layer.weight_bytes == 6 * 18 + 6 * 2 * 4
    assert layer.bits_per_weight == pytest.approx(8 * layer.weight_bytes / weights.size)
    assert layer.distinct_patterns[4] == pytest.approx(1.5)  # 2, 2, 1, 1 patterns in four groups
    assert layer.engine_lookups_per_output == 9 * 4  # ceil(16 / 5) groups a tap
    [builtin] = inspect_model(stock).layers
    assert (builtin.status, builtin.kind) == ("kept builtin", "two_valued")
    assert builtin.weight_bytes == weights.nbytes


def test_background_ternary_and_dense():
    rng = np.random.default_rng(0)
    bias = np.zeros(8, np.float32)
    background = random_filters(rng, "two_valued", (8, 3, 3, 16), background=True)
    ternary = random_filters(rng, "ternary", (8, 3, 3, 16), density=0.5)
    dense = random_filters(rng, "dense", (8, 3, 3, 16))
    infos = [
        inspect_model(pack(conv_model(weights, (1, 8, 8, 16), bias=bias))[0]).layers[0]
        for weights in (background, ternary, dense)
    ]
    assert [info.background_filters for info in infos] == [8, 0, 0]
    assert infos[1].density == pytest.approx(np.count_nonzero(ternary) / ternary.size)
    assert infos[1].positive_filters == infos[1].negative_filters == 0
    assert infos[1].engine_lookups_per_output == 2 * infos[0].engine_lookups_per_output
    assert infos[2].status == "dense"
    assert "distinct values" in infos[2].reason


def test_totals():
    info = inspect_model(pack(int8_conv())[0])
    totals = info.totals()
    weights = 8 * 9 * 8
    assert totals["weights"] == weights
    assert totals["int8_bytes"] * 4 == totals["float32_bytes"] == 4 * weights
    assert totals["weight_bytes"] == 8 * 9 + 8 * 2
    assert totals["macs_per_sample"] == totals["packed_macs_per_sample"] > 0
    assert json.loads(json.dumps(info.to_dict()))["totals"] == totals


def test_table_and_json(tmp_path):
    path = tmp_path / "model.tflite"
    path.write_bytes(pack(two_signature_model())[0])
    info = inspect_model(path)
    table = str(info).splitlines()
    assert len(table) == 1 + 2 + 1
    assert table[1].startswith("encode/conv ")  # two layers of this name
    assert table[2].startswith("decode/conv ")
    assert json.loads(json.dumps(info.to_dict()))["totals"]["weights"] == 2 * 8 * 9 * 8


@pytest.mark.parametrize("group", [1, 3, 4, 7])
@pytest.mark.parametrize("planes", [1, 2])
def test_distinct_patterns(group, planes):
    masks = np.random.default_rng(group).random((planes, 5, 2, 3, 10)) < 0.4
    counts = []
    for dy, dx, start in itertools.product(range(2), range(3), range(0, 10, group)):
        part = masks[:, :, dy, dx, start : start + group]
        counts.append(len({part[:, o].tobytes() for o in range(5)}))
    assert distinct_patterns(masks, group) == pytest.approx(np.mean(counts))


def test_damaged_file_is_named(tmp_path):
    path = tmp_path / "broken.tflite"
    path.write_bytes(one_conv()[:200])
    with pytest.raises(ModelError, match=r"broken\.tflite.*damaged"):
        inspect_model(path)
