"""How a stream ended, and what follows: the table of C 6.1, as functions without side effects."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Optional

MAX_RETRY_AFTER = 60.0
"""The most that is waited for a Retry-After, in s. C 7.3"""

MAX_RECONNECT = 300.0
"""The most that a goaway's reconnect_ms may ask for, in s."""

REASONS = frozenset(
    (
        "drain",
        "rebalance",
        "superseded",
        "unauthenticated",
        "permission_denied",
        "invalid_argument",
        "resource_exhausted",
        "ack_timeout",
        "too_slow",
        "unavailable",
        "disconnected",
        "internal",
    )
)
"""The reasons that this version knows. Any other counts as none. C 4.1"""

MOVING = frozenset(("drain", "rebalance"))


class By(enum.Enum):
    """Who ended the stream."""

    NETWORK = "network"  # nobody said anything that counts: the network, a proxy, a server that is not RAMEN
    SERVER = "server"  # an answer of the server's: C 1.4
    SILENCE = "silence"
    DEVICE = "device"  # the handler failed, a push was missing, an ack was refused: says nothing of the transport
    TOKEN = "token"  # the app had none
    STOP = "stop"  # the device stops, or has replaced the stream


@dataclass(frozen=True)
class End:
    """An end, read."""

    by: By
    reason: str = ""
    """One of REASONS; empty where nothing known was said."""
    detail: str = ""
    retry_after: float = 0.0
    within: float = 0.0
    """A goaway's reconnect_ms in s: the next stream's moment lies within it."""
    reached: bool = True
    """The opening may have reached the server. C 6.3"""

    def __str__(self) -> str:
        said = self.reason or self.by.value
        return f"{said}: {self.detail}" if self.detail else said


class EndError(Exception):
    """Carries an End out of a connection."""

    def __init__(self, end: End) -> None:
        super().__init__(str(end))
        self.end = end


def cut(detail: str, reached: bool = True) -> EndError:
    """An end that nobody announced."""
    return EndError(End(By.NETWORK, detail=detail, reached=reached))


def said(reason: str, detail: str = "", retry_after: float = 0.0, within: float = 0.0) -> End:
    """An end with a reason of the server's; an unknown one is none."""
    if reason not in REASONS:
        return End(By.NETWORK, detail=f"{reason}: {detail}" if detail else reason)
    return End(By.SERVER, reason, detail, min(retry_after, MAX_RETRY_AFTER), min(within, MAX_RECONNECT))


class Next(enum.Enum):
    """What follows an end."""

    FINAL = "final"
    PAUSE = "pause"  # C 7
    TOKEN = "token"  # C 9.3: a pause, and another token


def follows(end: End, opening: bool, has_callback: bool) -> Next:
    """What the device does after a stream's end. opening: it had not said hello. C 6.1"""
    if end.reason in ("unauthenticated", "permission_denied"):
        return Next.TOKEN if has_callback else Next.FINAL
    if end.reason in ("superseded", "disconnected"):
        return Next.FINAL
    if end.reason == "invalid_argument" and opening:
        return Next.FINAL
    return Next.PAUSE


def counts_for_transport(end: End) -> bool:
    """Whether the end may be the transport's fault. C 11.2"""
    return end.by in (By.NETWORK, By.SILENCE)


_CLOSE_CODES = {
    4400: "invalid_argument",
    4401: "unauthenticated",
    4403: "permission_denied",
    4404: "disconnected",
    4409: "superseded",
    4508: "ack_timeout",
    4513: "too_slow",
    4529: "resource_exhausted",
}


def of_close_code(code: Optional[int], text: str) -> End:
    """The end of a WebSocket. Codes from 1000 to 1015 come from anybody. SPEC 6.3"""
    if code in _CLOSE_CODES:
        return said(_CLOSE_CODES[code], text)
    if code is not None and 4400 <= code < 4500:  # SPEC 6.3.15: do not come back as you are
        return said("disconnected", f"close code {code}: {text}")
    if code is not None and 4500 <= code < 4600:
        return said("unavailable", f"close code {code}: {text}")
    return End(By.NETWORK, detail=f"close code {code}: {text}" if code else "connection lost")


_GRPC_STATUSES = {
    "ABORTED": "superseded",
    "UNAUTHENTICATED": "unauthenticated",
    "PERMISSION_DENIED": "permission_denied",
    "INVALID_ARGUMENT": "invalid_argument",
    "RESOURCE_EXHAUSTED": "resource_exhausted",
}


def of_grpc_status(name: str, text: str) -> End:
    """The end of a gRPC stream. SPEC 7.2"""
    reason = _GRPC_STATUSES.get(name)
    # grpc makes statuses of its own from what a proxy answers, and from what it refuses itself.
    foreign = "http2 header with status" in text or text.startswith("CLIENT:")
    if reason is None or foreign:
        return End(By.NETWORK, detail=f"{name}: {text}")
    if text.startswith(reason + ": "):
        text = text[len(reason) + 2 :]
    return said(reason, text)


_CODES = {"too_large": "invalid_argument"}


def of_http_error(status: int, code: str, message: str, retry_after: float) -> End:
    """The answer to a refused request. code is that of SPEC 4.4.1's body, empty without one. C 6.1, 6.4"""
    if status in (404, 405):
        return End(By.NETWORK, detail=f"http status {status}: {message}", retry_after=retry_after)
    if code:
        reason = _CODES.get(code, code)
        return said(reason if reason in REASONS else "internal", message, retry_after)
    if status == 401:
        return said("unauthenticated", "http status 401")
    return End(By.NETWORK, detail=f"http status {status}", retry_after=retry_after)


def read_retry_after(value: Optional[str]) -> float:
    """Retry-After in s, 60 at most; 0 where there is none, or a date."""
    text = (value or "").strip()
    return min(float(text), MAX_RETRY_AFTER) if text.isascii() and text.isdigit() and len(text) < 10 else 0.0
