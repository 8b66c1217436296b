"""The bounds check of untrusted files: it knows the schema, and refuses what would not end."""

import re
import struct

import flatbuffers
import numpy as np
import pytest

from tests.format.tflite_builder import Builder, conv_model, random_filters
from tf_signbin.format import ModelError
from tf_signbin.format.flatbuffer_check import TABLES, check_flatbuffer
from tf_signbin.format.model import read_model, schema, write_model


def model_bytes() -> bytes:
    weights = random_filters(np.random.default_rng(0), "two_valued", (4, 3, 3, 8))
    return conv_model(weights, (1, 6, 6, 8), bias=np.zeros(4, np.float32))


@pytest.mark.parametrize("name", TABLES)
def test_tables_have_the_fields_of_the_generated_schema(name):
    """One generated `NameAddField` function per field, in order; tables may grow, not change."""
    module = schema()
    source = {
        field: getattr(module, field)
        for field in dir(module)
        if re.fullmatch(rf"{name}Add[A-Z]\w*", field)
    }
    slots = {}
    for function in source.values():
        recorder = Recorder()
        function(recorder, 1)
        slots[recorder.slot] = recorder.kind
    known = {index: kind for index, kind in enumerate(TABLES[name]) if kind is not None}
    assert slots or not source  # older runtimes lack some tables and fields
    assert set(slots) <= set(known)
    for slot, kind in slots.items():
        if kind == "offset":
            assert not isinstance(known[slot], int)
        else:
            assert known[slot] == kind


class Recorder:
    """Takes the place of a flatbuffers builder and notes the slot that is written."""

    def __getattr__(self, method):
        sizes = {"Bool": 1, "Int8": 1, "Uint8": 1, "Int32": 4, "Uint32": 4, "Float32": 4,
                 "Int64": 8, "Uint64": 8, "UOffsetTRelative": "offset"}  # fmt: skip
        kind = re.fullmatch(r"Prepend(\w+)Slot", method)

        def record(slot, *_):
            self.slot, self.kind = slot, sizes[kind[1]]

        return record


def test_a_sound_file_passes():
    check_flatbuffer(model_bytes(), "model")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "too few"), (b"TFL3", "too few"), (b"\x08\0\0\0TFL2" + bytes(60), "not a .tflite"),
        (b"PK\x03\x04" + bytes(100), "not a .tflite"),
        (b"\xff\xff\xff\x7fTFL3" + bytes(60), "damaged"),
    ],
)  # fmt: skip
def test_foreign_files(data, message):
    with pytest.raises(ModelError, match=f"photo.tflite.*{message}"):
        read_model(data, "photo.tflite")


def test_every_truncation_is_refused():
    data = model_bytes()
    for length in range(len(data) - 16):
        with pytest.raises(ModelError):
            read_model(data[:length])


def test_schema_version():
    model = read_model(model_bytes())
    model.version = 4
    with pytest.raises(ModelError, match="schema version 4"):
        read_model(write_model(model))


def tree(count: int, shared: int) -> bytes:
    """A file whose subgraph lists one tensor `count` times, with a shape of `shared` numbers."""
    b = flatbuffers.Builder(1024)
    shape = b.CreateNumpyVector(np.ones(shared, np.int32))
    b.StartObject(11)
    b.PrependUOffsetTRelativeSlot(0, shape, 0)
    tensor = b.EndObject()
    b.StartVector(4, count, 4)
    for _ in range(count):
        b.PrependUOffsetTRelative(tensor)
    tensors = b.EndVector()
    b.StartObject(6)
    b.PrependUOffsetTRelativeSlot(0, tensors, 0)
    graph = b.EndObject()
    b.StartVector(4, 1, 4)
    b.PrependUOffsetTRelative(graph)
    graphs = b.EndVector()
    b.StartObject(10)
    b.PrependUint32Slot(0, 3, 0)
    b.PrependUOffsetTRelativeSlot(2, graphs, 0)
    b.Finish(b.EndObject(), file_identifier=b"TFL3")
    return bytes(b.Output())


def test_overlapping_tables_are_refused_before_they_are_read():
    read_error = pytest.raises(ModelError, match="overlap")
    with read_error:
        read_model(tree(100_000, 100_000))  # would be 10 billion numbers


def test_millions_of_tables_are_refused():
    with pytest.raises(ModelError, match="tables"):
        read_model(tree(3_000_000, 1))


def test_unknown_fields_are_not_dropped():
    b = flatbuffers.Builder(64)
    b.StartObject(11)
    b.PrependUint32Slot(0, 3, 0)
    b.PrependInt32Slot(10, 1, 0)
    b.Finish(b.EndObject(), file_identifier=b"TFL3")
    with pytest.raises(ModelError, match="Model has a field that this package does not know"):
        read_model(bytes(b.Output()))


def test_external_buffers():
    model = read_model(model_bytes())
    module = schema()
    if not hasattr(module, "ExternalBufferT"):
        pytest.skip("the installed runtime has no external buffers")
    model.externalBuffers = [module.ExternalBufferT()]
    with pytest.raises(ModelError, match="external buffers"):
        read_model(write_model(model))


def test_vector_longer_than_the_file():
    data = bytearray(model_bytes())
    at = data.find(struct.pack("<4i", 1, 6, 6, 8)) - 4
    assert struct.unpack_from("<I", data, at)[0] == 4
    struct.pack_into("<I", data, at, 2**32 - 1)
    with pytest.raises(ModelError, match="damaged"):
        read_model(bytes(data))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: setattr(m.subgraphs[0].tensors[0], "buffer", 99), "buffer 99"),
        (lambda m: setattr(m.subgraphs[0].operators[0], "opcodeIndex", 7), "operator code 7"),
        (
            lambda m: setattr(m.subgraphs[0].operators[0], "inputs", np.array([0, 50], np.int32)),
            "tensor 50",
        ),
        (
            lambda m: setattr(m.subgraphs[0].operators[0], "inputs", np.array([-2], np.int32)),
            "tensor -2",
        ),
        (
            lambda m: setattr(m.subgraphs[0].operators[0], "outputs", np.array([-1], np.int32)),
            "tensor -1",
        ),
        (lambda m: setattr(m.subgraphs[0], "inputs", np.array([1000], np.int32)), "tensor 1000"),
        (lambda m: setattr(m, "subgraphs", []), "no subgraph"),
        (lambda m: setattr(m.buffers[1], "offset", 4096), "outside the flatbuffer"),
    ],
)
def test_indices_out_of_range(change, message):
    model = read_model(model_bytes())
    change(model)
    with pytest.raises(ModelError, match=message):
        read_model(write_model(model))


def test_signature_indices():
    b = Builder()
    x = b.tensor([1], "float32", "x")
    b.io([x], [x])
    b.signature("main", {"x": 5}, {"y": x})
    with pytest.raises(ModelError, match="'main' refers to tensor 5"):
        read_model(b.bytes())


def test_constants_are_aligned_and_bytes_are_deterministic():
    model = read_model(model_bytes())
    data = write_model(model)
    assert data == write_model(read_model(data))
    weights = np.asarray(model.buffers[1].data).tobytes()
    assert data.find(weights) % 16 == 0


def test_models_over_two_gigabytes():
    class Huge:
        def __len__(self):
            return 2**31

    model = read_model(model_bytes())
    model.buffers[1].data = Huge()
    with pytest.raises(ModelError, match="2 GB"):
        write_model(model)
