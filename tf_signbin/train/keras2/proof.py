"""Whether what quantize_model does not know converts, before it is trained.

Layers of Keras are known to convert (tests/train), and fake quantization is placed by the rules of
the integer kernels. Lambdas, layers of the user's and TensorFlow functions may hold operators that
TensorFlow Lite has not; they are converted by themselves, which takes a second, and nothing where
there are none.
"""

from __future__ import annotations

import warnings
from typing import Any

from tf_signbin.train.keras2.facts import annotated, is_operation
from tf_signbin.train.keras2.legacy_keras import tf
from tf_signbin.train.keras2.operators import FUNCTIONS
from tf_signbin.train.keras2.trace import Call, Trace


def warn_of_what_does_not_convert(flat: Trace) -> None:
    """Warns of layers that TensorFlow Lite's converter refuses, with what it says."""
    calls = {id(call.layer): call for call in flat.calls if _is_foreign(annotated(call.layer))}
    if not calls:
        return
    # The data flows from training to conversion; only this question goes the other way.
    from tf_signbin.convert.stock import ConversionError, stock_model

    try:
        stock_model(_function(list(calls.values())))
    except ConversionError as error:
        names = ", ".join(repr(flat.names[key]) for key in calls)
        warnings.warn(
            f"tf_signbin.convert will fail for {flat.name!r}: among the layers {names} are "
            f"operators that TensorFlow Lite does not have. {error}",
            stacklevel=5,
        )


def _is_foreign(layer: Any) -> bool:
    if is_operation(layer):
        config = layer.get_config()
        return config.get("function") not in FUNCTIONS and type(layer).__name__ == "TFOpLambda"
    package = type(layer).__module__.split(".")[0]
    return package not in ("tf_keras", "tf_signbin") or type(layer).__name__ == "Lambda"


def _function(calls: list[Call]) -> Any:
    """The calls side by side as a function of all their tensors."""

    @tf.function
    def run(*tensors: Any) -> list[Any]:
        given = iter(tensors)
        results = []
        for call in calls:
            of_call = dict(zip(call.inputs, [next(given) for _ in call.specs], strict=False))
            args, kwargs = tf.nest.map_structure(
                lambda x, of_call=of_call: of_call.get(x, x) if x.__hash__ else x,
                (call.args, call.kwargs),
            )
            results += tf.nest.flatten(annotated(call.layer)(*args, **kwargs))
        return results

    return run.get_concrete_function(*(spec for call in calls for spec in call.specs))
