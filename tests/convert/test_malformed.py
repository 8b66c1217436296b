"""Mutated model files: a clear error or a result, quickly; never another exception."""

from __future__ import annotations

import contextlib
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.convert.models import sound_files
from tf_signbin.convert import inspect_model, unpack
from tf_signbin.convert.rewrite import pack
from tf_signbin.format import ModelError

SECONDS = 5.0  # of processor time for a single call on a file of some kilobytes


def read_every_way(data: bytes) -> None:
    for read in (pack, unpack, inspect_model):
        start = time.process_time()
        with contextlib.suppress(ModelError):
            read(data)
        assert time.process_time() - start < SECONDS


words = st.one_of(
    st.sampled_from([0, 1, 2, 255, 65536, 2**31 - 1, 2**31, 2**32 - 1]), st.integers(0, 2**32 - 1)
)


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 5), st.lists(st.tuples(st.floats(0, 1), words), min_size=1, max_size=4))
def test_changed_words(which, changes):
    data = bytearray(sound_files()[which])
    for position, word in changes:
        at = int(position * (len(data) - 4)) & ~3
        data[at : at + 4] = word.to_bytes(4, "little")
    read_every_way(bytes(data))


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 5), st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1))
def test_changed_bytes(which, changes):
    data = bytearray(sound_files()[which])
    for position, value in changes:
        data[int(position * (len(data) - 1))] = value
    read_every_way(bytes(data))


@pytest.mark.parametrize("which", range(6))
def test_truncations(which):
    data = sound_files()[which]
    for length in np.random.default_rng(which).integers(0, len(data), 40):
        read_every_way(data[:length])
