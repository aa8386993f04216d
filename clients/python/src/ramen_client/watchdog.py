"""How long a stream may be silent: C 4.3 to 4.6."""

from __future__ import annotations

import asyncio
from typing import Callable, Optional

DEFAULT_SILENCE = 7.0
"""7/4 of the default interval, in s. SPEC 2.8.3"""
LEAST_SILENCE = 1.75
"""7/4 of the shortest interval."""
MOST_SILENCE = 105.0
"""7/4 of the longest."""
MOST_PATIENCE = 28.0
"""Where the bytes of an incomplete frame cannot be seen. C 4.5"""

LATE = 0.25
"""A timer that fires so much too late, in s, was held up, and so was reading. C 4.6"""
GRACE = 0.5
"""How long reading has then to catch up, in s."""


def silence_of(timeout_ms: int, heartbeat_ms: int) -> float:
    """The silence allowed, in s: by hello's timeout_ms, else by the interval that was asked for. SPEC 2.8.6"""
    s = timeout_ms / 1000 or heartbeat_ms * 7 / 4000 or DEFAULT_SILENCE
    return min(max(s, LEAST_SILENCE), MOST_SILENCE)


def patience(silence: float, deaths: int) -> float:
    """The silence allowed after so many deaths by silence since the last push, where only whole frames are seen. C 4.5"""
    return min(silence * 2.0 ** min(deaths, 8), max(silence, MOST_PATIENCE))


class Watchdog:
    """Calls bark once no sign of life has come for a while. A sign of life touches no timer: one that fires too early sleeps on."""

    def __init__(self, bark: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._bark = bark
        self._last = self._loop.time()
        self._silence = 0.0
        self._until: Optional[float] = None  # an earlier end than silence has, until the next sign of life
        self._timer: Optional[asyncio.TimerHandle] = None

    def alive(self) -> None:
        """A sign of life. It is called for every read."""
        self._last = self._loop.time()
        self._until = None

    def allow(self, silence: float) -> None:
        """How long the silence may be from now on, in s; it begins now."""
        self._silence = silence
        self.alive()
        self._set(silence)

    def hurry(self) -> None:
        """The way to the server may be gone: 5/7 of the time, a heartbeat interval and a quarter, have to do from now on. C 10.2"""
        if self._timer is not None:
            self._until = min(self._deadline(), self._loop.time() + self._silence * 5 / 7)
            self._set(self._until - self._loop.time())

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _deadline(self) -> float:
        return self._last + self._silence if self._until is None else self._until

    def _set(self, delay: float) -> None:
        self.stop()
        self._timer = self._loop.call_later(max(0.0, delay), self._check, self._loop.time() + max(0.0, delay))

    def _check(self, planned: float) -> None:
        now = self._loop.time()
        rest = self._deadline() - now
        if rest > 0.001:
            self._set(rest)
        elif now - planned > LATE:
            self._set(GRACE)
        else:
            self._timer = None
            self._bark()
