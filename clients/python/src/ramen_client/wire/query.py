"""The addresses and headers of requests: SPEC 4.2."""

from __future__ import annotations

from typing import Dict, List, Tuple
from urllib.parse import urlencode

from ..message import Context
from ..settings import Settings
from .frames import Opening, context_fields


def parameters(o: Opening) -> List[Tuple[str, str]]:
    """The query of an opening but the token, which goes into a header, so that no proxy logs it."""
    q = identity(o)
    if o.cursor:
        q.append(("cursor", o.cursor))
    if o.window:
        q.append(("window", str(o.window)))
    if o.heartbeat_ms:
        q.append(("heartbeat_ms", str(o.heartbeat_ms)))
    return q + context_parameters(o.context)


def identity(o: Opening) -> List[Tuple[str, str]]:
    return [(name, value) for name, value in (("user", o.user), ("device", o.device)) if value]


def context_parameters(c: Context) -> List[Tuple[str, str]]:
    return [*context_fields(c).items(), *(("label." + name, value) for name, value in c.labels.items())]


def address(s: Settings, path: str, query: List[Tuple[str, str]]) -> str:
    return f"{s.url}{path}?{urlencode(query)}"


def headers(s: Settings, token: str) -> Dict[str, str]:
    """What every request bears. identity: a compressor in between would hold heartbeats back. C 3.6"""
    h = {"Accept-Encoding": "identity", **s.headers}
    if token:
        h["Authorization"] = f"Bearer {token}"
    return h
