"""Quantizers in tfmot's form: variables of a Keras 2 layer and TensorFlow's arithmetic."""

from __future__ import annotations

from typing import Any

from tf_signbin.train.constant_weights import constant_or_traced
from tf_signbin.train.keras2.legacy_keras import keras, tf, tfmot_keras
from tf_signbin.train.rules.inputs import InputQuantizer
from tf_signbin.train.rules.placement import MIN_WIDTH
from tf_signbin.train.rules.quantizers import VariableSpec, WeightQuantizer


class TensorFlowNamespace:
    """TensorFlow under the names of keras.ops; see rules.namespace."""

    stop_gradient = staticmethod(tf.stop_gradient)
    reshape = staticmethod(tf.reshape)
    pad = staticmethod(tf.pad)
    where = staticmethod(tf.where)
    abs = staticmethod(tf.abs)
    sign = staticmethod(tf.sign)
    round = staticmethod(tf.round)
    square = staticmethod(tf.square)
    rsqrt = staticmethod(tf.math.rsqrt)
    tanh = staticmethod(tf.tanh)
    relu = staticmethod(tf.nn.relu)
    maximum = staticmethod(tf.maximum)
    divide_no_nan = staticmethod(tf.math.divide_no_nan)
    sum = staticmethod(tf.reduce_sum)
    mean = staticmethod(tf.reduce_mean)
    max = staticmethod(tf.reduce_max)
    zeros_like = staticmethod(tf.zeros_like)
    ones_like = staticmethod(tf.ones_like)

    @staticmethod
    def convert_to_tensor(x: Any) -> Any:
        # Under a mixed-precision policy Keras wraps a variable and casts it on reading.
        return tf.convert_to_tensor(getattr(x, "_variable", x))

    @staticmethod
    def convert_to_numpy(x: Any) -> Any:
        return x.numpy()


OPS = TensorFlowNamespace()
# As the variable is called in files written so far.
_NAMES_IN_FILES = {"tightness": "pattern_tightness"}


def _add_variable(layer: Any, prefix: str, spec: VariableSpec, **options: Any) -> Any:
    return layer.add_weight(
        f"{prefix}_{_NAMES_IN_FILES.get(spec.name, spec.name)}",
        shape=spec.shape,
        dtype=tf.float32,
        initializer=keras.initializers.Constant(spec.initial),
        trainable=spec.trainable,
        experimental_autocast=False,
        **options,
    )


class TfmotQuantizer(tfmot_keras.quantizers.Quantizer):
    """A WeightQuantizer as a tfmot `Quantizer`, for a QuantizeConfig's weights."""

    def __init__(self, quantizer: WeightQuantizer):
        self.quantizer = quantizer

    def build(self, tensor_shape: Any, name: str, layer: Any) -> dict[str, Any]:
        """Creates the quantizer's variables on `layer`; see tfmot's Quantizer.build."""
        return {
            spec.name: _add_variable(layer, name, spec)
            for spec in self.quantizer.variables(tuple(tensor_shape))
        }

    @tf.autograph.experimental.do_not_convert  # which would take longer than all else
    def __call__(self, inputs: Any, training: bool, weights: dict[str, Any], **kwargs: Any) -> Any:
        """Quantized kernel, of the shape and dtype of `inputs`; training makes no difference."""
        del training, kwargs

        def quantize() -> Any:
            return self.quantizer.quantize(OPS, OPS.convert_to_tensor(inputs), weights)

        return tf.cast(constant_or_traced(quantize), inputs.dtype)

    def get_config(self) -> dict[str, Any]:
        config = {
            "class_name": type(self.quantizer).__name__,
            "config": self.quantizer.get_config(),
        }
        return {"quantizer": config}


class TfmotInputQuantizer(tfmot_keras.quantizers.Quantizer):
    """An InputQuantizer as a tfmot `Quantizer`, for a QuantizeLayer."""

    def __init__(self, quantizer: InputQuantizer):
        self.quantizer = quantizer

    def build(self, tensor_shape: Any, name: str, layer: Any) -> dict[str, Any]:
        """Creates the quantizer's variables on `layer`; see tfmot's Quantizer.build."""
        del tensor_shape
        return {
            # Each replica observes its own share of a batch, as for BatchNormalization.
            spec.name: _add_variable(layer, name, spec, **({} if spec.trainable else _PER_REPLICA))
            for spec in self.quantizer.variables()
        }

    def __call__(
        self,
        inputs: Any,
        training: bool,
        weights: dict[str, Any],
        observe: bool = True,
        **kwargs: Any,
    ) -> Any:
        """`inputs`, at least 0, on the quantizer's grid; `observe`: it moves while training."""
        del kwargs
        if training and observe:
            seen = self.quantizer.observed(OPS, inputs, _values(weights))
            for name, value in seen.items():
                weights[name].assign(value)
        values = _values(weights)
        low, high = self.quantizer.limits(OPS, values)
        outputs = tf.quantization.fake_quant_with_min_max_vars(inputs, low, high, num_bits=8)
        if not training:
            return outputs
        return self.quantizer.with_gradient(OPS, inputs, outputs, values)

    def get_config(self) -> dict[str, Any]:
        return self.quantizer.get_config()

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> TfmotInputQuantizer:
        return cls(InputQuantizer.from_config(config))


class _Observed(tfmot_keras.quantizers.Quantizer):
    """Mixin: a range that was observed has a width, though all values were equal."""

    def __call__(
        self,
        inputs: Any,
        training: bool,
        weights: dict[str, Any],
        observe: bool = True,
        **kwargs: Any,
    ) -> Any:
        training = training and observe
        if not training:
            low, high = (tf.convert_to_tensor(weights[name]) for name in ("min_var", "max_var"))
            weights = {**weights, "max_var": tf.maximum(high, low + MIN_WIDTH)}
        return super().__call__(inputs, training, weights, **kwargs)


class MovingRangeQuantizer(_Observed, tfmot_keras.quantizers.MovingAverageQuantizer):
    """tfmot's, for tensors that a network computes."""


class WholeRangeQuantizer(_Observed, tfmot_keras.quantizers.AllValuesQuantizer):
    """tfmot's, for a network's inputs."""


_PER_REPLICA = {
    "synchronization": tf.VariableSynchronization.ON_READ,
    "aggregation": tf.VariableAggregation.MEAN,
}


def _values(variables: dict[str, Any]) -> dict[str, Any]:
    return {name: OPS.convert_to_tensor(v) for name, v in variables.items()}
