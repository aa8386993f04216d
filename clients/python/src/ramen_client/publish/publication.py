"""What is published, and what becomes of it."""

from __future__ import annotations

import base64
import enum
import json
from dataclasses import dataclass, field
from typing import Any, Dict, List, Mapping, Optional, Sequence, Union

from ..errors import PublishError, SettingError
from ..message import JSON, Context, Priority
from ..settings import check_name
from .ids import new_id

MOST_USERS = 1000
"""Of one request. SPEC 8.3.1"""
MOST_PAYLOAD = 1 << 20
"""No server takes more, in bytes. SPEC 1.1.4"""
MOST_TTL = 30 * 24 * 3600.0
"""s."""


class _Absent(enum.Enum):
    ABSENT = "absent"


ABSENT = _Absent.ABSENT
"""No payload; None is JSON's null."""


class Status(str, enum.Enum):
    """SPEC 8.3.3, and unknown: no answer came in time."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    REJECTED = "rejected"
    UNKNOWN = "unknown"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True)
class Result:
    """What became of one message for one user."""

    id: str
    user: str
    status: Status = Status.UNKNOWN
    devices: int = 0
    """The known devices that it is for."""
    error: Optional[PublishError] = None
    """Where it was rejected."""


@dataclass(frozen=True)
class KnownDevice:
    """A device as a backend sees it. SPEC 7.1"""

    device: str
    online: bool = False
    transport: str = ""
    context: Context = field(default_factory=Context)
    connected_ms: int = 0
    last_seen_ms: int = 0
    pending: int = 0
    """Messages for it, alive and not acked."""
    unacked: int = 0
    """Of these, pushed on its stream."""
    rtt_ms: int = 0


@dataclass(frozen=True)
class Publication:
    """One message to publish. SPEC 7.1's Publish says more of each field."""

    user: str = ""
    users: Sequence[str] = ()
    """Instead of user: the same message to each."""
    payload: Any = ABSENT
    """Any JSON value."""
    data: bytes = b""
    """Instead of payload: bytes of content_type."""
    content_type: str = ""
    """Of data; empty: application/json."""
    type: str = ""
    priority: Union[Priority, str] = Priority.MEDIUM
    ttl: float = 0.0
    """How long it is worth delivering, in s; 0: the server's default, 30 min."""
    id: str = ""
    """Empty: one is drawn. The same id for the same user is delivered once."""
    device: str = ""
    """Empty: every device of the user."""
    collapse_key: str = ""
    """It replaces the user's older messages of the same key and target."""
    headers: Mapping[str, str] = field(default_factory=dict)
    where: Mapping[str, str] = field(default_factory=dict)
    """Only devices whose context has these values: app, os, label.NAME."""

    def values(self) -> Dict[str, Any]:
        """The fields of Publish but user and users, with an id. Raises SettingError for what would spoil the request that it goes in."""
        if self.payload is not ABSENT and self.data:
            raise SettingError("data", self.data[:32], "give payload or data, not both")
        values: Dict[str, Any] = {"id": self.id or new_id(), "priority": self._priority(), "payload": self._bytes()}
        for name in ("id", "type", "device", "collapse_key"):
            text = values.get(name, getattr(self, name, ""))
            if text:
                check_name(name, text)
                values[name] = text
        for name in ("headers", "where"):
            texts = dict(getattr(self, name))
            if not all(isinstance(t, str) for pair in texts.items() for t in pair):
                raise SettingError(name, texts, "keys and values are texts")
            if texts:
                values[name] = texts
        if self.content_type:
            values["content_type"] = _text("content_type", self.content_type)
        if self.ttl:
            if not isinstance(self.ttl, (int, float)) or not 1 <= self.ttl <= MOST_TTL:
                raise SettingError("ttl", self.ttl, f"use 1 to {MOST_TTL:g} s, or 0 for the server's default")
            values["ttl_ms"] = round(self.ttl * 1000)
        return values

    def _priority(self) -> Priority:
        try:
            return Priority(self.priority)
        except ValueError:
            raise SettingError("priority", self.priority, "use high, medium or low") from None

    def _bytes(self) -> bytes:
        if self.payload is ABSENT:
            raw = self.data
            if not isinstance(raw, (bytes, bytearray, memoryview)):
                raise SettingError("data", raw, "give bytes; payload takes any JSON value")
            raw = bytes(raw)
            if not self.content_type and raw:
                _check_json(raw)
        else:
            try:
                raw = json.dumps(self.payload, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode("utf-8")
            except (TypeError, ValueError, RecursionError) as e:
                raise SettingError("payload", type(self.payload).__name__, f"it is no JSON: {e}") from e
        if len(raw) > MOST_PAYLOAD:
            raise SettingError("payload", f"{len(raw)} bytes", f"use {MOST_PAYLOAD} bytes at most")
        return raw

    def targets(self) -> List[str]:
        """The users. Raises SettingError unless there is one of user and users."""
        if bool(self.user) == bool(self.users) or isinstance(self.users, str):
            raise SettingError("user", self.user, "give one of user and users")
        return list(self.users) if self.users else [self.user]


def _text(name: str, text: str) -> str:
    if not isinstance(text, str) or not text.isascii() or not text.isprintable():
        raise SettingError(name, text, "use printable ASCII")
    return text


def _check_json(raw: bytes) -> None:
    try:
        json.loads(raw.decode("utf-8"))
    except (ValueError, RecursionError) as e:
        raise SettingError("data", raw[:32], f"it is no JSON; name its content_type: {e}") from None


def is_json(content_type: str) -> bool:
    """SPEC 9.5.1"""
    return content_type.split(";")[0].strip(" \t").lower() in ("", JSON)


def to_json(values: Mapping[str, Any], users: Sequence[str]) -> bytes:
    """A message as the body of a publish has it, its payload byte by byte. SPEC 8.3"""
    fields: Dict[str, Any] = {k: v for k, v in values.items() if k != "payload"}
    fields["priority"] = str(fields["priority"])
    if len(users) == 1:
        fields["user"] = users[0]
    else:
        fields["users"] = list(users)
    payload: bytes = values["payload"]
    spliced = bool(payload) and is_json(values.get("content_type", ""))
    if payload and not spliced:
        fields["payload_b64"] = base64.b64encode(payload).decode("ascii")
    text = json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
    return text[:-1] + b',"payload":' + payload + b"}" if spliced else text
