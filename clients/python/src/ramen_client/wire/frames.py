"""The frames of a stream as plain values (SPEC 2, 5, 7), whatever the encoding."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Dict, List, Optional, Union

from ..message import Context, Message

MAX_FRAME = 16 << 20
"""The longest frame, event or answer that is taken from a server, in bytes. C 4.9"""

MAX_ERROR_BODY = 64 << 10
"""How much of an error's body is read, in bytes. C 3.5, 4.9"""

_CURSOR = re.compile(r"[A-Za-z0-9._-]{1,128}")


def valid_cursor(text: object) -> bool:
    """Whether text is a cursor. SPEC 1.1.9"""
    return isinstance(text, str) and _CURSOR.fullmatch(text) is not None


class FrameError(ValueError):
    """Bytes that are no frame of the contract."""


@dataclass(frozen=True)
class HelloFrame:
    """SPEC 2.2."""

    resumed: bool = False
    stream: str = ""
    seq: int = 0
    heartbeat_ms: int = 0
    timeout_ms: int = 0
    ack_ms: int = 0
    time_ms: int = 0
    expired: int = 0
    cursor: str = ""


@dataclass(frozen=True)
class PushFrame:
    """One message. Within a poll's answer only the last push has a cursor."""

    message: Message
    cursor: str = ""

    @property
    def seq(self) -> int:
        return self.message.seq


@dataclass(frozen=True)
class HeartbeatFrame:
    """SPEC 2.8. time_ms is sent over gRPC alone."""

    time_ms: int = 0


@dataclass(frozen=True)
class GoAwayFrame:
    """SPEC 5.3. retry_ms is the retry: line of a refused SSE stream (SPEC 5.4.1), 0 elsewhere."""

    reason: str = ""
    reconnect_ms: int = 0
    detail: str = ""
    retry_ms: int = 0


ServerFrame = Union[HelloFrame, PushFrame, HeartbeatFrame, GoAwayFrame]


@dataclass(frozen=True)
class PollAnswer:
    """SPEC 5.6.2."""

    resumed: bool = False
    stream: str = ""
    expired: int = 0
    cursor: str = ""
    messages: List[Message] = field(default_factory=list)
    goaway: Optional[GoAwayFrame] = None


@dataclass(frozen=True)
class Opening:
    """What a device says when it opens a stream. SPEC 4.2, Open of 7.1."""

    user: str = ""
    device: str = ""
    cursor: str = ""
    context: Context = field(default_factory=Context)
    token: str = ""
    window: int = 0
    heartbeat_ms: int = 0


def context_fields(c: Context) -> Dict[str, str]:
    """The texts of a context that are not empty, labels apart."""
    names = ("app", "app_version", "os", "os_version", "model", "locale")
    return {name: getattr(c, name) for name in names if getattr(c, name)}
