"""Layer names as TensorFlow's exporters leave them in tensors' names."""

import pytest

from tf_signbin.convert.names import layer_path, unique_names


@pytest.mark.parametrize(
    ("filter_name", "output_name", "path"),
    [
        ("model/conv/Conv2D", "", ("model", "conv")),
        ("", "model/relu/Relu;model/conv/BiasAdd;model/conv/Conv2D", ("model", "conv")),
        ("sequential/dense/Tensordot/MatMul", "", ("sequential", "dense")),
        ("model/c1/Conv1D/ExpandDims_1", "", ("model", "c1")),
        ("model/conv2d/Conv2D", "", ("model", "conv2d")),  # Keras's own name of the layer
        ("functional/conv2d_1/convolution", "", ("functional", "conv2d_1")),
        ("model/block/sep/separable_conv2d1", "", ("model", "block", "sep")),
        (
            "m/quant_c/LastValueQuant/FakeQuantWithMinMaxVarsPerChannel",
            "",
            ("m", "quant_c"),
        ),
        ("arith.constant7", "y", ("y",)),
        ("", "", ("",)),
    ],
)
def test_layer_path(filter_name, output_name, path):
    assert layer_path(filter_name, output_name) == path


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["m/a", "m/b"], ["a", "b"]),
        (["m/block/conv", "m/block_1/conv", "m/head"], ["block/conv", "block_1/conv", "head"]),
        (["m/conv", "m/block/conv"], ["m/conv", "block/conv"]),
        (["m/conv", "m/conv", "m/conv"], ["conv", "conv#2", "conv#3"]),
        (["conv", "m/conv"], ["conv", "m/conv"]),
        (["a/x/c", "b/x/c", "x/c"], ["a/x/c", "b/x/c", "x/c"]),
        (["", ""], ["", "#2"]),
        ([], []),
    ],
)
def test_unique_names(paths, names):
    found = unique_names([tuple(path.split("/")) for path in paths])
    assert found == names
    assert len(set(found)) == len(found)
