"""The public functions of training, named after tfmot's: annotate, apply, or both in one.

The class of the model or layer decides which front end serves: `keras2` for the package tf_keras,
`keras3` for the package keras. Front ends are imported when they are first needed.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from tf_signbin.train.rules import lower_bits
from tf_signbin.train.rules.inputs import InputBits, LowBitInput
from tf_signbin.train.rules.kernels import ModelFacts, QuantizedKernel
from tf_signbin.train.rules.selection import KeepDense, PatternChoice, QuantizerChoice, Request

# Package of a model's class -> the front end for it.
_FRONT_ENDS = {"tf_keras": "tf_signbin.train.keras2", "keras": "tf_signbin.train.keras3"}


def _package(model: Any) -> str | None:
    """The Keras that the class of a model or layer comes from."""
    origins = (cls.__module__.split(".")[0] for cls in type(model).__mro__)
    return next((name for name in origins if name in _FRONT_ENDS), None)


def _front_end(model: Any, function: str) -> Any:
    package = _package(model)
    if package is None:
        raise TypeError(
            f"{function} needs a Keras model or layer (package keras or tf_keras), not "
            f"{type(model).__name__}."
        )
    module = _FRONT_ENDS[package]
    return importlib.import_module(module)


def _quantizing(model: Any) -> Any:
    """The front end that has quantized `model`, or None when none can have.

    A model holds quantized layers only when the module that defines them is imported, so that a
    plain model can be asked without the packages for training.
    """
    package = _package(model)
    if package == "tf_keras" and "tensorflow_model_optimization" not in sys.modules:
        return None
    if package == "keras" and _FRONT_ENDS[package] not in sys.modules:
        return None
    return _front_end(model, "tf_signbin")


@contextlib.contextmanager
def quantize_scope(*custom_objects: dict[str, Any]) -> Iterator[None]:
    """Scope in which models with signed-binary layers are loaded from files.

    ```python
    with tf_signbin.quantize_scope():
        model = keras.models.load_model("model.keras")
    ```

    Args:
      *custom_objects: further dictionaries of name: class, for example of own quantizers.
    """
    with contextlib.ExitStack() as scopes:
        for package, module in _FRONT_ENDS.items():
            if package in sys.modules:
                front_end = importlib.import_module(module)
                scopes.enter_context(front_end.quantize_scope(*custom_objects))
        yield


def quantize_annotate_layer(to_annotate: Any, quantize_config: Any = None) -> Any:
    """Marks one layer, so that quantize_apply quantizes its kernel.

    Args:
      to_annotate: Conv1D, Conv2D, Dense, SeparableConv1D or SeparableConv2D (its pointwise part);
        any layer if the configuration is not ours.
      quantize_config: a quantizer; default SignedBinaryQuantizer(), the paper's form. With tf_keras
        also a QuantizeConfig of tfmot; the quantizer stands for the SignedBinaryQuantizeConfig that
        holds it.

    Raises:
      TypeError: to_annotate is no Keras layer, or quantize_config is neither of these.
      ValueError: the layer cannot be quantized; the message says why and what to do.
    """
    front_end = _front_end(to_annotate, "quantize_annotate_layer")
    return front_end.quantize_annotate_layer(to_annotate, quantize_config)


def quantize_annotate_model(
    model: Any,
    quantizer: QuantizerChoice = None,
    keep_dense: KeepDense = None,
    activations: str = "float32",
) -> Any:
    """Marks every layer that quantize_apply shall quantize. Nested models are flattened.

    Args:
      model: Sequential or Functional Keras model. Layers that are annotated already stay so.
      quantizer: one for all layers, or a function from layer to quantizer (None keeps the layer
        dense); default SignedBinaryQuantizer().
      keep_dense: layers that keep full-precision (int8) weights: name patterns as in fnmatch, or
        a predicate of the layer. Default: `default_keep_dense`.
      activations: 'int8' also marks all other layers for 8-bit quantization.

    Returns:
      A new model with the same weights.

    Raises:
      TypeError, ValueError: the model's kind is not supported; a pattern of keep_dense matches no
        layer; no layer is left to quantize.
    """
    front_end = _front_end(model, "quantize_annotate_model")
    return front_end.quantize_annotate_model(model, quantizer, keep_dense, activations)


def quantize_apply(
    model: Any,
    activations: str = "float32",
    quantized_layer_name_prefix: str = "quant_",
    input_bits: InputBits = None,
) -> Any:
    """Quantizes an annotated model; see tfmot's quantize_apply.

    Args:
      model: annotated by the functions above.
      activations: 'float32' or 'int8'.
      quantized_layer_name_prefix: of the names of the wrapped layers of tf_keras. Keras 3's keep
        their names.
      input_bits: see quantize_model.

    Returns:
      A new model with the same weights, ready for compile and fit. Dense layers on sequences and
      images have become convolutions of size 1, which TFLite can fold and quantize.
    """
    front_end = _front_end(model, "quantize_apply")
    return front_end.quantize_apply(model, activations, quantized_layer_name_prefix, input_bits)


def quantize_model(
    model: Any,
    activations: str = "float32",
    pattern: PatternChoice = None,
    background: str | None = None,
    delta: float | None = None,
    keep_dense: KeepDense = None,
    quantizer: QuantizerChoice = None,
    scale: str | None = None,
    input_bits: InputBits = None,
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
      model: Sequential or Functional Keras model; nested ones are flattened. Keras 3 also: a built
        subclassed model, and layers of the user's that hold layers. Its weights are kept, so a
        trained float model is a start.
      activations: 'float32', or 'int8' as in tfmot's 8-bit quantization-aware training.
      pattern: (n, m): at most n effectual weights of each m input channels, None, or 'auto': per
        layer the fastest one that keeps 90% of its weights' energy (AutoPattern for other budgets).
        A dictionary from name patterns, as in fnmatch, or a function of the layer gives each its
        own.
      background, delta: of the SignedBinaryQuantizer; default 'centered' and 0.05.
      keep_dense: layers that keep full-precision (int8) weights: name patterns as in fnmatch, or
        a predicate of the layer. Default: first convolution, last dense layer, 1x1 shortcut and
        depthwise convolutions (`default_keep_dense`).
      quantizer: instead of pattern, background, delta and scale: a quantizer, or a function from
        layer to quantizer.
      scale: 'none', 'mean' or 'learned'; default 'none' where a BatchNormalization follows the
        layer and absorbs it, else 'mean'.
      input_bits: of the int8 inputs of quantized layers: 4, 5, 6 (also 3), or 8 as in None; fewer
        run faster. A dictionary from name patterns, as in fnmatch, or a function of the layer gives
        each its own (None: 8). 'auto' starts at 8 and waits for `lower_input_bits`. Only outputs of
        ReLUs can have few bits; layers with other inputs keep 8, and a warning names them. What
        other layers read too, such as a residual stream, keeps 8 bits there.

    Returns:
      A new model; see quantize_apply. The given one is not changed, but for a subclassed one with
      float activations: its layers are quantized where they are, and it is returned itself.

    Raises:
      TypeError, ValueError: see quantize_annotate_model; or a quantizer was given together with
        arguments that belong to it.

    Warns:
      UserWarning: with int8 activations, names layers that LiteRT runs in float32 only.
    """
    front_end = _front_end(model, "quantize_model")
    request = Request(
        activations, pattern, background, delta, scale, quantizer, keep_dense, input_bits
    )
    return front_end.quantize_model(model, request)


