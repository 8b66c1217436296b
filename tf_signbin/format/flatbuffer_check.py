"""Bounds check of an untrusted .tflite before the generated object API reads it.

The generated Python readers are memory safe but trust offsets and lengths: a hostile file can make
them loop for hours or allocate without limit. This walks every table the readers walk, checks that
each lies inside the file, and bounds the total work by the size of the file.
"""

from __future__ import annotations

import struct

from tf_signbin.format.errors import ModelError

FILE_IDENTIFIER = b"TFL3"
MAX_BYTES = 2**31 - 1  # offsets are signed 32-bit numbers
# The largest models have some 10,000 tensors; each table becomes a Python object of about 1 KB.
MAX_TABLES = 500_000

# Fields of each table in schema order (TFLite schema version 3). A number is the size of a scalar,
# [number] a vector of such scalars, "str" a string, a name a table, [name] a vector of tables,
# "union" a table of a type that is not described here; None a field that no longer exists.
TABLES: dict[str, tuple[object, ...]] = {
    "Model": (
        4, ["OperatorCode"], ["SubGraph"], "str", ["Buffer"], [4], ["Metadata"], ["SignatureDef"],
        ["ExternalBufferGroup"], ["ExternalBuffer"],
    ),
    "OperatorCode": (1, "str", 4, 4),
    "SubGraph": (["Tensor"], [4], [4], ["Operator"], "str", 4),
    "Tensor": (
        [4], 1, 4, "str", "QuantizationParameters", 1, "SparsityParameters", [4], 1,
        ["VariantSubType"], 4,
    ),
    "QuantizationParameters": ([4], [4], [4], [8], 1, "union", 4),
    "SparsityParameters": ([4], [4], ["DimensionMetadata"]),
    "DimensionMetadata": (1, 4, 1, "union", 1, "union"),
    "VariantSubType": ([4], 1, 1),
    "Operator": (4, [4], [4], 1, "union", [1], 1, [1], [4], 8, 8, 1, "union", 4),
    "Buffer": ([1], 8, 8),
    "Metadata": ("str", 4),
    "SignatureDef": (["TensorMap"], ["TensorMap"], "str", None, 4),
    "TensorMap": ("str", 4),
    "ExternalBufferGroup": ("str",),
    "ExternalBuffer": (4, 4, 8, 8, "str"),
}  # fmt: skip


def check_flatbuffer(data: bytes, name: str) -> None:
    """Raises ModelError, naming `name`, unless `data` is a well-formed TFLite flatbuffer."""
    if len(data) > MAX_BYTES:
        raise ModelError(f"{name}: {len(data)} bytes; TFLite flatbuffers end at 2 GB")
    if len(data) < 8:
        raise ModelError(f"{name}: {len(data)} bytes are too few for a .tflite file")
    if data[4:8] != FILE_IDENTIFIER:
        raise ModelError(
            f"{name}: not a .tflite file (identifier {data[4:8]!r} instead of {FILE_IDENTIFIER!r})"
        )
    try:
        _Walker(data).walk()
    except _UnknownFieldError as error:
        raise ModelError(f"{name}: newer than this package, or damaged: {error}") from error
    except (_MalformedError, struct.error) as error:
        raise ModelError(f"{name}: damaged or truncated .tflite file: {error}") from error


class _MalformedError(Exception):
    pass


class _UnknownFieldError(Exception):
    pass


class _Walker:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._size = len(data)
        # A well-formed file refers to each of its bytes about once; only strings may be shared.
        self._budget = 4 * len(data) + 4096
        self._tables = 0
        self._unions: set[int] = set()

    def walk(self) -> None:
        # An explicit stack: depth is bounded by TABLES, but the input decides nothing here.
        stack = [("Model", self._offset(0))]
        while stack:
            name, position = stack.pop()
            fields = self._fields(position)
            if max(fields, default=0) >= len(TABLES[name]):
                # Rewriting the file would drop it without a word.
                raise _UnknownFieldError(f"{name} has a field that this package does not know")
            for index, kind in enumerate(TABLES[name]):
                at = fields.get(index)
                if at is None or kind is None:
                    continue
                if isinstance(kind, int):
                    self._range(at, kind)
                elif kind == "str":
                    self._vector(self._offset(at), 1)
                elif kind == "union":
                    self._union(self._offset(at))
                elif isinstance(kind, str):
                    stack.append((kind, self._offset(at)))
                elif isinstance(kind, list) and isinstance(kind[0], int):
                    self._vector(self._offset(at), kind[0])
                elif isinstance(kind, list):
                    start, count = self._vector(self._offset(at), 4)
                    if count > MAX_TABLES:
                        raise _MalformedError(f"a list of {count} tables")
                    for element in range(count):
                        stack.append((kind[0], self._offset(start + 4 * element)))

    def _range(self, start: int, length: int) -> None:
        if start < 0 or length < 0 or start + length > self._size:
            raise _MalformedError(f"bytes {start} to {start + length} of {self._size}")

    def _spend(self, amount: int) -> None:
        self._budget -= amount
        if self._budget < 0:
            raise _MalformedError("its tables overlap")

    def _offset(self, at: int) -> int:
        """Follows the 32-bit offset stored at `at`."""
        self._range(at, 4)
        target: int = at + struct.unpack_from("<I", self._data, at)[0]
        self._range(target, 4)
        return target

    def _vector(self, at: int, item: int) -> tuple[int, int]:
        """Start and count of the vector at `at`."""
        count: int = struct.unpack_from("<I", self._data, at)[0]
        self._range(at + 4, count * item)
        self._spend(4 + count * item)
        return at + 4, count

    def _fields(self, position: int) -> dict[int, int]:
        """Field index to its position, for those present in the table at `position`."""
        self._tables += 1
        if self._tables > MAX_TABLES:
            raise _MalformedError(f"more than {MAX_TABLES} tables")
        vtable = position - struct.unpack_from("<i", self._data, position)[0]
        self._range(vtable, 4)
        vtable_size, table_size = struct.unpack_from("<HH", self._data, vtable)
        if vtable_size < 4 or vtable_size % 2 or table_size < 4:
            raise _MalformedError(f"table at {position} has a bad header")
        self._range(vtable, vtable_size)
        self._range(position, table_size)
        self._spend(table_size)
        slots = struct.unpack_from(f"<{(vtable_size - 4) // 2}H", self._data, vtable + 4)
        if any(slot >= table_size for slot in slots):
            raise _MalformedError(f"table at {position} has a field outside itself")
        return {index: position + slot for index, slot in enumerate(slots) if slot}

    def _union(self, position: int) -> None:
        """Options tables: their fields are unknown here, so none may be read twice."""
        self._fields(position)
        if position in self._unions:
            raise _MalformedError("two operators share one options table")
        self._unions.add(position)
