"""Which layers quantize_model changes, what it keeps, and what it refuses."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import numpy as np
import pytest

import tf_signbin
from tests.train import models
from tf_signbin.train import AutoPattern, BinaryQuantizer, SignedBinaryQuantizer
from tf_signbin.train.keras2.legacy_keras import keras, tf, tfmot_keras

layers = keras.layers


def quantized_names(model):
    return [kernel.name for kernel in tf_signbin.quantized_kernels(model)]


def names_by_shape(model):
    """{kernel shape: quantized?} of convolutions and dense layers."""
    rows = tf_signbin.summary(model, tflite=False).layers
    return [(row.filter_shape, not row.is_dense) for row in rows]


DENSE = {
    "residual": [(3, 3, 3, 8), (1, 1, 8, 12), (12, 5)],
    "bottleneck": [(3, 3, 3, 8), (1, 1, 8, 16), (16, 5)],
    "dense": [(16, 5)],
    "conv1d": [(3, 4, 8), (12, 5)],
    "mobile": [(3, 3, 3, 8), (3, 3, 24, 1), (8, 5)],
    "nested": [(3, 3, 3, 8), (8, 5)],
    "concatenated": [(3, 3, 3, 8), (256, 5)],
    "preactivation": [(3, 3, 3, 8), (8, 5)],
}


@pytest.mark.parametrize("kind", DENSE)
def test_default_keeps_first_last_shortcut_and_depthwise(kind):
    rows = names_by_shape(tf_signbin.quantize_model(models.ALL[kind]()))
    assert sorted(shape for shape, quantized in rows if not quantized) == sorted(DENSE[kind])
    assert any(quantized for _, quantized in rows)


def test_shortcuts_of_a_sum_by_operator_stay_dense():
    x = keras.layers.Conv2D(4, 3, padding="same", name="stem")(image := keras.Input((8, 8, 3)))
    y = keras.layers.Conv2D(8, 3, padding="same", name="main")(x)
    x = keras.layers.ReLU()(y + keras.layers.Conv2D(8, 1, name="short")(x))
    x = keras.layers.Dense(2, name="out")(keras.layers.GlobalAveragePooling2D()(x))
    assert tf_signbin.default_keep_dense(keras.Model(image, x)) == {"stem", "short", "out"}


def test_keep_dense_by_name_predicate_and_quantizer_function():
    def chain():
        names = ("first", "a1", "a2", "b1", "last")
        return keras.Sequential(
            [
                layers.Dense(4, name=n, **({"input_shape": (4,)} if n == "first" else {}))
                for n in names
            ]
        )

    quantize = tf_signbin.quantize_model
    assert quantized_names(quantize(chain())) == ["first", "a1", "a2", "b1"]
    assert quantized_names(quantize(chain(), keep_dense=["a*", "last"])) == ["first", "b1"]
    assert quantized_names(quantize(chain(), keep_dense="b?")) == ["first", "a1", "a2", "last"]
    assert quantized_names(quantize(chain(), keep_dense=lambda layer: layer.name > "b")) == [
        "a1",
        "a2",
    ]
    chosen = quantize(
        chain(), quantizer=lambda layer: BinaryQuantizer() if layer.name == "a1" else None
    )
    assert quantized_names(chosen) == ["a1"]
    with pytest.raises(ValueError, match=r"'conv\*'.*first, a1, a2, b1, last"):
        quantize(chain(), keep_dense=["conv*"])
    with pytest.raises(ValueError, match=r"No layer of .* is left to quantize"):
        quantize(chain(), keep_dense=["*"])


def test_scale_follows_batch_norm_and_defaults_are_the_recommended_ones():
    kernels = tf_signbin.quantized_kernels(tf_signbin.quantize_model(models.dense()))
    assert [k.quantizer.scale for k in kernels] == ["mean", "none"]
    assert {k.quantizer.background for k in kernels} == {"centered"}
    assert SignedBinaryQuantizer().background == "none", "the paper's form"
    kernels = tf_signbin.quantized_kernels(
        tf_signbin.quantize_model(models.dense(), scale="learned")
    )
    assert {k.quantizer.scale for k in kernels} == {"learned"}


@pytest.mark.parametrize("kind", ["residual", "dense", "separable", "separable1d", "nested"])
@pytest.mark.parametrize("activations", ["float32", "int8"])
def test_weights_are_kept_and_the_model_is_not_changed(kind, activations, rng):
    model = models.train(models.ALL[kind](), rng)
    before = [w.copy() for w in model.get_weights()]
    expected = model.predict(models.data(model, rng), verbose=0).shape
    quantized = tf_signbin.quantize_model(model, activations=activations)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)

    def parameters(m):
        flat = [v for v in m.variables if v.dtype == tf.float32]
        parts = ("kernel", "bias", "gamma", "beta", "moving_mean", "moving_variance", "alpha")
        flat = [v for v in flat if v.name.split("/")[-1].split(":")[0].endswith(parts)]
        flat = [v.numpy().ravel() for v in flat if "kernel_" not in v.name]
        return np.sort(np.concatenate(flat))

    np.testing.assert_array_equal(parameters(quantized), parameters(model))
    assert quantized.predict(models.data(model, rng), verbose=0).shape == expected


def test_training_moves_latent_weights_and_every_parameter_gets_a_gradient(rng):
    quantizer = SignedBinaryQuantizer(background="learned", scale="learned", pattern=(3, 7))
    model = tf_signbin.quantize_model(models.residual(), activations="int8", quantizer=quantizer)
    x = tf.constant(models.data(model, rng))
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(tf.square(model(x, training=True)))
    gradients = tape.gradient(loss, model.trainable_variables)
    for variable, gradient in zip(model.trainable_variables, gradients, strict=True):
        assert gradient is not None, variable.name
    assert len({id(v) for v in model.trainable_variables}) == len(model.trainable_variables)
    names = [v.name.split("/")[-1] for v in model.trainable_variables]
    assert names.count("kernel_gamma:0") == names.count("kernel_background:0") == 4


def test_flattened_nested_model_computes_the_same(rng):
    """Weights of a nested model land in the right layers: nothing quantized changes a value."""
    from tf_signbin.train.keras2 import graph

    model = models.train(models.nested(), rng)
    flat = graph.flatten(model)
    assert not graph.is_nested(flat)
    assert [layer.name for layer in flat.layers if layer.name.endswith("c")] == ["c", "block_c"]
    x = models.data(model, rng)
    np.testing.assert_allclose(flat.predict(x, verbose=0), model.predict(x, verbose=0), 1e-5, 1e-6)


def test_shared_nested_model_keeps_sharing(rng):
    inner_input = keras.Input((6,))
    shared = keras.Model(inner_input, layers.Dense(6, name="d")(inner_input), name="shared")
    inputs = [keras.Input((6,)), keras.Input((6,))]
    joined = layers.Concatenate()([shared(inputs[0]), shared(inputs[1])])
    model = keras.Model(inputs, layers.Dense(3)(joined))
    quantized = tf_signbin.quantize_model(model)
    assert quantized_names(quantized) == ["d"]
    x = [rng.normal(size=(2, 6)).astype(np.float32)] * 2
    assert quantized.predict(x, verbose=0).shape == (2, 3)


@pytest.mark.parametrize("shape", [(6, 10), (4, 4, 10)], ids=["sequence", "image"])
def test_dense_layers_on_sequences_and_images_become_convolutions(shape):
    inputs = keras.Input(shape)
    x = layers.Dense(12, activation="relu", name="a")(inputs)
    x = tf_signbin.quantize_annotate_layer(layers.Dense(8, use_bias=False, name="b"))(x)
    model = keras.Model(inputs, layers.Dense(3, name="last")(layers.Flatten()(x)))
    kind = f"Conv{len(shape) - 1}D"
    annotated = tf_signbin.quantize_annotate_model(model, activations="int8")
    quantized = tf_signbin.quantize_apply(annotated, "int8")
    for name, expected in (("quant_a", kind), ("quant_b", kind), ("quant_last", "Dense")):
        assert type(quantized.get_layer(name).layer).__name__ == expected
    latent = {k.name: k.latent for k in tf_signbin.quantized_kernels(quantized)}
    assert set(latent) == {"a", "b"}
    np.testing.assert_array_equal(np.squeeze(latent["b"]), model.layers[2].layer.kernel)


def test_annotating_single_layers():
    model = keras.Sequential(
        [
            layers.Dense(8, activation="relu", input_shape=(10,)),
            tf_signbin.quantize_annotate_layer(layers.Dense(8), SignedBinaryQuantizer(delta=0.2)),
            layers.Dense(3),
        ]
    )
    for activations in ("float32", "int8"):
        quantized = tf_signbin.quantize_apply(model, activations)
        (kernel,) = tf_signbin.quantized_kernels(quantized)
        assert kernel.quantizer.delta == 0.2
        assert kernel.quantizer.int8_grid == (activations == "int8")
    whole = tf_signbin.quantize_annotate_model(model)
    assert len(quantized_names(tf_signbin.quantize_apply(whole))) == 2


@pytest.mark.parametrize(
    "annotate", [tf_signbin.quantize_annotate_layer, tfmot_keras.quantize_annotate_layer]
)
def test_annotating_with_a_quantize_config(annotate):
    config = tf_signbin.SignedBinaryQuantizeConfig(SignedBinaryQuantizer(delta=0.2))
    dense = layers.Dense(8, input_shape=(10,), name="a")
    quantized = tf_signbin.quantize_apply(
        keras.Sequential([annotate(dense, config)]), quantized_layer_name_prefix="q_"
    )
    (kernel,) = tf_signbin.quantized_kernels(quantized)
    assert quantized.get_layer("q_a") is kernel.wrapper
    assert quantized.output_names == ["a"]
    assert kernel.quantizer.delta == 0.2


def test_what_is_no_quantize_config_is_refused():
    with pytest.raises(TypeError, match=r"such as SignedBinaryQuantizer.*not 0.2"):
        tf_signbin.quantize_annotate_layer(layers.Dense(8), 0.2)


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (lambda: layers.Conv2DTranspose(4, 3), "Conv2DTranspose.*UpSampling2D"),
        (lambda: layers.Conv2D(4, 3, groups=2), "groups=2"),
        (lambda: layers.LSTM(4), "is a LSTM; weights are quantized in Conv1D, Conv2D, Dense"),
    ],
)
def test_unsupported_layers_say_why(layer, message):
    with pytest.raises(ValueError, match=message):
        tf_signbin.quantize_annotate_layer(layer())


def test_unsupported_models_say_what_to_do():
    class Subclassed(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = layers.Dense(2)

        def call(self, x):
            return self.dense(x)

    with pytest.raises(ValueError, match=r"subclassed model.*model.call\(inputs\)"):
        tf_signbin.quantize_model(Subclassed())
    # The advice works.
    inputs = keras.Input((6,))
    functional = keras.Model(inputs, Subclassed().call(inputs))
    assert tf_signbin.quantize_model(functional, keep_dense=lambda layer: False)
    nested = keras.Sequential([layers.Dense(6, input_shape=(6,)), Subclassed()])
    with pytest.raises(ValueError, match=r"subclassed model.*model.call\(inputs\)"):
        tf_signbin.quantize_model(nested)
    with pytest.raises(ValueError, match="no known input shape"):
        tf_signbin.quantize_model(keras.Sequential([layers.Dense(2)]))
    with pytest.raises(TypeError, match="not Dense"):
        tf_signbin.quantize_model(layers.Dense(2))
    with pytest.raises(ValueError, match="activations='int4'"):
        tf_signbin.quantize_model(models.dense(), activations="int4")
    with pytest.raises(TypeError, match="quantizer must be"):
        tf_signbin.quantize_model(models.dense(), quantizer=lambda layer: "binary")


def test_int8_names_all_unknown_layers_and_refuses_mixed_precision():
    image = keras.Input((6, 6, 3))
    x = layers.Conv2D(4, 3, padding="same", name="a")(image)
    x = layers.Conv2D(4, 3, padding="same", name="b")(x) + x
    x = layers.Lambda(lambda t: t * 2, name="twice")(x)
    x = layers.Activation(tf.math.erf, name="erf")(x)
    model = keras.Model(image, layers.Dense(2)(layers.Flatten()(x)))
    with pytest.raises(ValueError, match=r"'twice' \(Lambda\).*'erf' \(Activation.*float32"):
        tf_signbin.quantize_model(model, activations="int8")
    assert quantized_names(tf_signbin.quantize_model(model)) == ["b"]

    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        model = models.dense()
        with pytest.raises(ValueError, match=r"needs float32 training.*bfloat16"):
            tf_signbin.quantize_model(model, activations="int8")
    finally:
        keras.mixed_precision.set_global_policy("float32")


@pytest.mark.skipif(
    tuple(map(int, tf.__version__.split(".")[:2])) < (2, 17),
    reason="Keras 2.16 casts no variables of a layer that tfmot has wrapped",
)
def test_mixed_precision_quantizes_in_float32():
    """Masks and values are found in float32, then cast."""
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        quantized = tf_signbin.quantize_model(models.dense())
    finally:
        keras.mixed_precision.set_global_policy("float32")
    x = np.ones((2, 20), np.float32)
    assert quantized(x).dtype == tf.bfloat16
    for kernel in tf_signbin.quantized_kernels(quantized):
        assert {v.dtype for v in kernel.variables.values()} == {tf.float32}


def test_mixed_precision_on_the_oldest_tensorflow_is_refused(monkeypatch):
    monkeypatch.setattr(tf, "__version__", "2.16.2")
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        with pytest.raises(ValueError, match=r"TensorFlow 2.16 needs float32.*bfloat16.*2.17"):
            tf_signbin.quantize_model(models.dense())
    finally:
        keras.mixed_precision.set_global_policy("float32")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"pattern": (2, 7)}, "pattern and quantizer exclude"),
        ({"background": "centered"}, "background and quantizer exclude"),
        ({"delta": 0.0, "scale": "mean"}, "delta, scale and quantizer exclude"),
    ],
)
def test_quantizer_excludes_its_own_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        tf_signbin.quantize_model(models.dense(), quantizer=BinaryQuantizer(), **arguments)


@pytest.mark.slow
@pytest.mark.parametrize(("activations", "bits"), [("float32", 8), ("int8", 8), ("int8", 4)])
def test_mirrored_replicas_train_one_model(activations, bits):
    """Two replicas on logical CPUs; the devices must be set up before TensorFlow starts.

    BatchNorm keeps its moving statistics per replica, tfmot its activation ranges and inputs of few
    bits theirs; all else agrees, their learned corrections, too.
    """
    code = textwrap.dedent(f"""
        import numpy as np, tf_signbin
        from tests.train import models
        from tf_signbin.train.keras2.legacy_keras import tf
        cpu = tf.config.list_physical_devices("CPU")[0]
        two = [tf.config.LogicalDeviceConfiguration()] * 2
        tf.config.set_logical_device_configuration(cpu, two)
        strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
        with strategy.scope():
            model = tf_signbin.quantize_model(
                models.residual(), "{activations}", (3, 7), input_bits={bits}
            )
        models.train(model, np.random.default_rng(0))
        before = [v.numpy() for v in model.trainable_variables]
        model.fit(np.ones((16, 12, 12, 3)), np.ones((16, 5)), verbose=0,
                  callbacks=[tf_signbin.DensitySchedule(0.3), tf_signbin.LayerStatistics()])
        assert any((v.numpy() != b).any() for v, b in zip(model.trainable_variables, before))
        own = [v for k in tf_signbin.quantized_kernels(model) for v in k.variables.values()]
        assert len(own) == 2 * 4
        low = tf_signbin.low_bit_inputs(model)
        assert bool(low) == ({bits} < 8)
        own += [each.variables["correction"] for each in low]
        for variable in [*model.trainable_variables, *own]:
            first, second = strategy.experimental_local_results(variable)
            np.testing.assert_array_equal(first.numpy(), second.numpy(), variable.name)
        # One replica gets nothing of the last batch.
        model.fit(np.ones((9, 12, 12, 3)), np.ones((9, 5)), batch_size=8, verbose=0)
        assert all(np.isfinite(v.numpy()).all() for v in model.variables)
        print("replicas agree")
    """)
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "replicas agree" in output.stdout, output.stderr[-2000:]


def test_quantized_model_is_not_quantized_again():
    with pytest.raises(ValueError, match="is quantized already"):
        tf_signbin.quantize_model(tf_signbin.quantize_model(models.dense()))


class TestAutoPattern:
    def patterns(self, **arguments):
        model = tf_signbin.quantize_model(models.residual(), **arguments)
        return [kernel.quantizer.pattern for kernel in tf_signbin.quantized_kernels(model)]

    def test_budgets_move_the_choice(self):
        loose = self.patterns(pattern=AutoPattern(retained=0.999), activations="int8")
        assert loose == [None] * 4
        tight = self.patterns(pattern=AutoPattern(retained=0.01), activations="int8")
        assert tight == [(2, 10)] * 4
        assert self.patterns(pattern=AutoPattern(retained=0.01)) == [(2, 7)] * 4
        assert all(p is not None for p in self.patterns(pattern="auto", activations="int8"))

    def test_density_budget_is_kept(self):
        for budget in (0.4, 0.3, 0.26):
            model = tf_signbin.quantize_model(
                models.residual(), pattern=AutoPattern(density=budget), activations="int8"
            )
            assert tf_signbin.summary(model, tflite=False).totals()["density"] <= budget
        with pytest.raises(ValueError, match=r"density=0.05 cannot be reached"):
            self.patterns(pattern=AutoPattern(density=0.05))

    def test_bad_arguments(self):
        with pytest.raises(ValueError, match="not both"):
            AutoPattern(retained=0.5, density=0.5)
        with pytest.raises(ValueError, match=r"retained=2.0"):
            AutoPattern(retained=2.0)
        with pytest.raises(ValueError, match="pattern='best'"):
            tf_signbin.quantize_model(models.residual(), pattern="best")


class TestPatternOfEachLayer:
    @pytest.fixture(scope="class")
    def model(self):
        return models.residual()

    def patterns(self, model, pattern, **arguments):
        quantized = tf_signbin.quantize_model(model, pattern=pattern, **arguments)
        return {k.name: k.quantizer.pattern for k in tf_signbin.quantized_kernels(quantized)}

    def test_function_and_name_patterns(self, model):
        names = list(self.patterns(model, None))
        wide = self.patterns(model, lambda layer: (2, 10) if layer.name == names[-1] else None)
        assert wide == dict.fromkeys(names) | {names[-1]: (2, 10)}
        named = self.patterns(model, {names[0]: None, "*": [3, 7]}, activations="int8")
        assert list(named.values()) == [None] + [(3, 7)] * (len(names) - 1)

    def test_others_have_none(self, model):
        names = list(self.patterns(model, None))
        found = self.patterns(model, {names[1]: (2, 8)})
        assert found == dict.fromkeys(names) | {names[1]: (2, 8)}

    def test_errors_name_argument_and_layers(self, model):
        with pytest.raises(ValueError, match=r"pattern: no quantized layer's name matches 'no'.*:"):
            self.patterns(model, {"no": (3, 7)})
        with pytest.raises(ValueError, match="1 <= n < m"):
            self.patterns(model, lambda layer: (7, 3))
