"""Every kind of source, through TensorFlow's converter."""

from __future__ import annotations

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")
keras = pytest.importorskip("tf_keras")

import tf_signbin  # noqa: E402
from tests.convert.models import without_metadata  # noqa: E402
from tf_signbin.convert import (  # noqa: E402
    ConversionError,
    ConversionReport,
    UnpackedLayersError,
    convert,
)
from tf_signbin.convert.stock import stock_model  # noqa: E402
from tf_signbin.format.model import read_model, text  # noqa: E402

SHAPE = (12, 12, 8)


def signed_binary(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """A Keras kernel [..., I, O]: half of the filters positive, half negative."""
    rng = np.random.default_rng(seed)
    sign = np.where(np.arange(shape[-1]) < shape[-1] // 2, 1, -1)
    return ((rng.random(shape) < 0.3) * sign * 0.1).astype(np.float32)


def set_weights(model, seed: int = 0):
    """Two-valued kernels by value, and BatchNorm parameters with gammas of both signs."""
    rng = np.random.default_rng(seed)
    for layer in model.layers:
        if hasattr(layer, "layers"):
            set_weights(layer, seed)
        kind = type(layer).__name__
        if kind in ("Conv1D", "Conv2D", "Dense") and layer.name != "last":
            values = layer.get_weights()
            layer.set_weights([signed_binary(values[0].shape, seed), *values[1:]])
        if kind == "BatchNormalization":
            size = layer.get_weights()[0].shape
            layer.set_weights([rng.normal(size=size), rng.normal(size=size),
                               rng.normal(size=size), rng.random(size) + 0.1])  # fmt: skip
    return model


def functional(kit=keras):
    x = image = kit.Input(SHAPE, name="image")
    x = kit.layers.Conv2D(16, 3, padding="same", use_bias=False, name="conv")(x)
    x = kit.layers.BatchNormalization()(x)
    x = shortcut = kit.layers.ReLU()(x)
    x = kit.layers.Conv2D(16, 3, padding="same", use_bias=False, name="again")(x)
    x = kit.layers.BatchNormalization()(x)
    x = kit.layers.ReLU()(kit.layers.Add()([x, shortcut]))
    x = kit.layers.GlobalAveragePooling2D()(x)
    x = kit.layers.Dense(32, activation="relu", name="dense")(x)
    return set_weights(kit.Model(image, kit.layers.Dense(5, name="last")(x)))


def sequential():
    layers = [
        keras.Input(SHAPE), keras.layers.Conv2D(16, 3, strides=2, name="conv"),
        keras.layers.Reshape((5, 80)), keras.layers.Conv1D(24, 3, name="again"),
        keras.layers.Dense(32, name="dense"), keras.layers.Flatten(),
        keras.layers.Dense(5, name="last"),
    ]  # fmt: skip
    return set_weights(keras.Sequential(layers))


def nested():
    block = keras.Sequential(
        [keras.layers.Conv2D(16, 3, name="again"), keras.layers.BatchNormalization()], name="block"
    )
    x = image = keras.Input(SHAPE, name="image")
    x = keras.layers.Conv2D(16, 3, name="conv")(x)
    x = keras.layers.Flatten()(block(x))
    x = keras.layers.Dense(32, name="dense")(x)
    return set_weights(keras.Model(image, keras.layers.Dense(5, name="last")(x)))


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.conv = keras.layers.Conv2D(16, 3, name="conv")
        self.again = keras.layers.Conv2D(16, 3, name="again")
        self.dense = keras.layers.Dense(32, name="dense")
        self.last = keras.layers.Dense(5, name="last")

    def call(self, image):
        return self.last(self.dense(tf.reduce_mean(self.again(self.conv(image)), axis=(1, 2))))


def subclassed():
    model = Subclassed()
    model(np.zeros((1, *SHAPE), np.float32))
    return set_weights(model)


def saved_model(tmp_path):
    functional().export(tmp_path / "saved")
    return tmp_path / "saved"


def concrete_function(_):
    model = functional()
    call = tf.function(lambda image: model(image, training=False))
    return call.get_concrete_function(tf.TensorSpec((1, *SHAPE), tf.float32))


def tflite_file(tmp_path):
    path = tmp_path / "stock.tflite"
    path.write_bytes(convert(functional(), layout="builtin"))
    return path


SOURCES = {
    "functional": lambda _: functional(),
    "sequential": lambda _: sequential(),
    "nested": lambda _: nested(),
    "subclassed": lambda _: subclassed(),
    "SavedModel": saved_model,
    "concrete function": concrete_function,
    ".tflite path": tflite_file,
    ".tflite bytes": lambda tmp_path: tflite_file(tmp_path).read_bytes(),
}


SLOW = ("sequential", "subclassed", ".tflite bytes")


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.slow] if n in SLOW else []) for n in SOURCES]
)
def test_source(name, tmp_path):
    source = SOURCES[name](tmp_path)
    report = ConversionReport()
    data = convert(source, verify=True, strict=True, report=report)
    assert [layer.status for layer in report.layers] == ["packed"] * 3 + ["dense"]
    assert {layer.name for layer in report.packed} == {"conv", "again", "dense"}
    assert report.dense[0].reason
    assert report.verification.ok
    assert read_model(data).signatureDefs
    assert report.file_bytes == len(data) < report.stock_file_bytes


