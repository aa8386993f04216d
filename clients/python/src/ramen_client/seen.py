"""The ids of messages that were processed. C 5.2"""

from __future__ import annotations

from typing import Dict

SEEN = 2048
"""How many ids are remembered: more than the widest window (1,024), all of which may come again."""


class Seen:
    """Remembers the last ids that were added."""

    def __init__(self, most: int = SEEN) -> None:
        self._most = most
        self._ids: Dict[str, None] = {}  # in the order of adding

    def __contains__(self, message_id: str) -> bool:
        return message_id in self._ids

    def add(self, message_id: str) -> None:
        self._ids.setdefault(message_id)
        if len(self._ids) > self._most:
            del self._ids[next(iter(self._ids))]
