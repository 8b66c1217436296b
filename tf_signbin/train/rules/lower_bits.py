"""Fewer bits for a model's inputs within an accuracy budget."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tf_signbin.train.rules.inputs import FULL_BITS, LowBitInput, check_bits


def lower(
    inputs: Sequence[LowBitInput],
    evaluate: Callable[[], float],
    budget: float,
    bits: Sequence[int],
) -> dict[str, int]:
    """See `tf_signbin.lower_input_bits`; `evaluate` judges the model as it is at the moment."""
    if not inputs:
        raise ValueError(
            "lower_input_bits: the model has no inputs of few bits. Quantize it with "
            "quantize_model(..., activations='int8', input_bits='auto')."
        )
    if budget < 0.0:
        raise ValueError(f"budget={budget} must not be negative.")
    options = sorted({check_bits(b, "bits") for b in bits} - {FULL_BITS})
    if not options:
        raise ValueError(f"bits={tuple(bits)} must name some of 3, 4, 5 and 6.")
    for each in inputs:
        each.set_bits(FULL_BITS)
    least = evaluate() - budget
    for each in _cheapest_first(inputs, evaluate, options[0]):
        for choice in options:
            each.set_bits(choice)
            if evaluate() >= least:
                break
        else:
            each.set_bits(FULL_BITS)
    return {name: each.bits for each in inputs for name in each.quantizer.readers}


def _cheapest_first(
    inputs: Sequence[LowBitInput], evaluate: Callable[[], float], bits: int
) -> list[LowBitInput]:
    """The inputs by what is left when each of them alone has so many bits, best first."""
    left = []
    for each in inputs:
        each.set_bits(bits)
        left.append(evaluate())
        each.set_bits(FULL_BITS)
    order = sorted(range(len(inputs)), key=lambda i: -left[i])
    return [inputs[i] for i in order]
