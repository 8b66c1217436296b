"""The NumPy specification against TensorFlow Lite's builtin reference kernels."""

import numpy as np
import pytest

from tests.format.tflite_builder import conv_model, random_filters
from tf_signbin.format import detect, reference

litert = pytest.importorskip("ai_edge_litert.interpreter")

KINDS = ("two_valued", "background", "ternary")


def run_builtin_reference(model: bytes, x: np.ndarray) -> np.ndarray:
    interpreter = litert.Interpreter(
        model_content=model,
        experimental_op_resolver_type=litert.OpResolverType.BUILTIN_REF,
    )
    interpreter.resize_tensor_input(0, x.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(0, x)
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


def random_case(seed: int, fully_connected: bool):
    """Geometry, filters, bias and input of one random layer; the seed replays it."""
    rng = np.random.default_rng(seed)
    int8 = bool(rng.integers(2))
    kernel = (1, 1) if fully_connected else tuple(rng.integers(1, 6, 2))
    dilation = (1, 1) if fully_connected else tuple(rng.integers(1, 3, 2))
    regions = int(rng.choice([1, 1, 2, 3]))
    in_channels = regions * int(rng.integers(8, 24))
    out_channels = int(rng.integers(1, 9))
    geometry = {"activation": str(rng.choice(["NONE", "RELU", "RELU6", "RELU_N1_TO_1"]))}
    if fully_connected:
        keep = int(rng.integers(2))
        geometry["keep_num_dims"] = keep
        shape = (*rng.integers(1, 4, rng.integers(1, 3)), in_channels)
    else:
        geometry |= {
            "padding": str(rng.choice(["SAME", "VALID"])),
            "stride_h": int(rng.integers(1, 4)), "stride_w": int(rng.integers(1, 4)),
            "dilation_h": int(dilation[0]), "dilation_w": int(dilation[1]),
        }  # fmt: skip
        windows = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
        size = [int(rng.integers(window, 14)) for window in windows]
        shape = (int(rng.integers(1, 3)), *size, in_channels)
    kind = KINDS[seed % 3]
    dtype = "int8" if int8 else "float32"
    weights = random_filters(
        rng, "ternary" if kind == "ternary" else "two_valued",
        (out_channels, *kernel, in_channels), dtype, density=float(rng.random()),
        regions=regions, background=kind == "background",
    )  # fmt: skip
    quantization = None
    if int8:
        x = rng.integers(-128, 128, shape).astype(np.int8)
        one_scale = fully_connected and rng.integers(2)
        output_scale = float(rng.uniform(0.01, 1.0))
        quantization = reference.Int8Quantization(
            float(rng.uniform(0.001, 0.1)), int(rng.integers(-128, 128)),
            rng.uniform(1e-4, 1e-2, 1 if one_scale else out_channels).astype(np.float32),
            output_scale, int(rng.integers(-128, 128)),
        )  # fmt: skip
        bias = rng.integers(-20000, 20000, out_channels).astype(np.int32)
    else:
        x = rng.normal(size=shape).astype(np.float32)
        bias = rng.normal(size=out_channels).astype(np.float32)
    # TFLite runs no convolution without a bias.
    has_bias = rng.integers(4) or not fully_connected
    return geometry, weights, bias if has_bias else None, x, quantization


@pytest.mark.parametrize("fully_connected", [False, True])
@pytest.mark.parametrize("seed", range(150))
def test_equals_builtin_reference_kernel(seed, fully_connected):
    geometry, weights, bias, x, quantization = random_case(seed, fully_connected)
    packed = detect(weights).packed
    if packed is None:  # too few weights to pay; the arithmetic is the same
        pytest.skip("not packable at this shape")
    options = packed.options(**geometry)
    model = conv_model(
        weights, x.shape, bias=bias, quant=quantization, fully_connected=fully_connected,
        activation=options.activation, padding=options.padding,
        stride=(options.stride_h, options.stride_w),
        dilation=(options.dilation_h, options.dilation_w),
        keep_num_dims=bool(options.keep_num_dims),
    )  # fmt: skip
    expected = run_builtin_reference(model, x)
    operator = reference.fully_connected if fully_connected else reference.conv_2d
    actual = operator(x, packed, options, bias, quantization)
    assert actual.shape == expected.shape
    assert actual.dtype == expected.dtype
    if quantization is not None:
        np.testing.assert_array_equal(actual, expected)
    else:
        size = np.abs(weights).reshape(len(weights), -1).sum(axis=1).max() * np.abs(x).max()
        np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-6 * size)
