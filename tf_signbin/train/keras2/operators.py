"""A Keras 2 model as LiteRT operators, and fake quantization where the rules want it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from tf_signbin.train.keras2.expand import activation_name
from tf_signbin.train.keras2.layers import ReluAgain
from tf_signbin.train.keras2.legacy_keras import tf, tfmot_keras
from tf_signbin.train.keras2.trace import Call, Ref, Trace
from tf_signbin.train.keras2.weights import (
    MovingRangeQuantizer,
    TfmotInputQuantizer,
    WholeRangeQuantizer,
)
from tf_signbin.train.keras2.wrapper import StableQuantizeLayer
from tf_signbin.train.rules import placement
from tf_signbin.train.rules.input_placement import InputPlan, LowBitTensor, place_inputs
from tf_signbin.train.rules.inputs import InputQuantizer

_ACTIVATIONS = {"relu": "relu", "relu6": "relu6", "softmax": "softmax", "softmax_v2": "softmax",
                "sigmoid": "sigmoid", "tanh": "tanh", "leaky_relu": "leaky_relu", "gelu": "gelu",
                "log_softmax": "log_softmax", "linear": "identity",
                "exponential": "exp"}  # fmt: skip
# Calculations that LiteRT has no int8 kernel for, or that take several: the converter runs what it
# must in float32, between a dequantization and a quantization.
_FLOAT_ACTIVATIONS = ("softplus", "softsign", "mish", "hard_swish")

_LAYERS: dict[str, str] = {
    **dict.fromkeys(("Conv1D", "Conv2D"), "conv"),
    **dict.fromkeys(("DepthwiseConv1D", "DepthwiseConv2D"), "depthwise_conv"),
    "Conv2DTranspose": "transpose_conv",
    "Dense": "dense",
    **dict.fromkeys(("BatchNormalization", "SyncBatchNormalization"), "batch_norm"),
    "LeakyReLU": "leaky_relu",
    "PReLU": "prelu",
    "Softmax": "softmax",
    "Add": "add",
    "Subtract": "sub",
    "Multiply": "mul",
    "Maximum": "maximum",
    "Minimum": "minimum",
    "Concatenate": "concat",
    **dict.fromkeys(("MaxPooling1D", "MaxPooling2D"), "max_pool"),
    **dict.fromkeys(("GlobalMaxPooling1D", "GlobalMaxPooling2D"), "reduce_max"),
    **dict.fromkeys(("AveragePooling1D", "AveragePooling2D"), "average_pool"),
    **dict.fromkeys(("GlobalAveragePooling1D", "GlobalAveragePooling2D"), "mean"),
    **dict.fromkeys(("ZeroPadding1D", "ZeroPadding2D"), "pad"),
    **dict.fromkeys(("Flatten", "Reshape", "RepeatVector"), "reshape"),
    "Permute": "transpose",
    **dict.fromkeys(("Cropping1D", "Cropping2D", "CenterCrop", "SlicingOpLambda"), "slice"),
    "UpSampling1D": "resize_nearest",
    "ChannelScale": "depthwise_conv",
    "Offset": "add",
    "Factor": "mul",
    "ChannelMean": "mean",
    "UnitLength": "l2_normalization",
    "Embedding": "embedding",
    **dict.fromkeys(
        ("Dropout", "SpatialDropout1D", "SpatialDropout2D", "AlphaDropout", "GaussianDropout",
         "GaussianNoise", "ActivityRegularization", "Identity", "StochasticDepth", "RandomFlip",
         "RandomTranslation", "RandomRotation", "RandomZoom", "RandomContrast",
         "RandomBrightness"),
        "identity",
    ),
    **dict.fromkeys(
        ("Average", "Dot", "ELU", "ThresholdedReLU", "Rescaling", "Normalization", "Masking",
         "LayerNormalization", "GroupNormalization", "UnitNormalization", "LayerScale",
         "SeparableConv1D", "SeparableConv2D"),
        "float",
    ),
}  # fmt: skip

FUNCTIONS: dict[str, str] = {
    **dict.fromkeys(("__operators__.add", "math.add", "add"), "add"),
    **dict.fromkeys(("math.subtract", "subtract", "__operators__.sub"), "sub"),
    **dict.fromkeys(("math.multiply", "multiply", "__operators__.mul"), "mul"),
    **dict.fromkeys(("math.divide", "math.truediv", "__operators__.truediv"), "div"),
    **dict.fromkeys(("math.exp", "exp"), "exp"),
    **dict.fromkeys(("math.abs", "abs"), "abs"),
    **dict.fromkeys(("math.sqrt", "sqrt"), "sqrt"),
    "math.rsqrt": "rsqrt",
    "math.log": "log",
    **dict.fromkeys(("math.reduce_sum", "reduce_sum"), "sum"),
    **dict.fromkeys(("math.reduce_max", "reduce_max"), "reduce_max"),
    **dict.fromkeys(("math.reduce_min", "reduce_min"), "reduce_min"),
    "nn.gelu": "gelu",
    "nn.leaky_relu": "leaky_relu",
    "nn.log_softmax": "log_softmax",
    "nn.relu": "relu",
    "nn.relu6": "relu6",
    "nn.softmax": "softmax",
    **dict.fromkeys(("math.sigmoid", "nn.sigmoid", "sigmoid"), "sigmoid"),
    **dict.fromkeys(("math.tanh", "nn.tanh", "tanh"), "tanh"),
    "concat": "concat",
    **dict.fromkeys(("math.maximum", "maximum"), "maximum"),
    **dict.fromkeys(("math.minimum", "minimum"), "minimum"),
    **dict.fromkeys(("reshape", "squeeze", "expand_dims"), "reshape"),
    "transpose": "transpose",
    "identity": "identity",
    **dict.fromkeys(("math.reduce_mean", "reduce_mean"), "mean"),
}

# What a Lambda does nobody knows (nor what a layer of the user's does), and LiteRT's LSTM reads no
# int8 tensor without ranges of its own inside, for which the converter ends with an error.
_REFUSED = ("Lambda", "LSTM", "Bidirectional", "ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D")

# Layers whose mean or sum leaves masked steps out, which takes several operators.
_READ_MASKS = ("GlobalAveragePooling1D", "Softmax")

# What the converter folds a BatchNorm into.
_FOLDING = ("conv", "depthwise_conv", "dense")


def plan(
    flat: Trace, quantized: set[int], own: set[int], wanted: Mapping[str, int]
) -> tuple[placement.Plan, InputPlan]:
    """Where fake quantization goes in a network whose layers are `flat.calls`.

    Args:
      flat: the model.
      quantized: ids of the layers to quantize; the others may be of any kind.
      own: ids of those that the user has given a QuantizeConfig.
      wanted: bits of the inputs of layers, by name; others keep 8.

    Raises:
      placement.PlacementError: layers that have no place in an int8 network.
    """
    free = {id(call.layer) for call in flat.calls} - quantized | own
    operators, outputs = _describe(flat, free), tf.nest.flatten(flat.outputs)
    found = placement.place(operators, flat.tensors, outputs)
    return found, place_inputs(operators, found, outputs, wanted)


def floats(flat: Trace, layers: set[int]) -> dict[str, str]:
    """What LiteRT runs in float32 among these layers: their kinds, or functions, by name."""
    found = {}
    for call in flat.calls:
        computes = not flat.integers.issuperset(call.results)
        if id(call.layer) in layers and computes and _kind(call) == "float":
            layer, kind = call.layer, type(call.layer).__name__
            if kind == "Activation":
                kind = activation_name(layer)
            found[layer.name] = layer.get_config().get("function", kind)
    return found


def unquantized(
    flat: Trace, quantized: set[int], own: set[int], wrapped: dict[int, Any]
) -> set[Ref]:
    """Tensors to leave alone: integers, those outside of the quantized layers, and those that a
    QuantizeConfig of the user quantizes already."""
    skip = set(flat.integers)
    read = {t for call in flat.calls if id(call.layer) in quantized for t in call.inputs}
    skip.update(t for t in flat.tensors if t not in read)
    for call in flat.calls:
        key = id(call.layer)
        if key not in quantized or (key in own and _quantizes_output(wrapped[key])):
            skip.update(call.results)
    return skip


def _quantizes_output(wrapper: Any) -> bool:
    config = wrapper.quantize_config
    return bool(
        config.get_output_quantizers(wrapper.layer)
        or config.get_activations_and_quantizers(wrapper.layer)
    )


def _describe(flat: Trace, free: set[int]) -> list[placement.Operator]:
    """One operator for each call; a layer with a ReLU inside is that layer followed by a ReLU."""
    readers: dict[Ref, int] = {}
    for call in flat.calls:
        for tensor in call.inputs:
            readers[tensor] = readers.get(tensor, 0) + 1
    for tensor in tf.nest.flatten(flat.outputs):
        readers[tensor] = readers.get(tensor, 0) + 1
    kinds: dict[Ref, str] = {}
    operators = []
    for call in flat.calls:
        name = call.layer.name
        kind = "float" if id(call.layer) in free else _kind(call)
        if kind == "batch_norm" and (
            readers[call.inputs[0]] > 1 or kinds.get(call.inputs[0]) not in _FOLDING
        ):
            # On its own it stays a multiplication and an addition.
            kind = "mul"
        inputs, outputs = tuple(call.inputs), tuple(call.results)
        fused = activation_name(call.layer) if kind in _FOLDING else "linear"
        if fused == "linear":
            operators.append(placement.Operator(name, kind, inputs, outputs))
        else:
            between = (name, "before activation", outputs)
            operators += [
                placement.Operator(name, kind, inputs, (between,)),
                placement.Operator(f"{name} ({fused})", _ACTIVATIONS[fused], (between,), outputs),
            ]
        kinds.update(dict.fromkeys(outputs, kind if fused == "linear" else fused))
    return operators


def _kind(call: Call) -> str:
    layer = call.layer
    kind = type(layer).__name__
    if call.masked and kind in _READ_MASKS:
        return "float"
    if kind == "ReLU":
        return _relu(layer)
    if kind == "Activation":
        name = activation_name(layer)
        if name in _FLOAT_ACTIVATIONS:
            return "float"
        return _ACTIVATIONS.get(name, f"Activation({name or layer.activation!r})")
    if kind == "TFOpLambda":
        found = FUNCTIONS.get(layer.get_config()["function"], "float")
        # The converter makes a factor of a constant divisor.
        return "mul" if found == "div" and len(call.inputs) == 1 else found
    if kind in ("UpSampling2D", "Resizing"):
        how = layer.interpolation
        return {"nearest": "resize_nearest", "bilinear": "resize_bilinear"}.get(how, "float")
    if kind in _LAYERS:
        return _LAYERS[kind]
    known = type(layer).__module__.startswith("tf_keras.") and kind not in _REFUSED
    return "float" if known else kind


def _relu(layer: Any) -> str:
    if layer.threshold:
        return "float"
    if layer.negative_slope:
        return "leaky_relu" if layer.max_value is None else "float"
    if layer.max_value is None:
        return "relu"
    return "relu6" if float(layer.max_value) == 6.0 else "float"


def fake_quantized(
    flat: Trace,
    calls: Sequence[Call],
    plan: placement.Plan,
    inputs: InputPlan,
    names: Mapping[int, str],
    skip: set[Ref],
) -> list[Call]:
    """The calls with a fake quantization behind each tensor that the plans want quantized.

    Args:
      flat: the trace that the calls belong to; its outputs are the quantized tensors afterwards.
      calls: of the quantized layers.
      plan, inputs: what the rules say.
      names: of the layers in the plans, by id of the quantized layers.
      skip: tensors that need none: integers, and outputs of layers that quantize them themselves.
    """
    quantizers: dict[placement.Range, Any] = {}
    now: dict[Ref, Ref] = {}
    low_bits: dict[Ref, Ref] = {}
    uses: Counter[int] = Counter()
    result = []

    def emit(layer: Any, tensor: Ref, **kwargs: Any) -> Ref:
        result.append(Call(layer, (tensor,), kwargs, flat.new()))
        return result[-1].outputs

    def quantize(tensor: Ref, writer: str, is_input: bool = False) -> None:
        range_ = plan.ranges.get(tensor)
        if range_ is None or tensor in skip:
            return
        if range_ not in quantizers:
            low = inputs.coarse.get(range_)
            quantizer = _quantizer(range_, is_input) if low is None else _input_quantizer(low)
            quantizers[range_] = StableQuantizeLayer(quantizer, name=f"{writer}_quantized")
        # Only the tensor that the range is of is observed; others use what was seen there.
        observes = range_.tensor == tensor or range_.limits is not None
        kwargs = {} if observes else {"observe": False}
        now[tensor] = emit(quantizers[range_], tensor, **kwargs)

    def read(tensor: Ref, reader: str) -> Ref:
        """The tensor as the reader wants it."""
        low = inputs.behind_relu.get(tensor)
        if low is None or reader not in low.readers or tensor in skip:
            return now.get(tensor, tensor)
        if tensor not in low_bits:
            suffix = f"_{len(low_bits)}" if _is_taken(f"{reader}_input", result) else ""
            relu = ReluAgain(name=f"{reader}_input{suffix}_relu")
            quantizer = StableQuantizeLayer(
                _input_quantizer(low), name=f"{reader}_input{suffix}_quantized"
            )
            low_bits[tensor] = emit(quantizer, emit(relu, now.get(tensor, tensor)))
        return low_bits[tensor]

    for tensor, source in zip(flat.tensors, tf.nest.flatten(flat.inputs), strict=True):
        quantize(tensor, source._keras_history.layer.name, is_input=True)
    for call in calls:
        reader = names.get(id(call.layer), call.layer.name)
        args, kwargs = tf.nest.map_structure(
            lambda x, reader=reader: read(x, reader) if isinstance(x, Ref) else x,
            (call.args, call.kwargs),
        )
        result.append(Call(call.layer, args, kwargs, call.outputs))
        for i, tensor in enumerate(call.results):
            suffix = "".join(f"_{n}" for n in (uses[id(call.layer)], i) if n)
            quantize(tensor, f"{call.layer.name}{suffix}")
        uses[id(call.layer)] += 1
    flat.outputs = tf.nest.map_structure(lambda x: now.get(x, x), flat.outputs)
    return result


def _is_taken(prefix: str, calls: Sequence[Call]) -> bool:
    return any(call.layer.name == f"{prefix}_relu" for call in calls)


def _input_quantizer(low: LowBitTensor) -> TfmotInputQuantizer:
    return TfmotInputQuantizer(InputQuantizer(low.bits, low.readers))


def _quantizer(range_: placement.Range, is_input: bool) -> Any:
    if range_.limits is not None:
        low, high = range_.limits
        return tfmot_keras.quantizers.FixedQuantizer(
            num_bits=8, init_min=low, init_max=high, narrow_range=False
        )
    # As tfmot: the input's range is that of all values seen, others move.
    kind = WholeRangeQuantizer if is_input else MovingRangeQuantizer
    return kind(num_bits=8, per_axis=False, symmetric=False, narrow_range=False)
