"""Benchmark models compute in the delegate what the builtin reference kernels compute."""

import numpy as np
import pytest
from ai_edge_litert import interpreter as litert

from tf_signbin.benchmark.contenders import BenchmarkError, Settings, ours, xnnpack
from tf_signbin.benchmark.layers import LAYER_GROUPS, LayerShape, select_layers
from tf_signbin.benchmark.networks import NETWORKS, network_model
from tf_signbin.benchmark.weights import WeightSpec


def outputs(interpreter):
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


def reference(model, inputs):
    interpreter = litert.Interpreter(
        model_content=model, experimental_op_resolver_type=litert.OpResolverType.BUILTIN_REF
    )
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], inputs)
    return outputs(interpreter)


def check(model, rtol):
    interpreter, _ = ours(model, Settings())
    inputs = interpreter.get_tensor(interpreter.get_input_details()[0]["index"])
    expected, result = reference(model, inputs), outputs(interpreter)
    assert result.std() > 0
    if result.dtype == np.int8:
        np.testing.assert_array_equal(result, expected)
    else:
        np.testing.assert_allclose(result, expected, rtol=rtol, atol=rtol)


@pytest.mark.parametrize("activations", ["int8", "float32"])
@pytest.mark.parametrize(
    "layer",
    [
        LayerShape(9, 20, 24),
        LayerShape(9, 20, 24, stride=2),
        LayerShape(9, 20, 24, kernel=5, dilation=2),
        LayerShape(0, 40, 33, kernel=1),
    ],
    ids=lambda layer: layer.name,
)
def test_layer(layer, activations):
    check(layer.model(activations, WeightSpec()), 1e-4)


@pytest.mark.parametrize("bits", [4, 5, 6])
@pytest.mark.parametrize("pattern", [(0, 0), (2, 10)])
def test_layer_with_inputs_of_few_bits(bits, pattern):
    layer = LayerShape(13, 40, 24)
    model = layer.model("int8", WeightSpec(pattern=pattern), input_bits=bits)
    check(model, 0)
    interpreter, _ = ours(model, Settings())
    zero_point = interpreter.get_input_details()[0]["quantization"][1]
    assert zero_point == 128 - 2**bits
    inputs = interpreter.get_tensor(interpreter.get_input_details()[0]["index"])
    assert set(np.unique(inputs)) == set(range(zero_point, 128))


def test_network_with_inputs_of_few_bits():
    settings = Settings(delegate_options={"claim_dense": False})
    interpreter, _ = ours(network_model("resnet20", "int8", WeightSpec(), input_bits=4), settings)
    assert len(interpreter.claimed_layers) == 18


def test_resnet20_int8_is_exact():
    """The dense layers run in XNNPACK, whose int8 rounding differs from the reference by a step."""
    settings = Settings(delegate_options={"claim_dense": False})
    interpreter, _ = ours(network_model("resnet20", "int8", WeightSpec()), settings)
    assert len(interpreter.claimed_layers) == 18


@pytest.mark.parametrize(("network", "claimed"), [("resnet18", 16), ("resnet50", 48)])
@pytest.mark.slow
def test_network_claims_all_but_stem_shortcuts_and_classifier(network, claimed):
    settings = Settings(delegate_options={"claim_dense": False})
    interpreter, _ = ours(network_model(network, "int8", WeightSpec()), settings)
    assert len(interpreter.claimed_layers) == claimed


def test_resnet20_float_equals_the_reference():
    check(network_model("resnet20", "float32", WeightSpec()), 1e-3)


def test_dense_layer_is_not_ours():
    with pytest.raises(BenchmarkError, match="no layer was packed"):
        ours(LayerShape(5, 8, 8).model("int8", WeightSpec("dense")), Settings())


def test_xnnpack_takes_the_dense_layer():
    xnnpack(LayerShape(5, 8, 8).model("int8", WeightSpec("dense")), Settings())()


def test_selection():
    assert select_layers("3x3,fc") == [*LAYER_GROUPS["3x3"], *LAYER_GROUPS["fc"]]
    assert len(select_layers("all")) == sum(map(len, LAYER_GROUPS.values()))
    names = [layer.name for layer in select_layers("all")]
    assert len(names) == len(set(names))
    with pytest.raises(ValueError, match=r"unknown layers \['9x9'\]: choose from"):
        select_layers("9x9")
    with pytest.raises(ValueError, match="network='vgg'"):
        network_model("vgg", "int8", WeightSpec())
    assert set(NETWORKS) == {"resnet18", "resnet20", "resnet50"}


def test_macs():
    assert LayerShape(56, 64, 64).macs == 115_605_504
    assert LayerShape(56, 64, 128, stride=2).macs == 28 * 28 * 64 * 128 * 9
    assert LayerShape(0, 512, 1000, kernel=1).macs == 512_000
