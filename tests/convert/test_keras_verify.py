"""The first layer in which a file and its Keras model differ."""

from __future__ import annotations

import numpy as np
import pytest
import tf_keras

import tf_signbin
from tf_signbin.cli import main
from tf_signbin.convert.keras_verify import verify_keras
from tf_signbin.format.model import read_model, text, write_model

keras3 = pytest.importorskip("keras", minversion="3")


def network(keras):
    layers = keras.layers
    x = image = keras.Input((8, 8, 3))
    x = layers.Conv2D(8, 3, activation="relu", name="first")(x)
    x = layers.Conv2D(8, 3, use_bias=False, name="block_conv")(x)
    x = layers.ReLU(name="block_relu")(layers.BatchNormalization(name="norm")(x))
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    return keras.Model(image, layers.Dense(4, name="last")(x))


def damaged(data: bytes, name: str) -> bytes:
    """The file with the filter of that name changed."""
    model = read_model(data)
    [tensor] = [
        t for t in model.subgraphs[0].tensors
        if name in text(t.name) and model.buffers[t.buffer].data is not None
        and len(t.shape) == 4
    ]  # fmt: skip
    buffer = model.buffers[tensor.buffer]
    buffer.data = np.roll(np.array(buffer.data), 4)  # one weight further
    return write_model(model)


@pytest.mark.parametrize("keras", [tf_keras, keras3], ids=["Keras 2", "Keras 3"])
def test_float_model(keras):
    model = network(keras)
    data = tf_signbin.convert(model)
    report = verify_keras(model, data)
    assert report.ok, report
    names = [layer.layer for layer in report.layers]
    assert names[:3] == ["first", "block_relu", "pool"]
    assert report.samples == 2
    wrong = verify_keras(model, damaged(data, "/first"))
    assert wrong.first is not None
    assert wrong.first.layer == "first"
    assert "first layer that differs: first, by" in str(wrong)


def test_int8_model_on_the_command_line(tmp_path, capsys):
    image = np.random.default_rng(0).normal(size=(4, 8, 8, 3)).astype(np.float32)
    model = tf_signbin.quantize_model(network(tf_keras), activations="int8")
    model(image, training=True)
    model.save(tmp_path / "model.keras")
    (tmp_path / "model.tflite").write_bytes(tf_signbin.convert(model))
    arguments = ["--keras", str(tmp_path / "model.keras"), str(tmp_path / "model.tflite")]
    main(["verify", *arguments])
    printed = capsys.readouterr().out
    assert "block_relu: " in printed
    assert "steps" in printed
    assert main(["verify", *arguments, "another.tflite"]) == 2


def test_another_model_is_refused():
    data = tf_signbin.convert(network(tf_keras))
    other = tf_keras.Sequential([tf_keras.layers.Dense(3, name="x", input_shape=(8, 8, 3))])
    with pytest.raises(ValueError, match="no tensor of the file has the name of a layer"):
        verify_keras(other, data)
