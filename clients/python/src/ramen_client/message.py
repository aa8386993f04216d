"""What an app sees of the wire: messages, hellos, and what a device says of itself."""

from __future__ import annotations

import enum
import json
from dataclasses import dataclass, field
from typing import Any, Mapping


class Priority(str, enum.Enum):
    """The lane of a message. SPEC 2.5"""

    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"

    def __str__(self) -> str:
        return self.value


JSON = "application/json"
"""The content type of a message whose publisher named none."""


@dataclass(frozen=True)
class Message:
    """One message, as a device gets it."""

    id: str
    type: str = ""
    priority: Priority = Priority.MEDIUM
    payload: bytes = b""
    """The bytes that were published; JSON comes without white space between its tokens."""
    content_type: str = JSON
    created_ms: int = 0
    """When it was accepted, in ms since 1970 by the server's clock."""
    expires_ms: int = 0
    """From when on the server pushes it no more."""
    collapse_key: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    redelivered: bool = False
    """A hint that this device was pushed the message before. SPEC 2.6.4"""
    seq: int = 0
    """The number of the push; only good for logs."""

    def json(self) -> Any:
        """The payload as JSON; None where it is empty. Raises ValueError where it is no JSON."""
        return json.loads(self.payload) if self.payload else None

    @property
    def text(self) -> str:
        """The payload as UTF-8 text."""
        return self.payload.decode("utf-8")


@dataclass(frozen=True)
class Hello:
    """The server's first word on a stream."""

    resumed: bool
    """The stream goes on from where the device stood."""
    expired: int
    """How many messages expired unseen since the last hello. SPEC 2.2.8"""
    stream: str
    """The server's name of the stream, for logs."""
    transport: str
    time_ms: int
    """The server's clock, in ms since 1970; 0 over long-poll."""


@dataclass(frozen=True)
class Context:
    """What a device says of itself: 1 KiB in all, 16 labels. Publishers choose devices by it (`where`)."""

    app: str = ""
    app_version: str = ""
    os: str = ""
    os_version: str = ""
    model: str = ""
    locale: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)

    def size(self) -> int:
        """The bytes that count against the limit, keys of labels included. SPEC 1.1.3"""
        own = (self.app, self.app_version, self.os, self.os_version, self.model, self.locale)
        pairs = [text for pair in self.labels.items() for text in pair]
        return sum(len(text.encode("utf-8", "surrogatepass")) for text in (*own, *pairs))


MAX_CONTEXT = 1024
MAX_LABELS = 16
