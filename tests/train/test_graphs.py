"""Quantized models keep what the graph says: arguments, order, structure, names, freezing."""

from __future__ import annotations

import copy
import pickle
import warnings

import numpy as np
import pytest

import tf_signbin
from tests.litert_reference import BUILTIN, Reference
from tests.train import models
from tf_signbin.convert.stock import stock_model
from tf_signbin.train import SignedBinaryQuantizer
from tf_signbin.train.keras2.legacy_keras import keras, tf

layers = keras.layers
ACTIVATIONS = ["float32", "int8"]
KEEP_ALL_BUT_B = {"keep_dense": lambda layer: layer.name != "b"}


@pytest.fixture(autouse=True)
def replayable(rng):
    """Keras draws its first weights from the test's generator, and forgets the graph after it."""
    keras.utils.set_random_seed(int(rng.integers(2**31)))
    yield
    keras.backend.clear_session()


def exact(model):
    """The model with quantizers that change nothing: two-valued kernels stay what they are."""
    for layer in model.layers:
        if type(layer).__name__ in ("Conv2D", "Dense"):
            kernel, *rest = layer.get_weights()
            values = np.where(np.random.default_rng(1).random(kernel.shape) < 0.5, 1.0, 0.0)
            values[..., kernel.shape[-1] // 2 :] *= -1
            layer.set_weights([values, *rest])
    return model


@pytest.mark.parametrize("activations", ACTIVATIONS)
@pytest.mark.parametrize("nested", [False, True], ids=["flat", "nested"])
def test_the_training_argument_of_a_call_is_kept(nested, activations):
    """`training=False` keeps BatchNorm's statistics, `training=True` keeps dropout random."""
    block_input = keras.Input((4, 4, 3))
    x = layers.Conv2D(4, 1, name="b")(block_input)
    block = keras.Model(block_input, layers.BatchNormalization(name="norm")(x), name="block")
    image = keras.Input((4, 4, 3))
    if nested:
        x = block(image, training=False)
    else:
        x = layers.BatchNormalization(name="norm")(
            layers.Conv2D(4, 1, name="b")(image), training=False
        )
    x = layers.Dropout(0.5)(x, training=True)
    model = keras.Model(image, layers.Dense(2, name="out")(layers.Flatten()(x)))
    quantized = tf_signbin.quantize_model(model, activations=activations, **KEEP_ALL_BUT_B)
    x = np.random.default_rng(0).normal(size=(8, 4, 4, 3)).astype(np.float32)
    before = quantized.get_layer("norm").moving_mean.numpy()
    quantized(x, training=True)
    np.testing.assert_array_equal(quantized.get_layer("norm").moving_mean, before)
    assert not np.array_equal(quantized(x), quantized(x)), "dropout is random at inference too"


@pytest.mark.parametrize(
    "kinds", [("conv", "pool"), ("pool", "conv"), ("separable", "conv"), ("dense", "conv")], ids=str
)
@pytest.mark.parametrize("activations", ACTIVATIONS)
def test_branches_keep_their_order(kinds, activations):
    """The first half of a concatenation is the first branch, whatever the branches are."""
    image = keras.Input((4, 4, 3))
    x = layers.Conv2D(4, 1, name="stem")(image)
    make = {
        "conv": lambda: layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(4, 1)(x))),
        "separable": lambda: layers.SeparableConv2D(4, 1, activation="relu")(x),
        "pool": lambda: layers.MaxPooling2D(1)(x),
        "dense": lambda: layers.Dense(4)(x),
    }
    branches = [make[kind]() for kind in kinds]
    joined = layers.Concatenate()(branches)
    model = keras.Model(image, [joined, *branches])
    quantized = tf_signbin.quantize_model(
        model, activations=activations, keep_dense=lambda layer: layer.name == "stem"
    )
    assert quantized.output_names == model.output_names
    x = np.random.default_rng(0).normal(size=(2, 4, 4, 3)).astype(np.float32)
    whole, first, second = quantized(x, training=True)
    # int8: the branches' own ranges differ from the joined one by a step or two.
    tolerance = 1e-6 if activations == "float32" else 0.2
    np.testing.assert_allclose(whole[..., :4], first, atol=tolerance)
    np.testing.assert_allclose(whole[..., 4:], second, atol=tolerance)


