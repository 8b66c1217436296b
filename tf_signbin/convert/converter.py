"""The public conversion: any source to one .tflite file with packed layers."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Iterable
from typing import Any

from tf_signbin.convert import rewrite
from tf_signbin.convert.keras_models import load_keras_file
from tf_signbin.convert.report import DENSE, ConversionReport, LayerReport
from tf_signbin.convert.requested import (
    requested_layers,
    unmatched,
    unreached_layers,
    why_dense,
)
from tf_signbin.convert.stock import RepresentativeDataset, is_tflite, source_name, stock_model
from tf_signbin.convert.verify import VerificationError
from tf_signbin.convert.verify import verify as verify_models

LAYOUTS = ("custom_op", "builtin")


class UnpackedLayersError(ValueError):
    """strict=True: layers that were meant to be packed stayed dense. `layers` maps their names to
    the reasons."""

    def __init__(self, layers: dict[str, str]) -> None:
        self.layers = layers
        listing = "\n".join(f"  {name}: {reason}" for name, reason in layers.items())
        super().__init__(
            f"{len(layers)} layers are meant to be signed-binary but were not packed:\n{listing}\n"
            "Convert with strict=False to leave them dense."
        )


def convert(
    source: Any,
    *,
    activations: str | None = None,
    representative_dataset: RepresentativeDataset | None = None,
    input_type: str | None = None,
    output_type: str | None = None,
    layout: str = "custom_op",
    strict: bool = False,
    verify: bool = False,
    verify_data: Iterable[Any] | None = None,
    report: ConversionReport | None = None,
) -> bytes:
    """Converts a model to TensorFlow Lite and packs its two-valued and ternary layers.

    The stock converter does its work first (folding, fusing, quantizing); then every CONV_2D and
    FULLY_CONNECTED whose constant filter allows it becomes a packed operator (docs/format.md).

    Args:
      source: a built Keras model (functional, sequential or nested; quantized by quantize_model or
        with plain layers) or the path of its .keras file, the path of a SavedModel folder, a
        concrete function, or a .tflite file from any exporter (bytes or path).
      activations: 'float32' or 'int8'. Default: 'int8' if the model was trained with int8
        activations or a representative_dataset is given, else 'float32'.
      representative_dataset: for int8 activations of a model trained without: a function that
        yields lists of input arrays, as for tf.lite.TFLiteConverter.
      input_type, output_type: 'float32' (default), 'int8' or 'uint8' model inputs and outputs.
      layout: 'custom_op' for packed operators, which need the delegate; 'builtin' for stock
        operators: the file runs anywhere and the delegate recognises the filters by value.
      strict: raise when a layer that was meant to be packed stays dense: one with a quantizer of
        this package (Keras sources), whose weights look quantized, or inside a layer of the user's
        that quantize_model could not reach.
      verify: run the stock and the packed model side by side (`tf_signbin.convert.verify`) and
        raise unless they are equal.
      verify_data: samples for it, as a representative_dataset yields them; default random ones.
      report: filled in with what happened to each layer.

    Returns:
      The .tflite file. The same model gives the same bytes.

    Raises:
      ModelError: the source is a damaged .tflite file.
      ConversionError: TensorFlow Lite's converter refuses the model; says why.
      UnpackedLayersError: see `strict`.
      VerificationError: see `verify`.
      TypeError, ValueError, FileNotFoundError: an argument is not usable; the message says why.
    """
    if layout not in LAYOUTS:
        raise ValueError(f"layout={layout!r}: must be one of {LAYOUTS}")
    if isinstance(source, str | os.PathLike) and os.fspath(source).endswith(".keras"):
        source = load_keras_file(os.fspath(source))
    report = report if report is not None else ConversionReport()
    start = time.perf_counter()
    stock = stock_model(source, activations, representative_dataset, input_type, output_type)
    report.stock_seconds = time.perf_counter() - start
    start = time.perf_counter()
    name = source_name(source)
    data, report.layers = rewrite.pack(stock, name=name, layout=layout)
    report.pack_seconds = time.perf_counter() - start
    report.stock_file_bytes, report.file_bytes = len(stock), len(data)
    if not is_tflite(source):
        _warn_of_floats(name, report.layers)
    left = _explain(source, report.layers)
    if strict and left:
        raise UnpackedLayersError(left)
    if verify and layout == "custom_op":
        report.verification = verify_models(stock, data, verify_data)
        if not report.verification.ok:
            raise VerificationError(report.verification)
    return data


def check_conversion(model: Any, activations: str | None = None) -> ConversionReport:
    """Proves before training that a network converts, and that its layers are packed.

    Converts the model with the weights that it has; what can fail (operators, shapes, ranges that
    belong together) does not depend on them. It takes as long as `convert`, so it is a call of its
    own, before a long training:

    ```python
    model = tf_signbin.quantize_model(float_model, activations="int8")
    print(tf_signbin.check_conversion(model))
    ```

    Args:
      model: as for `convert`.
      activations: as for `convert`; 'int8' only for models from quantize_model(activations='int8').

    Returns:
      The report of the conversion.

    Raises:
      ConversionError: TensorFlow Lite cannot convert the model.
      UnpackedLayersError: a quantized layer would stay dense.
      TypeError, ValueError: as `convert`.
    """
    report = ConversionReport()
    convert(model, activations=activations, strict=True, report=report)
    return report


def _warn_of_floats(name: str, layers: list[LayerReport]) -> None:
    """Tells of layers that compute in float32 in a model of int8 layers."""
    floats = [layer.name for layer in layers if layer.activation_type == "float32"]
    if floats and any(layer.activation_type == "int8" for layer in layers):
        warnings.warn(
            f"{name!r}: TensorFlow Lite's converter left these layers in float32, between int8 "
            f"ones: {', '.join(floats)}. Convolutions over sequences stay so where the length is "
            "open: give keras.Input a fixed one.",
            stacklevel=3,
        )


def _explain(source: Any, layers: list[LayerReport]) -> dict[str, str]:
    """Names and reasons of the layers that stayed dense although the model's author quantized them:
    by one of our quantizers (Keras sources), or, as far as their values show, by any means."""
    nearly = {layer.name: layer for layer in layers if layer.status == DENSE and layer.nearly}
    left = unreached_layers(source)
    for request, dense in unmatched(requested_layers(source), layers):
        left[request.name] = why_dense(request, dense)
        if dense is not None:
            dense.reason = left[request.name]
            nearly.pop(dense.name, None)
    return {**left, **{name: layer.reason for name, layer in nearly.items()}}
