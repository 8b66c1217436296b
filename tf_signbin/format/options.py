"""Options of a packed operator to and from the FlexBuffer map that the file holds."""

from __future__ import annotations

import dataclasses

from flatbuffers import flexbuffers

from tf_signbin.format.errors import ModelError
from tf_signbin.format.spec import OPTION_KEYS, OpOptions

_TEXT_KEYS = ("activation", "kind", "padding")
_MAX_BYTES = 4096  # an encoded map has about 300


def encode_options(options: OpOptions) -> bytes:
    """The FlexBuffer map of docs/format.md; equal options give equal bytes."""
    return bytes(flexbuffers.Dumps(dataclasses.asdict(options)))


def decode_options(data: bytes) -> OpOptions:
    """Reads an untrusted FlexBuffer map; ModelError names the key that is wrong."""
    if not 0 < len(data) <= _MAX_BYTES:
        raise ModelError(f"operator options have {len(data)} bytes")
    try:
        fields = _read_map(data)
        unknown = sorted(set(fields) - set(OPTION_KEYS))
        missing = sorted(set(OPTION_KEYS) - set(fields))
    except ModelError:
        raise
    except Exception as error:  # the flexbuffers reader raises whatever the bytes provoke
        raise ModelError(f"operator options are not a FlexBuffer map: {error}") from error
    if "version" in fields and fields["version"] != 1:
        raise ModelError(f"option version is {fields['version']}; this package knows 1")
    if unknown or missing:
        raise ModelError(f"operator options: unknown keys {unknown}, missing keys {missing}")
    return OpOptions(**fields)  # type: ignore[arg-type]


def _read_map(data: bytes) -> dict[str, int | str]:
    """Flat maps only: nested values are refused before they are read, so nothing can blow up."""
    root = flexbuffers.GetRoot(data)
    if not root.IsMap:
        raise ModelError("operator options are not a FlexBuffer map")
    entries = root.AsMap
    if len(entries) > 64:
        raise ModelError(f"operator options have {len(entries)} keys")
    fields: dict[str, int | str] = {}
    for index in range(len(entries)):
        key = str(entries.Keys[index].AsKey)
        value = entries.Values[index]
        if key in _TEXT_KEYS:
            if not value.IsString:
                raise ModelError(f"option {key} is not a string")
            fields[key] = str(value.AsString)
        else:
            if not value.IsInt:
                raise ModelError(f"option {key} is not an integer")
            fields[key] = int(value.AsInt)
    return fields