@pytest.mark.parametrize("activations", ACTIVATIONS)
def test_dictionaries_keep_their_keys(activations):
    """Inner models with dictionaries, whose keys are not in the order of the alphabet."""
    inner_inputs = {"z": keras.Input((3,), name="z"), "a": keras.Input((3,), name="a")}
    inner = keras.Model(
        inner_inputs,
        {"sum": layers.Add()([inner_inputs["z"], inner_inputs["a"]]),
         "difference": layers.Subtract()([inner_inputs["z"], inner_inputs["a"]])},
    )  # fmt: skip
    inputs = {"left": keras.Input((3,), name="left"), "image": keras.Input((3,), name="image")}
    both = inner({"z": inputs["left"], "a": inputs["image"]})
    x = layers.Dense(4, name="b")(both["sum"])
    outputs = {"y": layers.Dense(2, name="out")(x), "minus": both["difference"]}
    model = keras.Model(inputs, outputs)
    quantized = tf_signbin.quantize_model(model, activations=activations, **KEEP_ALL_BUT_B)
    data = {"image": np.full((2, 3), 1.0, np.float32), "left": np.full((2, 3), 3.0, np.float32)}
    result = quantized(data, training=True)  # which finds the ranges of int8
    assert set(result) == {"y", "minus"}
    np.testing.assert_allclose(result["minus"], np.full((2, 3), 2.0), atol=0.1)


@pytest.mark.parametrize("activations", ACTIVATIONS)
def test_output_names_are_kept(activations):
    """Losses by name go on working; tensors that two outputs share, too."""
    image = keras.Input((8,))
    x = layers.Dense(6, activation="relu", name="b")(image)
    box = layers.Dense(4, name="box")(x)
    kind = layers.Dense(3, activation="softmax", name="kind")(x)
    flat = layers.Reshape((2, 2), name="corners")(box)
    model = keras.Model(image, [box, kind, flat])
    quantized = tf_signbin.quantize_model(model, activations=activations, keep_dense=[])
    assert quantized.output_names == ["box", "kind", "corners"]
    quantized.compile("sgd", {"box": "mse", "kind": "mse", "corners": "mse"})
    x = np.zeros((4, 8), np.float32)
    targets = [np.zeros((4, 4)), np.zeros((4, 3)), np.zeros((4, 2, 2))]
    history = quantized.fit(x, targets, verbose=0).history
    assert {"box_loss", "kind_loss", "corners_loss"} <= set(history)


@pytest.mark.parametrize("activations", ACTIVATIONS)
@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_frozen_layers(suffix, activations, tmp_path):
    """Frozen before and after quantization, saved, loaded, thawed: the same numbers."""
    quantizer = SignedBinaryQuantizer(background="learned", scale="learned")
    model = keras.Sequential(
        [layers.Dense(6, name="a", input_shape=(5,)), layers.BatchNormalization(name="n"),
         layers.Dense(6, name="b"), layers.Dense(2, name="c")]
    )  # fmt: skip
    model.get_layer("a").trainable = model.get_layer("n").trainable = False
    quantized = tf_signbin.quantize_model(
        model, activations=activations, quantizer=quantizer, keep_dense=["c"]
    )
    names = {v.name.split(":")[0] for v in quantized.trainable_variables}
    assert not [n for n in names if "quant_a" in n or n.startswith("n/")]
    assert {"quant_b/kernel_gamma", "quant_b/kernel_background"} <= names
    quantized.get_layer("quant_b").trainable = False
    assert not [v for v in quantized.trainable_variables if "quant_b" in v.name]
    x = np.random.default_rng(0).normal(size=(4, 5)).astype(np.float32)
    path = str(tmp_path / f"model{suffix}")
    quantized.save(path)
    loaded = keras.models.load_model(path)
    np.testing.assert_array_equal(loaded(x), quantized(x))
    assert len(loaded.trainable_variables) == len(quantized.trainable_variables)
    for kernel in tf_signbin.quantized_kernels(loaded):
        kernel.wrapper.trainable = True
    np.testing.assert_array_equal(loaded(x), quantized(x))
    assert any("kernel_gamma" in v.name for v in loaded.trainable_variables)


def test_copies_and_pickles():
    model = tf_signbin.quantize_model(models.dense(), activations="int8")
    x = np.ones((2, 20), np.float32)
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        np.testing.assert_array_equal(other(x), model(x))
        assert len(tf_signbin.quantized_kernels(other)) == 2


