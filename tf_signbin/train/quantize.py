"""The public functions, named after tfmot's: annotate, apply, or both in quantize_model."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Iterable
from typing import Any

from tf_signbin.train import graph, layers, patterns, wrapper
from tf_signbin.train.auto_pattern import AutoPattern
from tf_signbin.train.configs import SignedBinaryQuantizeConfig, check_activations, why_unsupported
from tf_signbin.train.legacy_keras import keras, tfmot_keras
from tf_signbin.train.quantizers import QUANTIZERS, SignedBinaryQuantizer, WeightQuantizer
from tf_signbin.train.scheme import SignedBinaryQuantizeScheme

QuantizerChoice = WeightQuantizer | Callable[[Any], WeightQuantizer | None] | None
KeepDense = Iterable[str] | Callable[[Any], bool] | None
PREFIX = "quant_"
DEFAULT_BACKGROUND = "centered"
DEFAULT_DELTA = 0.05
_QUANTIZE_ANNOTATE = "QuantizeAnnotate"


def quantize_scope(*custom_objects: dict[str, Any]) -> Any:
    """Scope in which models with signed-binary layers are loaded from files.

    ```python
    with tf_signbin.quantize_scope():
        model = tf.keras.models.load_model("model.keras")
    ```

    Args:
      *custom_objects: further dictionaries of name: class, for example of own quantizers.
    """
    ours = {
        **QUANTIZERS,
        **wrapper.CLASSES,
        **layers.CLASSES,
        SignedBinaryQuantizeConfig.__name__: SignedBinaryQuantizeConfig,
    }
    return tfmot_keras.quantize_scope(ours, *custom_objects)


def quantize_annotate_layer(
    to_annotate: Any, quantize_config: tfmot_keras.QuantizeConfig | WeightQuantizer | None = None
) -> Any:
    """Marks one layer, so that quantize_apply quantizes its kernel.

    Args:
      to_annotate: Conv1D, Conv2D, Dense, SeparableConv1D or SeparableConv2D (its pointwise part);
        any layer if the configuration is not ours.
      quantize_config: default SignedBinaryQuantizeConfig(), the paper's form. A quantizer stands
        for the SignedBinaryQuantizeConfig that holds it.

    Raises:
      TypeError: quantize_config is neither of the two.
      ValueError: the layer cannot be quantized; the message says why and what to do.
    """
    if quantize_config is None or isinstance(quantize_config, WeightQuantizer):
        quantize_config = SignedBinaryQuantizeConfig(quantize_config)
    if not isinstance(quantize_config, tfmot_keras.QuantizeConfig):
        raise TypeError(
            "quantize_annotate_layer: quantize_config must be a QuantizeConfig, such as "
            "SignedBinaryQuantizeConfig(), or a quantizer, such as SignedBinaryQuantizer(), not "
            f"{quantize_config!r}."
        )
    if isinstance(quantize_config, SignedBinaryQuantizeConfig):
        reason = why_unsupported(to_annotate)
        if reason:
            raise ValueError(f"quantize_annotate_layer: {reason}.")
    return tfmot_keras.quantize_annotate_layer(to_annotate, quantize_config)


def quantize_annotate_model(
    model: Any,
    quantizer: QuantizerChoice = None,
    keep_dense: KeepDense = None,
    activations: str = "float32",
) -> Any:
    """Marks every layer that quantize_apply shall quantize. Nested models are flattened.

    Args:
      model: Sequential or Functional tf.keras model. Layers that are annotated already stay so.
      quantizer: one for all layers, or a function from layer to quantizer (None keeps the layer
        dense); default SignedBinaryQuantizer().
      keep_dense: layers that keep full-precision (int8) weights: name patterns as in fnmatch, or
        a predicate of the layer. Default: `default_keep_dense`.
      activations: 'int8' also marks all other layers, for tfmot's 8-bit scheme.

    Returns:
      A new model with the same weights.

    Raises:
      TypeError, ValueError: the model's kind is not supported; a pattern of keep_dense matches no
        layer; no layer is left to quantize.
    """
    graph.check_model(model, "quantize_annotate_model")
    check_activations(activations)
    if graph.is_nested(model):
        model = graph.flatten(model)
    is_kept = _keep_rule(model, keep_dense)
    if activations == "int8":
        _check_int8_layers(model)
    choose = _chooser(quantizer)
    annotated = []

    def annotate(layer: Any) -> Any:
        if type(layer).__name__ == _QUANTIZE_ANNOTATE:
            annotated.append(layer.name)
            return layer
        chosen = None
        if why_unsupported(layer) is None and not is_kept(layer):
            chosen = choose(layer)
        if chosen is not None:
            annotated.append(layer.name)
            return quantize_annotate_layer(layer, SignedBinaryQuantizeConfig(chosen))
        return layer if activations == "float32" else tfmot_keras.quantize_annotate_layer(layer)

    result = keras.models.clone_model(model, clone_function=annotate)
    if not annotated:
        raise ValueError(
            f"No layer of {model.name!r} is left to quantize. Kept dense: "
            f"{', '.join(sorted(layer.name for layer in model.layers if is_kept(layer)))}. "
            "Narrow keep_dense, or annotate layers with quantize_annotate_layer."
        )
    return result


def quantize_apply(
    model: Any, activations: str = "float32", quantized_layer_name_prefix: str = PREFIX
) -> Any:
    """Quantizes an annotated model; see tfmot's quantize_apply.

    Args:
      model: annotated by the functions above.
      activations: 'float32' or 'int8'.
      quantized_layer_name_prefix: of the names of the quantized layers.

    Returns:
      A new model with the same weights, ready for compile and fit. Dense layers on sequences and
      images have become convolutions of size 1, which TFLite can fold and quantize.
    """
    graph.check_model(model, "quantize_apply")
    scheme = SignedBinaryQuantizeScheme(activations)
    graph.check_precision(model, activations)
    with quantize_scope():
        model = graph.dense_as_convolutions(model)
        quantized = tfmot_keras.quantize_apply(model, scheme, quantized_layer_name_prefix)
        return wrapper.stabilize(quantized)


def quantize_model(
    model: Any,
    activations: str = "float32",
    pattern: patterns.Pattern | AutoPattern | str | None = None,
    background: str | None = None,
    delta: float | None = None,
    keep_dense: KeepDense = None,
    quantizer: QuantizerChoice = None,
    scale: str | None = None,
) -> Any:
    """Makes a model's convolutions and dense layers signed-binary, ready for training.

    The defaults are what measured best (documentation, page co-design): a centered background.
    The paper's own form is background='none'; it lost 6 to 14 points there behind ReLUs.

    ```python
    model = tf_signbin.quantize_model(float_model, activations="int8", pattern=(3, 7))
    model.compile(...)
    model.fit(...)
    tflite = tf_signbin.convert(model)
    ```

    Args:
      model: Sequential or Functional tf.keras model; nested ones are flattened. Its weights are
        kept, so a trained float model is a start.
      activations: 'float32', or 'int8' as in tfmot's 8-bit quantization-aware training.
      pattern: (n, m): at most n effectual weights of each m input channels, None, or 'auto': per
        layer the fastest one that keeps 90% of its weights' energy (AutoPattern for other budgets).
      background, delta: of the SignedBinaryQuantizer; default 'centered' and 0.05.
      keep_dense: layers that keep full-precision (int8) weights: name patterns as in fnmatch, or
        a predicate of the layer. Default: first convolution, last dense layer, 1x1 shortcut and
        depthwise convolutions (`default_keep_dense`).
      quantizer: instead of pattern, background, delta and scale: a quantizer, or a function from
        layer to quantizer.
      scale: 'none', 'mean' or 'learned'; default 'none' where a BatchNormalization follows the
        layer and absorbs it, else 'mean'.

    Returns:
      A new model; see quantize_apply. The given one is not changed.

    Raises:
      TypeError, ValueError: see quantize_annotate_model; or a quantizer was given together with
        arguments that belong to it.
    """
    graph.check_model(model, "quantize_model")
    choices = {"pattern": pattern, "background": background, "delta": delta, "scale": scale}
    given = [name for name, value in choices.items() if value is not None]
    if quantizer is not None and given:
        raise ValueError(
            f"quantize_model: {', '.join(given)} and quantizer exclude each other. Give "
            f"{'it' if len(given) == 1 else 'them'} to the quantizer itself."
        )
    if graph.is_nested(model):
        model = graph.flatten(model)
    if quantizer is None:
        base = SignedBinaryQuantizer(
            delta=DEFAULT_DELTA if delta is None else delta,
            background=DEFAULT_BACKGROUND if background is None else background,
            scale=scale or "none",
        )
        pattern_of = _pattern_rule(model, pattern, base, keep_dense, activations)
        followed = graph.followed_by_batch_norm(model)

        def quantizer(layer: Any) -> WeightQuantizer:
            automatic = "none" if layer.name in followed else "mean"
            return base.with_options(pattern=pattern_of(layer), scale=scale or automatic)

    annotated = quantize_annotate_model(model, quantizer, keep_dense, activations)
    return quantize_apply(annotated, activations)


def _pattern_rule(
    model: Any,
    pattern: Any,
    quantizer: SignedBinaryQuantizer,
    keep_dense: KeepDense,
    activations: str,
) -> Callable[[Any], patterns.Pattern | None]:
    """The function from layer to pattern that the argument stands for."""
    if isinstance(pattern, str):
        if pattern != "auto":
            raise ValueError(f"pattern={pattern!r} must be (n, m), None, 'auto' or an AutoPattern.")
        pattern = AutoPattern()
    if not isinstance(pattern, AutoPattern):
        fixed = patterns.check_pattern(pattern)
        return lambda layer: fixed
    is_kept = _keep_rule(model, keep_dense)
    kernels = {
        layer.name: getattr(layer, SignedBinaryQuantizeConfig.kernel_name(layer)).numpy()
        for layer in model.layers
        if why_unsupported(layer) is None and not is_kept(layer)
    }
    chosen = pattern.choose(kernels, quantizer, check_activations(activations))
    return lambda layer: chosen[layer.name]


def _check_int8_layers(model: Any) -> None:
    """Raises for layers that the 8-bit scheme does not know; tfmot would name one, and late."""
    supports = SignedBinaryQuantizeScheme("int8").get_quantize_registry().supports
    known = (_QUANTIZE_ANNOTATE, "InputLayer", "SeparableConv1D", "SeparableConv2D", "Lambda")
    unknown = [
        f"{layer.name!r} ({type(layer).__name__})"
        for layer in model.layers
        if type(layer).__name__ not in known and not supports(layer)
    ]
    if unknown:
        raise ValueError(
            f"activations='int8' does not know these layers: {', '.join(unknown)}. Use standard "
            "layers (keras.layers.Add for +), wrap each with tfmot's quantize_annotate_layer and a "
            "QuantizeConfig of your own, or train with activations='float32'."
        )


def _chooser(quantizer: QuantizerChoice) -> Callable[[Any], WeightQuantizer | None]:
    """The function from layer to quantizer that the argument stands for."""
    if quantizer is None:
        return lambda layer: SignedBinaryQuantizer()
    if isinstance(quantizer, WeightQuantizer):
        return lambda layer: quantizer
    return quantizer


def _keep_rule(model: Any, keep_dense: KeepDense) -> Callable[[Any], bool]:
    if keep_dense is None:
        kept = graph.default_keep_dense(model)
        return lambda layer: layer.name in kept
    if callable(keep_dense):
        return keep_dense
    name_patterns = [keep_dense] if isinstance(keep_dense, str) else list(keep_dense)
    names = [layer.name for layer in model.layers]
    for p in name_patterns:
        if not fnmatch.filter(names, p):
            raise ValueError(
                f"keep_dense: no layer's name matches {p!r}. Layers: {', '.join(names)}."
            )
    return lambda layer: any(fnmatch.fnmatchcase(layer.name, p) for p in name_patterns)
