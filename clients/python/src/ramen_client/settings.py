"""A device's settings, checked where they are given: C 13.3."""

from __future__ import annotations

import importlib.util
import ssl as ssl_module
from dataclasses import dataclass, field, replace
from typing import Any, Dict, List, Mapping, Optional, Sequence
from urllib.parse import urlsplit

from ._version import VERSION
from .errors import SettingError
from .message import MAX_CONTEXT, MAX_LABELS, Context

TRANSPORTS = ("ws", "ws-proto", "ws-json", "sse", "poll", "grpc")
_MODULES = {"ws": "websockets", "sse": "httpx", "poll": "httpx", "grpc": "grpc"}


def kind(transport: str) -> str:
    """The transport as the server names it. SPEC 7.3.4"""
    return "ws" if transport.startswith("ws") else transport


def two_way(transport: str) -> bool:
    """Whether the device answers on the stream itself. SPEC 1.1.11"""
    return kind(transport) in ("ws", "grpc")


def window_of(transport: str) -> "tuple[int, int]":
    """Pushes and bytes of payload that may be unacked at once. SPEC 2.10"""
    return (256, 1 << 20) if two_way(transport) else (1024, 4 << 20)


@dataclass(frozen=True)
class Settings:
    """Device says what each is for."""

    url: str = ""
    grpc: str = ""
    user: str = ""
    device: str = ""
    has_token: bool = False
    transports: Sequence[str] = ()
    context: Context = field(default_factory=Context)
    headers: Mapping[str, str] = field(default_factory=dict)
    ssl: Optional[ssl_module.SSLContext] = None
    grpc_credentials: Any = None
    window: int = 0
    heartbeat: float = 0.0
    poll_wait: float = 25.0
    connect_timeout: float = 10.0
    fallback_after: int = 2
    prefer_after: float = 300.0
    close_timeout: float = 5.0

    @property
    def heartbeat_ms(self) -> int:
        return round(self.heartbeat * 1000)


def checked(s: Settings) -> Settings:
    """The settings with defaults filled in. Raises SettingError."""
    if not s.url and not s.grpc:
        raise SettingError("url", s.url, "give url, such as https://push.example.com, or grpc, such as push.example.com:8081")
    if s.url:
        check_url("url", s.url)
    if s.grpc:
        check_target("grpc", s.grpc)
    _check_identity(s)
    _number("window", s.window, 0, 1 << 31, "use 1 push or more, or 0 for the transport's most")
    if s.heartbeat:
        _number("heartbeat", s.heartbeat, 1, 60, "use 1 to 60 s, or 0 for the server's")
    _number("poll_wait", s.poll_wait, 1, 60, "use 1 to 60 s")
    _number("connect_timeout", s.connect_timeout, 0.001, 3600, "use more than 0 s")
    _number("fallback_after", s.fallback_after, 1, 1 << 31, "use 1 attempt or more")
    _number("prefer_after", s.prefer_after, float("-inf"), float("inf"), "use seconds, or a negative number for never")
    _number("close_timeout", s.close_timeout, 0, 3600, "use 0 s or more")
    return replace(s, transports=_transports(s), context=own_labels(check_context(s.context)))


def _number(name: str, given: Any, least: float, most: float, right: str) -> None:
    if isinstance(given, bool) or not isinstance(given, (int, float)) or not least <= given <= most:
        raise SettingError(name, given, right)


def _check_identity(s: Settings) -> None:
    if not s.has_token:
        if not s.user:
            raise SettingError("user", s.user, "give a user, or a token that names one")
        if not s.device:
            raise SettingError("device", s.device, "give an id of this installation that it keeps")
    for name in ("user", "device"):
        if getattr(s, name):
            check_name(name, getattr(s, name))


def check_name(name: str, text: Any) -> None:
    """SPEC 1.1.1, 10.6.2. Raises SettingError."""
    if not isinstance(text, str) or not text.isprintable() or " " in text or not 1 <= len(text.encode("utf-8")) <= 128:
        raise SettingError(name, text, "use 1 to 128 bytes of printable characters without spaces")


def check_context(c: Context) -> Context:
    """SPEC 1.1.3. Raises SettingError."""
    if not isinstance(c, Context):
        raise SettingError("context", c, "give a Context")
    texts = [*c.labels.keys(), *c.labels.values(), c.app, c.app_version, c.os, c.os_version, c.model, c.locale]
    if not all(isinstance(text, str) for text in texts):
        raise SettingError("context", c, "all of it are texts")
    if len(c.labels) > MAX_LABELS or c.size() > MAX_CONTEXT:
        raise SettingError("context", c, f"use at most {MAX_CONTEXT} bytes and {MAX_LABELS} labels")
    return c


def own_labels(c: Context) -> Context:
    """Adds who the client is, as far as the limits leave room. C 13.4"""
    labels: Dict[str, str] = dict(c.labels)
    labels.setdefault("client", "python")
    labels.setdefault("client_version", VERSION)
    more = replace(c, labels=labels)
    return more if len(labels) <= MAX_LABELS and more.size() <= MAX_CONTEXT else c


def check_url(name: str, text: Any) -> None:
    try:
        u = urlsplit(text)
        good = u.scheme in ("http", "https") and bool(u.hostname) and (u.port is None or u.port > 0)
        good = good and not (u.query or u.fragment or u.username)
    except (ValueError, TypeError, AttributeError):
        good = False
    if not good:
        raise SettingError(name, text, "use http://host:port or https://host:port")


def check_target(name: str, text: Any) -> None:
    """host:port, or https://host[:port] for TLS."""
    right = "use host:port, as in push.example.com:8081, or https://host:port for TLS"
    if not isinstance(text, str):
        raise SettingError(name, text, right)
    if text.startswith(("http://", "https://")):
        check_url(name, text)
        return
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdigit() or "://" in text or "/" in host:
        raise SettingError(name, text, right)


def _available(transport: str) -> bool:
    return importlib.util.find_spec(_MODULES[kind(transport)]) is not None


def _transports(s: Settings) -> List[str]:
    """The transports that the app named, else those that are there, in the order of C 11.1."""
    if s.transports:
        if isinstance(s.transports, str):
            raise SettingError("transports", s.transports, "give a list, such as ['ws', 'sse', 'poll']")
        for t in s.transports:
            _check_transport(s, t)
        return list(dict.fromkeys(s.transports))
    found = ["grpc"] if s.grpc and _available("grpc") else []
    found += [t for t in ("ws", "sse", "poll") if s.url and _available(t)]
    if not found:
        raise SettingError("transports", [], "no transport is installed: pip install 'ramen-client[ws,http]', or [grpc]")
    return found


def _check_transport(s: Settings, t: str) -> None:
    if t not in TRANSPORTS:
        raise SettingError("transports", t, "use " + ", ".join(TRANSPORTS))
    if not (s.grpc if t == "grpc" else s.url):
        raise SettingError("transports", t, "it needs grpc" if t == "grpc" else "it needs url")
    if not _available(t):
        extra = {"websockets": "ws", "httpx": "http", "grpc": "grpc"}[_MODULES[kind(t)]]
        raise SettingError("transports", t, f"it is not installed: pip install 'ramen-client[{extra}]'")
