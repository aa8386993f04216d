"""Frames as JSON: SPEC 5, 6.2, 4.4."""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any, Dict, List, Optional, Tuple

from ..message import JSON, Context, Message, Priority
from .frames import (
    FrameError,
    GoAwayFrame,
    HeartbeatFrame,
    HelloFrame,
    PollAnswer,
    PushFrame,
    ServerFrame,
    context_fields,
    valid_cursor,
)
from .jsonscan import Span, elements, members, space, value_end


def decode_text_frame(text: str) -> Optional[ServerFrame]:
    """A WebSocket's text frame; None where it is none that this version knows. SPEC 6.2"""
    if not text:
        return HeartbeatFrame()
    for name, span in members(text, _whole(text)):
        if name == "push":
            return decode_push(text[slice(*span)])
        if name == "hello":
            return decode_hello(text[slice(*span)])
        if name == "goaway":
            return decode_goaway(text[slice(*span)])
    return None


def decode_event(name: str, event_id: str, data: str) -> Optional[ServerFrame]:
    """An SSE event; None where its name is unknown. SPEC 5.1 to 5.3"""
    if name in ("", "message"):
        return decode_push(data, event_id)
    if name == "hello":
        return decode_hello(data, event_id)
    if name == "goaway":
        return decode_goaway(data)
    return HeartbeatFrame() if name == "heartbeat" else None


def decode_hello(text: str, cursor: str = "") -> HelloFrame:
    o = _object(text)
    return HelloFrame(
        resumed=_bool(o, "resumed"),
        stream=_str(o, "stream"),
        seq=_int(o, "seq"),
        heartbeat_ms=_int(o, "heartbeat_ms"),
        timeout_ms=_int(o, "timeout_ms"),
        ack_ms=_int(o, "ack_ms"),
        time_ms=_int(o, "time_ms"),
        expired=_int(o, "expired"),
        cursor=cursor or _str(o, "cursor"),
    )


def decode_goaway(text: str) -> GoAwayFrame:
    o = _object(text)
    return GoAwayFrame(_str(o, "reason"), _int(o, "reconnect_ms"), _str(o, "detail"))


def decode_push(text: str, cursor: str = "") -> PushFrame:
    """A push, its payload byte by byte. SPEC 5.2"""
    o, payload = _split(text, "payload")
    content_type = _str(o, "content_type") or JSON
    if payload is not None:
        raw = text[slice(*payload)].encode("utf-8", "surrogatepass")
    else:
        raw = _base64(_str(o, "payload_b64"))
    message = Message(
        id=_str(o, "id"),
        type=_str(o, "type"),
        priority=_priority(_str(o, "priority")),
        payload=raw,
        content_type=content_type,
        created_ms=_int(o, "created_ms"),
        expires_ms=_int(o, "expires_ms"),
        collapse_key=_str(o, "collapse_key"),
        headers=_texts(o, "headers"),
        redelivered=_bool(o, "redelivered"),
        seq=_int(o, "seq"),
    )
    if not message.id:
        raise FrameError("a push without an id")
    return PushFrame(message, cursor or _str(o, "cursor"))


def decode_poll(text: str) -> PollAnswer:
    """The body of a poll's answer. SPEC 5.6"""
    o, span = _split(text, "messages")
    if "stream" not in o or "resumed" not in o or not valid_cursor(o.get("cursor")):
        raise FrameError("not the answer of a poll")
    messages: List[Message] = []
    if span is not None and text[span[0]] == "[":
        messages = [decode_push(text[slice(*s)]).message for s in elements(text, span[0])]
    goaway = o.get("goaway")
    return PollAnswer(
        resumed=_bool(o, "resumed"),
        stream=_str(o, "stream"),
        expired=_int(o, "expired"),
        cursor=_str(o, "cursor"),
        messages=messages,
        goaway=decode_goaway(json.dumps(goaway)) if goaway else None,
    )


def decode_error(body: bytes) -> Optional[Tuple[str, str]]:
    """Code and message of SPEC 4.4.1; None where the body is somebody else's."""
    try:
        error = json.loads(body)["error"]
        code, message = error["code"], error.get("message", "")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return (code, str(message)) if isinstance(code, str) and code else None


def encode_ack(seq: int, cursor: str) -> str:
    return _dump({"ack": {"cursor": cursor} if cursor else {"seq": seq}})


def encode_refresh(token: str, context: Optional[Context]) -> str:
    refresh: Dict[str, Any] = {}
    if token:
        refresh["token"] = token
    if context is not None:
        refresh["context"] = dict(context_fields(context))
        if context.labels:
            refresh["context"]["labels"] = dict(context.labels)
    return _dump({"refresh": refresh})


def _dump(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _whole(text: str) -> int:
    """Where the one value of text begins; nothing stands behind it."""
    at = space(text, 0)
    if space(text, value_end(text, at)) != len(text):
        raise FrameError("text behind a JSON value")
    return at


def _split(text: str, apart: str) -> Tuple[Dict[str, Any], Optional[Span]]:
    """The members of an object but one, which is left as it is written."""
    rest: Dict[str, Any] = {}
    span: Optional[Span] = None
    for name, (begin, end) in members(text, _whole(text)):
        if name == apart:
            span = (begin, end)
            continue
        try:
            rest[name] = json.loads(text[begin:end])
        except (ValueError, RecursionError) as e:
            raise FrameError(f"{name} is no JSON") from e
    return rest, span


def _object(text: str) -> Dict[str, Any]:
    try:
        o = json.loads(text)
    except (ValueError, RecursionError) as e:
        raise FrameError("not JSON") from e
    if not isinstance(o, dict):
        raise FrameError("not a JSON object")
    return o


def _str(o: Dict[str, Any], name: str) -> str:
    v = o.get(name)
    if v is None:
        return ""
    if not isinstance(v, str):
        raise FrameError(f"{name} is no text")
    return v


def _int(o: Dict[str, Any], name: str) -> int:
    v = o.get(name)
    if v is None:
        return 0
    if isinstance(v, float) and v.is_integer():
        v = int(v)
    if not isinstance(v, int) or isinstance(v, bool) or v < 0:
        raise FrameError(f"{name} is no whole number")
    return v


def _bool(o: Dict[str, Any], name: str) -> bool:
    v = o.get(name)
    if v is not None and not isinstance(v, bool):
        raise FrameError(f"{name} is neither true nor false")
    return bool(v)


def _texts(o: Dict[str, Any], name: str) -> Dict[str, str]:
    v = o.get(name)
    if v is None:
        return {}
    if not isinstance(v, dict) or not all(isinstance(t, str) for t in v.values()):
        raise FrameError(f"{name} are no texts")
    return v


def _priority(text: str) -> Priority:
    try:
        return Priority(text)
    except ValueError:
        return Priority.MEDIUM  # of a newer server. C 4.1


def _base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as e:
        raise FrameError("payload_b64 is no base64") from e
