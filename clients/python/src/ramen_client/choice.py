"""Over which transport the next stream is opened: C 11."""

from __future__ import annotations

from typing import List, Optional, Sequence

MOST_PREFER_AFTER = 3600.0
"""The longest time between trials of the preferred transport, in s. C 11.3"""


class Choice:
    """The preferred transport, until `after` attempts in a row have failed without an answer of the server's: then the next, and
    after the last the first again. On another than the first, the first is tried after `prefer_after` s, beside the live stream; a
    trial that fails doubles that time, up to 1 h."""

    def __init__(self, transports: Sequence[str], after: int, prefer_after: float) -> None:
        self.all: List[str] = list(transports)
        self._after = after
        self._first_pause = prefer_after  # negative: never
        self._at = 0
        self._failures = 0
        self._pause = prefer_after
        self._due = 0.0

    @property
    def current(self) -> str:
        return self.all[self._at]

    def failed(self, now: float) -> bool:
        """Counts a failure; whether it was one too many, so that a less preferred transport has its turn."""
        self._failures += 1
        if self._failures < self._after or len(self.all) == 1:
            return False
        self._failures = 0
        self._at = (self._at + 1) % len(self.all)
        if self._at == 1:  # fell from the preferred one
            self._pause = self._first_pause
            self._due = now + self._pause
        return self._at != 0

    def succeeded(self) -> None:
        """The current transport works."""
        self._failures = 0

    def next_trial(self, now: float) -> Optional[float]:
        """How long to wait for the next trial of the preferred transport; None: there is none."""
        if self._at == 0 or self._first_pause < 0:
            return None
        return max(0.0, self._due - now)

    def tried(self, well: bool, now: float) -> None:
        """How a trial went."""
        if well:
            self._at = self._failures = 0
            return
        self._pause = min(2 * self._pause, max(MOST_PREFER_AFTER, self._first_pause))
        self._due = now + self._pause