def default_keep_dense(model: Any) -> set[str]:
    """Names of the layers that quantize_model keeps full precision (or int8) by default.

    These are the first convolutions (no convolution or dense layer before them), the last dense
    layers or convolutions (none after them), the 1x1 convolutions of residual shortcuts, and
    depthwise convolutions: the paper's choice.

    Args:
      model: a flat Sequential or Functional model.
    """
    return _front_end(model, "default_keep_dense").default_keep_dense(model)


def quantized_kernels(model: Any) -> list[QuantizedKernel]:
    """All quantized kernels of a model from quantize_model, in the order of its layers.

    Nested models are searched too (a quantized model may be used inside another one).
    """
    front_end = _quantizing(model)
    return front_end.quantized_kernels(model) if front_end else []


def unreached_layers(model: Any) -> dict[str, str]:
    """The layers that hold layers which quantize_model could not reach, {name: what and why not}.

    Empty for models without a quantized layer, and for Keras 3, where the layers inside of others
    are quantized in place.
    """
    if _package(model) != "tf_keras" or not quantized_kernels(model):
        return {}
    return _front_end(model, "tf_signbin").unreached_layers(model)


def low_bit_inputs(model: Any) -> list[LowBitInput]:
    """The inputs of few bits of a model from quantize_model(..., input_bits=...)."""
    front_end = _quantizing(model)
    return front_end.low_bit_inputs(model) if front_end else []


def lower_input_bits(
    model: Any,
    evaluate: Callable[[Any], float],
    budget: float = 0.003,
    bits: Sequence[int] = (4, 5, 6),
) -> dict[str, int]:
    """Lowers the bits of a trained model's inputs, one after the other, within an accuracy budget.

    First each input alone is given the fewest bits, to see what it costs. Then, from the one that
    costs least on, each gets the fewest bits with which the whole model stays within the budget.
    Train on after it: the model learns to do with fewer bits, and wins back some of the budget.

    ```python
    model = tf_signbin.quantize_model(float_model, activations="int8", input_bits="auto")
    model.compile(...)
    model.fit(...)
    tf_signbin.lower_input_bits(model, lambda m: m.evaluate(validation, verbose=0)[1])
    model.fit(...)
    ```

    Args:
      model: quantized with input_bits, usually 'auto'; its inputs are given 8 bits to begin with.
      evaluate: a function of the model that returns what shall stay, such as its accuracy on a
        validation set (not the test set); larger is better. It is called at most
        1 + n (1 + len(bits)) times, n the number of inputs.
      budget: by how much the result may fall from that with 8 bits.
      bits: to choose from.

    Returns:
      Bits of each layer with quantized weights that reads such an input, by name. The model has
      them now; quantize_model takes the dictionary as its input_bits, too.

    Raises:
      ValueError: the model has no such inputs, or the arguments are no numbers of bits.
    """
    return lower_bits.lower(low_bit_inputs(model), lambda: evaluate(model), budget, bits)


def describe(model: Any, function: str) -> ModelFacts:
    """The kernels of a model, quantized or not, and its number of parameters.

    Args:
      model: a built Keras model.
      function: for whom, named by the error for anything else.
    """
    return _front_end(model, function).describe(model)


def has_fake_quantized_activations(model: Any) -> bool:
    """Whether a Keras model was trained with int8 activations, by quantize_model or by tfmot."""
    front_end = _quantizing(model)
    return front_end.has_fake_quantized_activations(model) if front_end else False
