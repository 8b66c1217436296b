"""Keras models that the stock converter takes only after a change, and files of both Kerases."""

from __future__ import annotations

import numpy as np
import pytest
import tf_keras

import tf_signbin
from tf_signbin.cli import main
from tf_signbin.convert import ConversionReport, convert
from tf_signbin.convert.interpret import Runner, signatures
from tf_signbin.convert.keras_models import load_keras_file
from tf_signbin.format.model import NUMPY_TYPES, read_model

keras3 = pytest.importorskip("keras", minversion="3")
KERAS = {"Keras 2": tf_keras, "Keras 3": keras3}


def run(data: bytes, **inputs: np.ndarray) -> np.ndarray:
    """The only output of a file, by TFLite's reference kernels."""
    [signature] = signatures(read_model(data))
    return next(iter(Runner(data, signature).run(inputs).values()))


def input_name(data: bytes) -> str:
    [signature] = signatures(read_model(data))
    [name] = signature.inputs
    return name


@pytest.mark.parametrize("name", KERAS)
@pytest.mark.parametrize(
    "policy", ["mixed_bfloat16", pytest.param("mixed_float16", marks=pytest.mark.slow)]
)
def test_mixed_precision_is_rebuilt_in_float32(name, policy):
    keras = KERAS[name]
    before = keras.mixed_precision.global_policy() if name == "Keras 2" else None
    keras.mixed_precision.set_global_policy(policy)
    try:
        image = keras.Input((6, 6, 3))
        inner = keras.Sequential([keras.Input((6, 6, 3)), keras.layers.Conv2D(8, 3)])
        x = keras.layers.ReLU()(keras.layers.BatchNormalization()(inner(image)))
        x = keras.layers.Dense(4)(keras.layers.Flatten()(x))
        model = keras.Model(image, keras.layers.Activation("linear", dtype="float32")(x))
        data = convert(model, activations="float32")
        assert keras.mixed_precision.global_policy().name == policy
    finally:
        keras.mixed_precision.set_global_policy(before or "float32")
    graph = read_model(data).subgraphs[0]
    assert {NUMPY_TYPES[tensor.type] for tensor in graph.tensors} <= {np.float32, np.int32}
    x = np.random.default_rng(0).normal(size=(1, 6, 6, 3)).astype(np.float32)
    # bfloat16 keeps 8 bits of a number.
    np.testing.assert_allclose(
        run(data, **{input_name(data): x}), model(x, training=False), atol=0.05
    )