def two_inputs():
    """Inputs that are not in the order of the alphabet, and two outputs."""
    inputs = {"right": keras.Input(SHAPE, name="right"), "left": keras.Input((5,), name="left")}
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(5, 3)(inputs["right"]))
    both = keras.layers.Concatenate()([x, inputs["left"]])
    outputs = {"z": keras.layers.Dense(2, name="z")(both), "a": keras.layers.Dense(3, name="a")(x)}
    return keras.Model(inputs, outputs)


def int8():
    return tf_signbin.quantize_model(functional(), activations="int8")


@pytest.mark.parametrize(
    "make", [two_inputs, pytest.param(nested, marks=pytest.mark.slow),
             pytest.param(int8, marks=pytest.mark.slow)]
)  # fmt: skip
def test_models_convert_as_by_from_keras_model(make):
    """The same file but for the record of what it was converted from.

    int8: and for the last bit of a scale, since TensorFlow folds a batch normalization into filters
    in different orders.
    """
    model = make()
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    if make is not int8:
        assert without_metadata(stock_model(model)) == without_metadata(converter.convert())
        return
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    actual, expected = (
        tf.lite.Interpreter(model_content=content)
        for content in (stock_model(model), converter.convert())
    )
    assert [op["op_name"] for op in actual._get_ops_details()] == [
        op["op_name"] for op in expected._get_ops_details()
    ]
    details = zip(actual.get_tensor_details(), expected.get_tensor_details(), strict=True)
    for tensor, other in details:
        assert (tensor["dtype"], list(tensor["shape"])) == (other["dtype"], list(other["shape"]))
        own, others = tensor["quantization_parameters"], other["quantization_parameters"]
        np.testing.assert_array_equal(own["zero_points"], others["zero_points"])
        np.testing.assert_allclose(own["scales"], others["scales"], rtol=1e-6)


def test_tables_convert():
    """A StringLookup's table is no variable: such a model is exported as a whole."""
    words = keras.Input((), dtype="string")
    x = keras.layers.StringLookup(vocabulary=["a", "b"])(words)
    model = keras.Model(words, keras.layers.Dense(4)(keras.layers.Embedding(3, 4)(x)))
    try:
        convert(model)
    except ConversionError as error:  # older converters have no kernel for the table
        assert "Lookup" in str(error) or "HashTable" in str(error)  # noqa: PT017


def test_keras_3():
    keras3 = pytest.importorskip("keras", minversion="3")
    report = ConversionReport()
    data = convert(functional(keras3), verify=True, report=report)
    assert len(report.packed) == 3
    assert text(read_model(data).signatureDefs[0].signatureKey) == "serving_default"


def dataset():
    rng = np.random.default_rng(7)
    for _ in range(4):
        yield [rng.normal(size=(1, *SHAPE)).astype(np.float32)]


@pytest.mark.parametrize("io_type", [pytest.param(None, marks=pytest.mark.slow), "int8"])
def test_post_training_int8(io_type):
    report, source = ConversionReport(), functional()
    types = {"input_type": io_type, "output_type": io_type}
    data = convert(source, representative_dataset=dataset, verify=True, report=report, **types)
    assert len(report.packed) == 3
    assert all(check.limit == check.error == 0 for check in report.verification.layers)
    model = read_model(data)
    graph = model.subgraphs[0]
    kinds = {graph.tensors[int(index)].type for index in (*graph.inputs, *graph.outputs)}
    assert kinds == {9 if io_type else 0}
    # The same model and data give the same bytes.
    assert data == convert(source, representative_dataset=dataset, **types)


