"""The options map: round trip, ranges, and hostile bytes."""

import dataclasses

import pytest
from flatbuffers import flexbuffers
from hypothesis import given, settings
from hypothesis import strategies as st

from tf_signbin.format import ModelError, OpOptions, decode_options, encode_options
from tf_signbin.format.spec import OPTION_KEYS

OPTIONS = OpOptions("two_valued", 3, 3, 64, 128, 2, 1, padding="SAME", activation="RELU6")


@settings(deadline=None)
@given(
    st.sampled_from(["two_valued", "ternary"]), st.integers(1, 9), st.integers(1, 2**31 - 1),
    st.integers(1, 300), st.sampled_from(["SAME", "VALID"]), st.integers(1, 4),
)  # fmt: skip
def test_round_trip(kind, kernel, channels, stride, padding, regions):
    if channels * regions >= 2**31:
        regions = 1
    options = OpOptions(
        kind, kernel, 1, channels * regions, channels, stride, 1, padding=padding, regions=regions
    )
    assert decode_options(encode_options(options)) == options
    assert encode_options(options) == encode_options(dataclasses.replace(options))


def test_keys_are_those_of_the_specification():
    assert sorted(OPTION_KEYS) == sorted(
        ["version", "kind", "kernel_h", "kernel_w", "in_channels", "out_channels", "stride_h",
         "stride_w", "dilation_h", "dilation_w", "padding", "activation", "regions", "pattern_n",
         "pattern_m", "keep_num_dims"]
    )  # fmt: skip


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("version", 2), ("kind", "quaternary"), ("kernel_h", 0), ("in_channels", -1),
        ("out_channels", 2**31), ("stride_w", 0), ("dilation_h", 0), ("padding", "EXPLICIT"),
        ("activation", "TANH"), ("regions", 3), ("regions", 0), ("keep_num_dims", 2),
        ("kind", 1), ("kernel_h", "3"), ("version", 1.0),
    ],
)  # fmt: skip
def test_wrong_values_are_named(key, value):
    fields = dataclasses.asdict(OPTIONS) | {key: value}
    with pytest.raises(ModelError, match=key):
        decode_options(bytes(flexbuffers.Dumps(fields)))


@pytest.mark.parametrize(("n", "m"), [(0, 7), (3, 0), (7, 7), (-1, 7)])
def test_wrong_patterns(n, m):
    with pytest.raises(ModelError, match="pattern"):
        dataclasses.replace(OPTIONS, pattern_n=n, pattern_m=m)


def test_missing_and_unknown_keys_are_named():
    fields = dataclasses.asdict(OPTIONS)
    with pytest.raises(ModelError, match="groups"):
        decode_options(bytes(flexbuffers.Dumps(fields | {"groups": 2})))
    del fields["padding"]
    with pytest.raises(ModelError, match="padding"):
        decode_options(bytes(flexbuffers.Dumps(fields)))


@pytest.mark.parametrize("value", [[1, 2], 5, "text", {"kind": {"kind": {}}}])
def test_other_flexbuffers(value):
    with pytest.raises(ModelError):
        decode_options(bytes(flexbuffers.Dumps(value)))


@settings(max_examples=300, deadline=1000)
@given(st.binary(max_size=400))
def test_arbitrary_bytes(data):
    with pytest.raises(ModelError):
        decode_options(data)


@settings(max_examples=300, deadline=1000)
@given(st.integers(0, len(encode_options(OPTIONS)) - 1), st.integers(1, 255))
def test_changed_bytes_give_options_or_an_error(position, change):
    data = bytearray(encode_options(OPTIONS))
    data[position] ^= change
    try:
        decoded = decode_options(bytes(data))
    except ModelError:
        return
    assert isinstance(decoded, OpOptions)