@pytest.mark.parametrize(
    "kind",
    [
        "LSTM",
        pytest.param("GRU", marks=pytest.mark.slow),
        pytest.param("SimpleRNN", marks=pytest.mark.slow),
        pytest.param("Bidirectional", marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("name", KERAS)
def test_recurrent_layers_get_a_fixed_batch(name, kind):
    layers = KERAS[name].layers
    if kind == "Bidirectional":
        recurrent = layers.Bidirectional(layers.LSTM(6, return_sequences=True))
    else:
        recurrent = getattr(layers, kind)(6, return_sequences=True)
    steps = KERAS[name].Input((5, 8))
    model = KERAS[name].Model(steps, layers.Dense(4)(layers.Flatten()(recurrent(steps))))
    with pytest.warns(UserWarning, match=r"recurrent layers.*batch of 1"):
        data = convert(model)
    x = np.random.default_rng(0).normal(size=(1, 5, 8)).astype(np.float32)
    np.testing.assert_allclose(
        run(data, **{input_name(data): x}), model(x, training=False), atol=1e-5
    )


def test_subclassed_models_are_told_what_to_do():
    class Mixed(tf_keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = tf_keras.layers.Dense(4, dtype="mixed_bfloat16")

        def call(self, x):
            return self.dense(x)

    model = Mixed()
    model(np.zeros((1, 3), np.float32))
    with pytest.raises(ValueError, match=r"'mixed' is subclassed .*float32"):
        convert(model)


@pytest.mark.parametrize("name", KERAS)
def test_lists_of_samples_follow_the_models_inputs(name):
    """The converter sorts inputs by name: the first one of this model is its last."""
    keras = KERAS[name]
    first, second = keras.Input((6,), name="z_first"), keras.Input((6,), name="a_second")
    x = keras.layers.Add()([keras.layers.Dense(3)(first), keras.layers.Dense(3)(second)])
    model = keras.Model([first, second], keras.layers.Dense(2)(x))

    def dataset():
        rng = np.random.default_rng(0)
        for _ in range(4):
            small, large = rng.uniform(0, 1, (1, 6)), rng.uniform(0, 100, (1, 6))
            yield [small.astype(np.float32), large.astype(np.float32)]

    data = convert(model, representative_dataset=dataset, input_type="int8")
    tree = read_model(data)
    [signature] = signatures(tree)
    scales = {
        name: float(tree.subgraphs[0].tensors[index].quantization.scale[0])
        for name, index in signature.inputs.items()
    }
    assert 0.5 / 255 < scales["z_first"] < 1.5 / 255
    assert 50 / 255 < scales["a_second"] < 150 / 255
    with pytest.raises(ValueError, match="1 arrays, but the model 2 inputs"):
        convert(model, representative_dataset=lambda: ([np.zeros((1, 6), np.float32)],))


@pytest.mark.parametrize("dtype", ["int64", "int32"])
def test_integer_inputs(dtype):
    tokens = tf_keras.Input((7,), dtype=dtype, name="tokens")
    x = tf_keras.layers.Embedding(11, 8)(tokens)
    x = tf_keras.layers.Conv1D(8, 3, name="mid")(x)
    x = tf_keras.layers.Dense(3, name="head")(tf_keras.layers.GlobalAveragePooling1D()(x))
    model = tf_signbin.quantize_model(
        tf_keras.Model(tokens, x), keep_dense=lambda layer: layer.name == "head"
    )
    report = ConversionReport()
    data = convert(model, strict=True, verify=True, report=report)
    assert report.verification.ok
    values = np.random.default_rng(0).integers(0, 11, (1, 7)).astype(dtype)
    expected = model(values, training=False)
    np.testing.assert_allclose(
        run(tf_signbin.unpack(data), tokens=values), expected, rtol=1e-4, atol=1e-5
    )
    interpreter = tf_signbin.Interpreter(data)
    np.testing.assert_allclose(interpreter.predict(values), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize("name", KERAS)
def test_files_are_loaded_by_the_keras_that_wrote_them(name, suffix, tmp_path):
    keras = KERAS[name]
    model = keras.Sequential([keras.Input((5,)), keras.layers.Dense(3, name="only")])
    path = str(tmp_path / f"model{suffix}")
    model.save(path)
    loaded = load_keras_file(path)
    assert isinstance(loaded, keras.Model)
    np.testing.assert_array_equal(loaded.get_weights()[0], model.get_weights()[0])


def test_keras_3_file_on_the_command_line(tmp_path, capsys):
    model = keras3.Sequential([keras3.Input((5,)), keras3.layers.Dense(3, name="only")])
    model.save(tmp_path / "model.keras")
    output = tmp_path / "model.tflite"
    assert main(["convert", str(tmp_path / "model.keras"), "-o", str(output)]) == 0
    assert "only" in capsys.readouterr().out
    assert output.stat().st_size


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no zip", b"text"])
def test_files_of_no_keras_are_named(tmp_path, content, capsys):
    path = tmp_path / "model.keras"
    path.write_bytes(content)
    assert main(["convert", str(path), "-o", str(tmp_path / "out.tflite")]) == 1
    assert "model.keras" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("shape", "activations"),
    [
        ((16, -1), "float32"),
        pytest.param((-1, 64), "float32", marks=pytest.mark.slow),
        pytest.param((16, -1), "int8", marks=pytest.mark.slow),
    ],
)
def test_dense_after_a_reshape_to_steps(shape, activations):
    """The recurrent half of a CRNN reads [steps, -1]: Keras knows the size, the converter not."""
    layers = tf_keras.layers
    image = tf_keras.Input((16, 8, 3), name="image")
    x = layers.Conv2D(8, 3, padding="same", activation="relu")(image)
    x = layers.Reshape(shape)(x)
    x = layers.Dense(32, activation="relu", name="mid")(x)
    x = layers.Dense(5, name="head")(layers.GlobalAveragePooling1D()(x))
    model = tf_signbin.quantize_model(
        tf_keras.Model(image, x), activations=activations,
        keep_dense=lambda layer: layer.name != "mid",
    )  # fmt: skip
    values = np.random.default_rng(0).normal(size=(1, 16, 8, 3)).astype(np.float32)
    model(values, training=True)
    report = ConversionReport()
    data = convert(model, strict=True, report=report)
    assert [layer.name for layer in report.packed] == ["quant_mid"]
    if activations == "float32":
        result = run(tf_signbin.unpack(data), image=values)
        np.testing.assert_allclose(result, model(values, training=False), rtol=1e-4, atol=1e-5)
