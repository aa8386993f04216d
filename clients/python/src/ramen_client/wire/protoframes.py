"""Frames as protobuf: SPEC 7.1. A test holds the tables to ramen.proto."""

from __future__ import annotations

from typing import Any, Dict, Optional

from ..message import JSON, Context, Message, Priority
from .frames import FrameError, GoAwayFrame, HeartbeatFrame, HelloFrame, Opening, PushFrame, ServerFrame
from .protobuf import Field, Table, decode, encode

CONTEXT: Table = {
    "app": Field(1, "text"),
    "app_version": Field(2, "text"),
    "os": Field(3, "text"),
    "os_version": Field(4, "text"),
    "model": Field(5, "text"),
    "locale": Field(6, "text"),
    "labels": Field(7, "map"),
}
OPEN: Table = {
    "user": Field(1, "text"),
    "device": Field(2, "text"),
    "cursor": Field(3, "text"),
    "seq": Field(4, "uint"),
    "context": Field(5, "message", CONTEXT),
    "token": Field(6, "text"),
    "window": Field(7, "uint"),
    "heartbeat_ms": Field(8, "uint"),
    "stream": Field(9, "text"),
}
ACK: Table = {"seq": Field(1, "uint"), "cursor": Field(2, "text")}
HEARTBEAT: Table = {"time_ms": Field(1, "uint")}
REFRESH: Table = {"token": Field(1, "text"), "context": Field(2, "message", CONTEXT)}
HELLO: Table = {
    "resumed": Field(1, "bool"),
    "heartbeat_ms": Field(2, "uint"),
    "timeout_ms": Field(3, "uint"),
    "ack_ms": Field(4, "uint"),
    "time_ms": Field(5, "uint"),
    "expired": Field(6, "uint"),
    "stream": Field(7, "text"),
    "seq": Field(8, "uint"),
    "cursor": Field(9, "text"),
}
MESSAGE: Table = {
    "id": Field(1, "text"),
    "type": Field(2, "text"),
    "priority": Field(3, "uint"),
    "payload": Field(4, "bytes"),
    "content_type": Field(5, "text"),
    "created_ms": Field(6, "uint"),
    "expires_ms": Field(7, "uint"),
    "collapse_key": Field(8, "text"),
    "headers": Field(9, "map"),
}
PUSH: Table = {
    "seq": Field(1, "uint"),
    "message": Field(2, "message", MESSAGE),
    "cursor": Field(3, "text"),
    "redelivered": Field(4, "bool"),
}
GOAWAY: Table = {"reason": Field(1, "text"), "reconnect_ms": Field(2, "uint"), "detail": Field(3, "text")}
SERVER_FRAME: Table = {
    "hello": Field(1, "message", HELLO),
    "push": Field(2, "message", PUSH),
    "heartbeat": Field(3, "message", HEARTBEAT),
    "goaway": Field(4, "message", GOAWAY),
}
DEVICE_FRAME: Table = {
    "open": Field(1, "message", OPEN),
    "ack": Field(2, "message", ACK),
    "heartbeat": Field(3, "message", HEARTBEAT),
    "refresh": Field(4, "message", REFRESH),
}

PRIORITIES = {1: Priority.HIGH, 2: Priority.MEDIUM, 3: Priority.LOW}


def decode_frame(data: bytes) -> Optional[ServerFrame]:
    """A ServerFrame; None where it is none that this version knows."""
    frame = decode(SERVER_FRAME, data)
    for name in reversed(list(frame)):  # of a oneof the last member counts
        values = frame[name]
        if name == "hello":
            return HelloFrame(**values)
        if name == "push":
            return decode_push(values)
        if name == "goaway":
            return GoAwayFrame(**values)
        return HeartbeatFrame(**values)
    return None


def decode_push(values: Dict[str, Any]) -> PushFrame:
    message = decode_message(values.get("message", {}), values.get("seq", 0), values.get("redelivered", False))
    if not message.id:
        raise FrameError("a push without an id")
    return PushFrame(message, values.get("cursor", ""))


def decode_message(values: Dict[str, Any], seq: int = 0, redelivered: bool = False) -> Message:
    values = dict(values)
    priority = PRIORITIES.get(values.pop("priority", 0), Priority.MEDIUM)
    return Message(
        id=values.pop("id", ""),
        priority=priority,
        content_type=values.pop("content_type", "") or JSON,
        redelivered=redelivered,
        seq=seq,
        **values,
    )


def context_values(c: Context) -> Dict[str, Any]:
    return {name: getattr(c, name) for name in CONTEXT}


def encode_open(o: Opening) -> bytes:
    names = ("user", "device", "cursor", "token", "window", "heartbeat_ms")
    values = {name: getattr(o, name) for name in names}
    if o.context != Context():
        values["context"] = context_values(o.context)
    return encode(DEVICE_FRAME, {"open": values})


def encode_ack(seq: int, cursor: str) -> bytes:
    return encode(DEVICE_FRAME, {"ack": {"cursor": cursor} if cursor else {"seq": seq}})


def encode_heartbeat(time_ms: int) -> bytes:
    return encode(DEVICE_FRAME, {"heartbeat": {"time_ms": time_ms}})


def encode_refresh(token: str, context: Optional[Context]) -> bytes:
    refresh: Dict[str, Any] = {"token": token}
    if context is not None:
        refresh["context"] = context_values(context)
    return encode(DEVICE_FRAME, {"refresh": refresh})