@pytest.mark.parametrize("activations", ACTIVATIONS)
def test_an_annotated_layer_in_quantize_model(activations):
    chosen = SignedBinaryQuantizer(delta=0.2)
    model = keras.Sequential(
        [layers.Dense(6, name="a", input_shape=(5,)),
         tf_signbin.quantize_annotate_layer(layers.Dense(6, name="b"), chosen),
         layers.Dense(6, name="c"), layers.Dense(2, name="d")]
    )  # fmt: skip
    quantized = tf_signbin.quantize_model(model, activations=activations)
    deltas = {k.name: k.quantizer.delta for k in tf_signbin.quantized_kernels(quantized)}
    assert deltas == {"a": 0.05, "b": 0.2, "c": 0.05}


@pytest.mark.parametrize("activations", ACTIVATIONS)
@pytest.mark.parametrize("kind", ["Masking", "Embedding"])
@pytest.mark.filterwarnings("ignore:.*no int8 operator for these layers.*:UserWarning")
def test_masks_pass(kind, activations, rng):
    """Steps that are left out are left out in Keras and in the file."""
    if kind == "Masking":
        steps = keras.Input((6, 5))
        x = layers.Masking()(steps)
        data = rng.normal(size=(16, 6, 5)).astype(np.float32)
    else:
        steps = keras.Input((6,), dtype="int32")
        x = layers.Embedding(11, 5, mask_zero=True)(steps)
        data = rng.integers(1, 11, size=(16, 6)).astype(np.int32)
    data[:, 3:] = 0
    x = layers.Dense(4, name="b")(layers.Dropout(0.1)(x))
    x = layers.BatchNormalization()(layers.ReLU()(x))
    model = keras.Model(steps, layers.Dense(5, name="out")(layers.GlobalAveragePooling1D()(x)))
    quantized = tf_signbin.quantize_model(
        exact(model), activations, quantizer=SignedBinaryQuantizer(delta=0.5), **KEEP_ALL_BUT_B
    )
    models.fit_ranges(quantized, data)
    expected = quantized(data).numpy()
    reference = Reference(stock_model(quantized, activations))
    found = reference.predict(data)
    if activations == "float32":
        np.testing.assert_allclose(expected, model(data), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    else:
        np.testing.assert_allclose(expected, model(data), atol=0.1)
        assert np.abs(found - expected).max() <= 2.01 * reference.output_scale()


def test_masks_that_int8_would_lose_are_refused():
    steps = keras.Input((6, 5))
    x = layers.Dense(4, name="b")(layers.Masking(-1.0, name="skip")(steps))
    model = keras.Model(steps, layers.Dense(2)(layers.GlobalAveragePooling1D()(x)))
    with pytest.raises(
        ValueError, match=r"'skip' \(Masking\) leaves out steps of -1.0.*Masking\(0"
    ):
        tf_signbin.quantize_model(model, activations="int8")


def test_batch_norm_before_dense_is_told():
    def model(norm_follows):
        x = image = keras.Input((5,))
        x = layers.Dense(6, activation=None if norm_follows else "relu")(x)
        x = layers.BatchNormalization(name="norm")(x)
        return keras.Model(image, layers.Dense(2)(layers.Dense(6, name="b")(x)))

    with pytest.warns(UserWarning, match="'norm' stands directly before the dense layer 'b'"):
        tf_signbin.quantize_model(model(False))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tf_signbin.quantize_model(model(True))
        tf_signbin.quantize_model(model(False), activations="int8")


@pytest.mark.parametrize("activations", ACTIVATIONS)
def test_an_activity_regularizer_counts(activations):
    model = keras.Sequential(
        [layers.Dense(6, name="b", activity_regularizer="l2", input_shape=(5,)), layers.Dense(2)]
    )
    quantized = tf_signbin.quantize_model(model, activations=activations)
    quantized(np.ones((2, 5), np.float32))
    assert len(quantized.losses) == 1


def test_integer_inputs_are_not_quantized(rng):
    words = keras.Input((6,), dtype="int32")
    x = layers.Embedding(11, 8)(words)
    x = layers.Conv1D(8, 3, activation="relu", name="b")(x)
    model = keras.Model(words, layers.Dense(2)(layers.GlobalAveragePooling1D()(x)))
    quantized = tf_signbin.quantize_model(model, activations="int8", **KEEP_ALL_BUT_B)
    x = rng.integers(0, 11, (32, 6), dtype=np.int32)
    models.fit_ranges(quantized, x)
    reference = Reference(stock_model(quantized))
    assert reference.float_operators() == []
    steps = reference.steps(x, quantized(x))
    assert steps.mean() <= 1.0
    assert steps.max() <= 8.01


def densenet(layer_norm=False):
    """A pool that feeds a concatenation and a convolution, and operators between tensors."""
    image = keras.Input((8, 8, 3))
    x = layers.ReLU()(models.conv_norm(image, 8))
    p = layers.AveragePooling2D()(x)
    y = layers.ReLU(6.0)(layers.BatchNormalization()(p))
    y = layers.Conv2D(8, 3, padding="same", activation="hard_sigmoid", name="b")(y)
    x = layers.Concatenate()([p, y])
    x = layers.MaxPooling2D()(x) * layers.Rescaling(2.0)(layers.MaxPooling2D()(x))
    x = layers.LeakyReLU(0.1)(layers.LayerNormalization()(x) if layer_norm else x)
    x = layers.Dense(5, activation="softmax", name="kinds")(layers.GlobalAveragePooling2D()(x))
    return keras.Model(image, x)


# Layer normalization divides by a deviation of few steps: single roundings before it are several
# steps behind it, in training and in the file alike.
@pytest.mark.parametrize(
    ("layer_norm", "mean", "largest"), [(False, 0.5, 2.01), pytest.param(
        True, 1.5, 6.01, marks=pytest.mark.slow)]
)  # fmt: skip
def test_a_pool_with_two_readers_converts(layer_norm, mean, largest, rng):
    quantized = tf_signbin.quantize_model(densenet(layer_norm), activations="int8")
    models.train(quantized, rng)
    x = models.data(quantized, rng)
    models.fit_ranges(quantized, x)
    reference = Reference(stock_model(quantized))
    steps = reference.steps(x, quantized(x))
    assert steps.mean() <= mean
    assert steps.max() <= largest
    assert quantized.output_names == ["kinds"]


def moved_and_joined():
    """A pool and a crop, each read by operators that want scales of their own."""
    image = keras.Input((8, 8, 3))
    x = layers.Conv2D(4, 3, name="a")(image)
    gate = layers.Activation("sigmoid")(x)
    results = [layers.Conv2D(4, 1, activation="relu", name="b")(x), gate * gate]
    for tensor, layer in ((x, layers.Cropping2D(1)), (gate, layers.MaxPooling2D(2))):
        moved = layer(tensor)
        again = layers.MaxPooling2D(2)(moved)
        results.append(layers.Concatenate()([3.0 * again, again]))
        results.append(layers.Concatenate()([moved, 3.0 * moved]))
        small = 0.1 * layers.Conv2D(4, 1)(moved)
        joined = layers.Maximum()([small * small, layers.Minimum()([moved, small])])
        results.append(layers.Maximum()([joined, layers.Conv2D(4, 1)(moved)]))
    means = [layers.GlobalAveragePooling2D()(x) for x in results]
    return keras.Model(image, layers.Dense(5, name="out")(layers.Concatenate()(means)))


def test_moved_tensors_that_are_joined_convert(rng):
    """Kernels that move values have one scale for input and output, whoever reads the output."""
    model = moved_and_joined()
    quantized = tf_signbin.quantize_model(model, activations="int8", **KEEP_ALL_BUT_B)
    x = models.data(quantized, rng)
    models.fit_ranges(quantized, x)
    reference = Reference(stock_model(quantized))
    steps = reference.steps(x, quantized(x))
    assert steps.mean() <= 1.0
    assert steps.max() <= 4.01


ACTIVATION_NAMES = ["relu", "relu6", "sigmoid", "tanh", "softmax", "elu", "selu", "softplus",
                    "softsign", "exponential", "hard_sigmoid", "swish", "gelu", "mish"]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("activations", ACTIVATIONS)
@pytest.mark.parametrize("norm", [False, True], ids=["plain", "norm"])
@pytest.mark.parametrize(
    ("kind", "nested"),
    [("Conv2D", True), *((kind, False) for kind in
     ("Conv2D", "SeparableConv2D", "Conv1D", "Dense", "sequence"))],
)  # fmt: skip
def test_matrix(kind, norm, activations, nested, rng):
    """Keras and the reference kernels agree for each layer kind, BatchNorm, activation, nesting.

    Each activation has a branch and an output of its own."""
    shape = {"Dense": (12,), "Conv1D": (8, 6), "sequence": (8, 6)}.get(kind, (8, 8, 6))
    layer = layers.Dense if kind == "sequence" else getattr(layers, kind)
    arguments = (10,) if layer is layers.Dense else (10, 3)
    inner_input = keras.Input(shape)
    outputs = []
    for name in ACTIVATION_NAMES:
        activation = tf.nn.relu6 if name == "relu6" else name
        x = layer(*arguments, activation=None if norm else activation)(inner_input)
        if norm:
            x = layers.Activation(activation)(layers.BatchNormalization()(x))
        outputs.append(layers.Dense(5, name=f"{name}_out")(layers.Flatten()(x)))
    model = keras.Model(inner_input, outputs)
    if nested:
        outer = keras.Input(shape)
        model = keras.Model(outer, model(outer))
    quantized = tf_signbin.quantize_model(
        model, activations=activations, keep_dense=lambda layer: layer.name.endswith("_out")
    )
    models.train(quantized, rng)
    reference = Reference(stock_model(quantized, activations), BUILTIN)
    x = models.data(quantized, rng)
    found = reference.outputs(x)
    for name, expected in zip(quantized.output_names, quantized(x), strict=True):
        difference = np.abs(found[name] - expected).max()
        if activations == "float32":
            assert difference < 1e-5 * max(1, np.abs(expected).max()), name
        else:
            assert difference <= 4.01 * reference.output_scale(name), name


def random_graph(rng):
    """A random small graph of convolutions, pools, norms, activations, sums and concatenations."""
    image = keras.Input((8, 8, 4))
    tensors = [layers.Conv2D(4, 3, padding="same")(image)]
    for _ in range(rng.integers(4, 10)):
        x = tensors[rng.integers(len(tensors))]
        y = tensors[rng.integers(len(tensors))]
        tensors.append(
            [
                lambda x, y: layers.Conv2D(4, 3, padding="same", activation="relu")(x),
                lambda x, y: layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(4, 1)(x))),
                lambda x, y: layers.MaxPooling2D(3, 1, "same")(x),
                lambda x, y: layers.AveragePooling2D(3, 1, "same")(x),
                lambda x, y: layers.Conv2D(4, 1)(layers.Concatenate()([x, y])),
                lambda x, y: layers.Add()([x, y]),
                lambda x, y: x * y,
                lambda x, y: layers.LeakyReLU()(x),
                lambda x, y: layers.Activation("sigmoid")(x),
                lambda x, y: layers.SeparableConv2D(4, 3, padding="same")(x),
                lambda x, y: layers.Maximum()([x, layers.Permute((2, 1, 3))(y)]),
            ][rng.integers(11)](x, y)
        )
    x = layers.Concatenate()(tensors[-3:])
    x = layers.Conv2D(6, 3, name="b")(x)
    return keras.Model(image, layers.Dense(5)(layers.GlobalAveragePooling2D()(x)))


