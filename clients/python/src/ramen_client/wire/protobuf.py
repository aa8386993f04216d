"""Protobuf by tables of fields, without a dependency.

Google's runtime refuses code that another release of its compiler has made, so that a library with generated code and the app
around it have to agree on a version. The contract's messages are few and flat: a table each (protoframes.py, publish/protobackend.py),
which a test holds to ramen.proto.
"""

from __future__ import annotations

from typing import Any, Dict, Iterator, List, Mapping, NamedTuple, Tuple, Union

from .frames import FrameError


class Field(NamedTuple):
    number: int
    kind: str
    """uint, bool, text, bytes, map (texts by text), message."""
    message: Mapping[str, Any] = {}
    """The table of a message's fields."""
    repeated: bool = False


Table = Mapping[str, Field]
Values = Dict[str, Any]


def _varint(n: int) -> bytes:
    if n < 0x80:
        return bytes((n,))
    out = bytearray()
    while n >= 0x80:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    out.append(n)
    return bytes(out)


def encode(table: Table, values: Mapping[str, Any]) -> bytes:
    """The message of values. What is absent or a zero is left out, but messages."""
    out: List[bytes] = []
    for name, field in sorted(table.items(), key=lambda item: item[1].number):
        value = values.get(name)
        if value is None:
            continue
        for v in value if field.repeated else (value,):
            _encode_field(out, field, v)
    return b"".join(out)


def _encode_field(out: List[bytes], field: Field, value: Any) -> None:
    if field.kind in ("uint", "bool"):
        if value:
            out.append(_varint(field.number << 3))
            out.append(_varint(int(value)))
        return
    if field.kind == "map":
        for k in sorted(value):
            entry: List[bytes] = []
            _encode_bytes(entry, 1, _raw(k))
            _encode_bytes(entry, 2, _raw(value[k]))
            _encode_bytes(out, field.number, b"".join(entry))
        return
    raw = encode(field.message, value) if field.kind == "message" else _raw(value)
    if raw or field.kind == "message" or field.repeated:
        _encode_bytes(out, field.number, raw)


def _raw(value: Union[str, bytes]) -> bytes:
    return value.encode("utf-8") if isinstance(value, str) else value


def _encode_bytes(out: List[bytes], number: int, raw: bytes) -> None:
    out.append(_varint(number << 3 | 2))
    out.append(_varint(len(raw)))
    out.append(raw)


_ENTRY: Table = {"key": Field(1, "text"), "value": Field(2, "text")}


def decode(table: Table, data: bytes) -> Values:
    """The values of a message. Unknown fields are dropped; of a field that comes twice the last counts, messages are merged."""
    by_number = {field.number: (name, field) for name, field in table.items()}
    values: Values = {}
    for number, wire_type, value in _fields(data):
        known = by_number.get(number)
        if known is not None:
            _decode_field(values, known[0], known[1], wire_type, value)
    return values


def _decode_field(values: Values, name: str, field: Field, wire_type: int, value: Any) -> None:
    if wire_type != (0 if field.kind in ("uint", "bool") else 2):
        raise FrameError(f"{name} has wire type {wire_type}")
    if field.kind == "bool":
        value = bool(value)
    elif field.kind == "text":
        value = _text(name, value)
    elif field.kind == "map":
        entry = decode(_ENTRY, value)
        values.setdefault(name, {})[entry.get("key", "")] = entry.get("value", "")
        return
    elif field.kind == "message":
        value = decode(field.message, value)
        if not field.repeated and name in values:
            values[name].update(value)
            return
    if field.repeated:
        values.setdefault(name, []).append(value)
    else:
        values[name] = value


def _text(name: str, raw: bytes) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as e:
        raise FrameError(f"{name} is not UTF-8") from e


def _fields(data: bytes) -> Iterator[Tuple[int, int, Any]]:
    """Number, wire type and value of each field. Groups and fixed numbers, which the contract has none of, have None."""
    at, end = 0, len(data)
    groups: List[int] = []
    while at < end:
        tag, at = _read_varint(data, at)
        number, wire_type = tag >> 3, tag & 7
        if number == 0 or number >= 1 << 29:
            raise FrameError(f"field {number}")
        value: Any = None
        if wire_type == 0:
            value, at = _read_varint(data, at)
        elif wire_type == 2:
            size, at = _read_varint(data, at)
            value, at = data[at : at + size], at + size
        elif wire_type in (1, 5):
            at += 8 if wire_type == 1 else 4
        elif wire_type == 3:
            groups.append(number)
        elif wire_type != 4 or not groups or groups.pop() != number:
            raise FrameError(f"wire type {wire_type}")
        if at > end:
            raise FrameError("protobuf is cut off")
        if not groups and wire_type != 4:
            yield number, wire_type, value
    if groups:
        raise FrameError("a group without an end")


def _read_varint(data: bytes, at: int) -> Tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(data):
            raise FrameError("protobuf is cut off")
        b = data[at]
        at += 1
        value |= (b & 0x7F) << shift
        if b < 0x80:
            return value & 0xFFFFFFFFFFFFFFFF, at
        shift += 7
        if shift >= 70:
            raise FrameError("a number of eleven bytes")
