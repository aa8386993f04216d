"""The calls of backends as protobuf: SPEC 7.1. A test holds the tables to ramen.proto."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Sequence

from ..message import Context, Message, Priority
from ..wire.protobuf import Field, Table, decode, encode
from ..wire.protoframes import CONTEXT, MESSAGE, decode_message
from .publication import KnownDevice

PUBLISH: Table = {
    "user": Field(1, "text"),
    "device": Field(2, "text"),
    "id": Field(3, "text"),
    "type": Field(4, "text"),
    "priority": Field(5, "uint"),
    "payload": Field(6, "bytes"),
    "content_type": Field(7, "text"),
    "ttl_ms": Field(8, "uint"),
    "collapse_key": Field(9, "text"),
    "headers": Field(10, "map"),
    "where": Field(11, "map"),
    "users": Field(12, "text", repeated=True),
}
ERROR: Table = {"code": Field(1, "text"), "message": Field(2, "text")}
RESULT: Table = {
    "id": Field(1, "text"),
    "status": Field(2, "uint"),
    "error": Field(3, "message", ERROR),
    "devices": Field(4, "uint"),
}
DEVICE: Table = {
    "device": Field(1, "text"),
    "online": Field(2, "bool"),
    "transport": Field(3, "text"),
    "context": Field(4, "message", CONTEXT),
    "connected_ms": Field(5, "uint"),
    "last_seen_ms": Field(6, "uint"),
    "pending": Field(7, "uint"),
    "unacked": Field(8, "uint"),
    "rtt_ms": Field(9, "uint"),
}
TABLES: Dict[str, Table] = {
    "Publish": PUBLISH,
    "Error": ERROR,
    "PublishResult": RESULT,
    "Device": DEVICE,
    "PublishRequest": {"messages": Field(1, "message", PUBLISH, repeated=True)},
    "PublishResponse": {"results": Field(1, "message", RESULT, repeated=True)},
    "ListDevicesRequest": {"user": Field(1, "text")},
    "ListDevicesResponse": {"devices": Field(1, "message", DEVICE, repeated=True)},
    "ListMessagesRequest": {"user": Field(1, "text")},
    "ListMessagesResponse": {"messages": Field(1, "message", MESSAGE, repeated=True)},
    "RecallRequest": {"user": Field(1, "text"), "id": Field(2, "text")},
    "RecallResponse": {"recalled": Field(1, "bool")},
    "DisconnectRequest": {"user": Field(1, "text"), "device": Field(2, "text"), "detail": Field(3, "text")},
    "DisconnectResponse": {"streams": Field(1, "uint")},
}

_PRIORITIES = {Priority.HIGH: 1, Priority.MEDIUM: 2, Priority.LOW: 3}
_STATUSES = {1: "accepted", 2: "duplicate", 3: "rejected"}


def to_proto(values: Mapping[str, Any], users: Sequence[str]) -> bytes:
    """A message as one field of a PublishRequest."""
    fields: Dict[str, Any] = dict(values, priority=_PRIORITIES[values["priority"]])
    if len(users) == 1:
        fields["user"] = users[0]
    else:
        fields["users"] = list(users)
    return encode(TABLES["PublishRequest"], {"messages": [fields]})


def results_of(data: bytes) -> List[Dict[str, Any]]:
    """The results in the shape of SPEC 8.3.3."""
    results: List[Dict[str, Any]] = decode(TABLES["PublishResponse"], data).get("results", [])
    return [dict(r, status=_STATUSES.get(r.get("status", 0), "")) for r in results]


def devices_of(data: bytes) -> List[KnownDevice]:
    found = decode(TABLES["ListDevicesResponse"], data).get("devices", [])
    return [KnownDevice(**dict(d, context=Context(**d.get("context", {})))) for d in found]


def messages_of(data: bytes) -> List[Message]:
    return [decode_message(m) for m in decode(TABLES["ListMessagesResponse"], data).get("messages", [])]