@pytest.mark.slow
@pytest.mark.parametrize("activations", ACTIVATIONS)
@pytest.mark.parametrize("case", range(20))
def test_random_graphs(case, activations, rng):
    """Keras, the delegate and LiteRT's reference kernels compute the same."""
    quantized = tf_signbin.quantize_model(random_graph(rng), activations=activations)
    models.train(quantized, rng)
    x = models.data(quantized, rng)
    models.fit_ranges(quantized, x)
    expected = quantized(x)
    reference = Reference(stock_model(quantized, activations))
    found = reference.predict(x)
    packed = tf_signbin.Interpreter(tf_signbin.convert(quantized)).predict(x)
    if activations == "float32":
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(packed, expected, rtol=1e-4, atol=1e-4)
    else:
        step = reference.output_scale()
        assert np.abs(found - expected).max() <= 6.01 * step
        assert np.abs(packed - expected).max() <= 6.01 * step


def test_float_replicas_of_a_model_equal_it(rng):
    """Every layer copied with its weights: with kernels that are two-valued nothing changes."""
    image = keras.Input((6, 6, 4))
    x = layers.Conv2D(6, 3, name="a")(image)
    x = layers.ReLU()(layers.BatchNormalization()(x))
    y = layers.Conv2D(6, 1, name="b")(x)
    x = tf.nn.relu(x + y) - 0.5
    x = layers.Dense(4, name="c")(layers.Flatten()(x[:, 1:]))
    model = exact(keras.Model(image, x))
    quantized = tf_signbin.quantize_model(
        model, quantizer=SignedBinaryQuantizer(delta=0.5), keep_dense=["c"]
    )
    x = rng.normal(size=(3, 6, 6, 4)).astype(np.float32)
    np.testing.assert_allclose(quantized(x), model(x), rtol=1e-5, atol=1e-5)
