"""Ids of messages. C 14.1"""

from __future__ import annotations

import secrets
import time
import uuid


def new_id() -> str:
    """A UUIDv7: 48 bits of ms since 1970, the rest random. RFC 9562 5.7"""
    ms = time.time_ns() // 1_000_000
    n = (ms & (1 << 48) - 1) << 80 | secrets.randbits(80)
    n = n & ~(0xF << 76) | 7 << 76
    n = n & ~(3 << 62) | 2 << 62
    return str(uuid.UUID(int=n))
