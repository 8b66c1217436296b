"""tfmot's quantization wrappers, made safe to save, load and inspect.

tfmot's QuantizeWrapperV2 leaves the quantized kernel, a tensor of some graph, on the wrapped layer
in place of its variable, and orders its variables differently when the layer was built before it
was wrapped. Files in the .keras and .h5 formats then do not load again, and SavedModel export fails
for some layers. QuantizeLayer does not record that it was built. The classes here repair that and
change nothing else; they stay subclasses, so other tfmot tools recognise them.
"""

from __future__ import annotations

from typing import Any

from tensorflow_model_optimization.python.core.keras import utils
from tensorflow_model_optimization.python.core.quantization.keras import (
    quantize_layer,
    quantize_wrapper,
)

from tf_signbin.train.keras2.legacy_keras import keras, tf


class StableQuantizeWrapper(quantize_wrapper.QuantizeWrapperV2):
    """QuantizeWrapperV2 with one order of variables, which gives the wrapped layer back unchanged.

    Between calls `wrapper.layer.kernel` is the latent variable and `wrapper.layer.activation` the
    original activation. Freezing the layer freezes its quantizer's variables too.
    """

    def __init__(self, layer: Any, quantize_config: Any, **kwargs: Any):
        super().__init__(layer, quantize_config, **kwargs)
        self._activity_regularizer = layer._activity_regularizer
        self.supports_masking = layer.supports_masking

    def build(self, input_shape: Any) -> None:
        # The order of variables must not depend on whether the layer is frozen at this moment.
        trainable, self.layer.trainable = self.layer.trainable, True
        try:
            if not self.layer.built:
                self.layer.build(input_shape)
                self.layer.built = True
            super().build(input_shape)
        finally:
            self.layer.trainable = trainable

    @property
    def trainable_weights(self) -> Any:
        return super().trainable_weights if self.trainable else []

    @property
    def non_trainable_weights(self) -> Any:
        weights = self.layer.non_trainable_weights + self._non_trainable_weights
        return self._dedup_weights(weights if self.trainable else self._trainable_weights + weights)

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        return self.layer.compute_mask(inputs, mask)

    def call(self, inputs: Any, training: Any = None, **kwargs: Any) -> Any:
        if not self.layer._expects_mask_arg:
            kwargs.pop("mask", None)
        # Keras would drop the variable from the layer's weights when the kernel is replaced.
        self.layer._self_setattr_tracking = False
        try:
            return super().call(inputs, training=training, **kwargs)
        finally:
            # Again: another replica's thread may have restored the layer in between.
            self.layer._self_setattr_tracking = False
            latent = [variable for variable, _, _ in self._weight_vars]
            self.quantize_config.set_quantize_weights(self.layer, latent)
            originals = [quantized.activation for quantized in self._quantize_activations]
            self.quantize_config.set_quantize_activations(self.layer, originals)
            self.layer._self_setattr_tracking = True

    def compute_output_shape(self, input_shape: Any) -> Any:
        return self.layer.compute_output_shape(input_shape)

    def own_variables(self) -> list[Any]:
        """The wrapper's variables without those of the wrapped layer."""
        inner = {id(v) for v in self.layer.weights}
        own = self._trainable_weights + self._non_trainable_weights
        return [v for v in own if id(v) not in inner]

    def save_own_variables(self, store: Any) -> None:
        for i, variable in enumerate(self.own_variables()):
            store[str(i)] = variable.numpy()

    def load_own_variables(self, store: Any) -> None:
        variables = self.own_variables()
        if len(store.keys()) != len(variables):
            raise ValueError(
                f"Layer {self.name!r} has {len(variables)} quantization variables, the file "
                f"{len(store.keys())}. Was it written with another quantizer configuration?"
            )
        for i, variable in enumerate(variables):
            variable.assign(store[str(i)])


class StableQuantizeLayer(quantize_layer.QuantizeLayer):
    """QuantizeLayer that is built once, lets masks pass and may share its range.

    Its quantizer takes, or ignores, `observe`: whether the range moves with what it sees.
    """

    def __init__(self, quantizer: Any, **kwargs: Any):
        super().__init__(quantizer, **kwargs)
        self.supports_masking = True

    def build(self, input_shape: Any) -> None:
        if not self.built:
            super().build(input_shape)
            self.built: bool = True

    def _call(self, inputs: Any, training: Any = None, observe: bool = True) -> Any:
        """`observe=False`: the tensor shares the range of another one and does not move it."""
        if training is None:
            training = keras.backend.learning_phase()

        def quantize(training: bool) -> Any:
            weights = self.quantizer_vars
            return self.quantizer(inputs, training, weights=weights, observe=observe)

        return utils.smart_cond(training, lambda: quantize(True), lambda: quantize(False))

    # Without AutoGraph, for which there is nothing to do but which takes longer than all else. The
    # decorator shows Keras the arguments: no mask is one of them.
    call = tf.__internal__.decorator.make_decorator(
        _call, tf.autograph.experimental.do_not_convert(_call)
    )


CLASSES: dict[str, type] = {
    cls.__name__: cls for cls in (StableQuantizeWrapper, StableQuantizeLayer)
}