def trained_cases():
    fast = [("signed", "int8"), ("centered", "int8"), ("regions", "float32")]
    for kind in ("signed", "centered", "binary", "ternary", "regions"):
        for activations in ("float32", "int8"):
            marks = [] if (kind, activations) in fast else [pytest.mark.slow]
            yield pytest.param(kind, activations, marks=marks)


@pytest.mark.parametrize(("kind", "activations"), trained_cases())
def test_trained_models(kind, activations):
    quantizer = {
        "signed": tf_signbin.SignedBinaryQuantizer(),
        "centered": tf_signbin.SignedBinaryQuantizer(background="centered", pattern=(3, 7)),
        "binary": tf_signbin.BinaryQuantizer(scale="mean"),
        "ternary": tf_signbin.TernaryQuantizer(),
        "regions": tf_signbin.SignedBinaryQuantizer(region_channels=4),
    }[kind]
    x = image = keras.Input(SHAPE, name="image")
    x = keras.layers.Conv2D(16, 3, padding="same", name="first")(x)
    x = keras.layers.ReLU()(x)
    x = keras.layers.Conv2D(16, 3, padding="same", use_bias=False, name="conv")(x)
    x = keras.layers.BatchNormalization()(x)
    x = keras.layers.ReLU()(x)
    x = keras.layers.Dense(5, name="last")(keras.layers.GlobalAveragePooling2D()(x))
    model = tf_signbin.quantize_model(
        keras.Model(image, x), quantizer=quantizer, keep_dense=["first", "last"],
        activations=activations,
    )  # fmt: skip
    # One step in training mode sets the ranges of the activations.
    model(np.random.default_rng(1).normal(size=(8, *SHAPE)).astype(np.float32), training=True)
    report = ConversionReport()
    convert(model, strict=True, verify=True, report=report)
    [layer] = report.packed
    assert layer.name == "quant_conv"
    assert layer.kind == ("ternary" if kind == "ternary" else "two_valued")
    assert layer.snapped == 0
    if kind == "centered" and activations == "int8":
        assert layer.pattern == (3, 7)
    if kind == "regions":
        assert layer.regions == 4  # 16 input channels in blocks of 4
    if activations == "int8":
        assert report.verification.layers[0].limit == 0


def test_strict_names_layers_that_lost_their_values():
    """A quantizer written as w + stop_gradient(q - w) leaves rounding noise larger than allowed."""
    model = functional()
    layer = model.get_layer("again")
    [kernel] = layer.get_weights()
    noise = np.random.default_rng(0).normal(size=kernel.shape) * 1e-5
    layer.set_weights([kernel + noise])
    with pytest.raises(UnpackedLayersError, match=r"again.*custom_gradient"):
        convert(model, strict=True)
    report = ConversionReport()
    convert(model, report=report)
    assert "again" in [layer.name for layer in report.dense]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"activations": "int4"}, ValueError, "'int4'"),
        ({"activations": "int8"}, ValueError, "representative_dataset"),
        ({"layout": "dense"}, ValueError, "layout"),
        ({"input_type": "int8"}, ValueError, "activations='int8'"),
        ({"output_type": "bfloat16"}, ValueError, "output_type"),
        ({"activations": "float32", "representative_dataset": dataset}, ValueError, "no use"),
    ],
)
def test_wrong_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        convert(functional(), **arguments)


def test_wrong_sources(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no_such\.tflite"):
        convert(tmp_path / "no_such.tflite")
    with pytest.raises(FileNotFoundError, match=r"saved_model\.pb"):
        convert(tmp_path)
    with pytest.raises(TypeError, match="cannot convert a dict"):
        convert({})
    with pytest.raises(ValueError, match="no input shape"):
        convert(keras.Sequential([keras.layers.Conv2D(4, 3)]))
    with pytest.raises(ValueError, match=r"cannot change a \.tflite file"):
        convert(b"", activations="int8")
    with pytest.raises(tf_signbin.format.ModelError, match="too few"):
        convert(b"")
