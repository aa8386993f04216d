"""Pauses by full-jitter exponential backoff. C 7.1, SPEC 2.13.1"""

from __future__ import annotations

import random
from typing import Callable

FIRST = 1.0
"""The bound of the first pause, in s; it doubles from there."""
MOST = 30.0
"""The bound of any, in s."""
STABLE_AFTER = 30.0
"""A stream that has lived so long, in s, starts the bound anew. C 7.2"""

Draw = Callable[[float], float]
"""Answers a random number from 0 to its argument."""


def draw(bound: float) -> float:
    """An even draw from 0 to bound."""
    return random.uniform(0.0, bound)


class Backoff:
    """Draws each pause anew from a bound that doubles."""

    def __init__(self, draw: Draw = draw, first: float = FIRST, most: float = MOST) -> None:
        self._draw = draw
        self._first = first
        self._most = most
        self._failures = 0

    def next(self) -> float:
        """The pause before the next attempt, in s."""
        bound = min(self._first * 2.0 ** min(self._failures, 16), self._most)
        self._failures += 1
        return self._draw(bound)

    def within(self, span: float) -> float:
        """A random moment within span. SPEC 2.12.6"""
        return self._draw(span) if span > 0 else 0.0

    def reset(self) -> None:
        self._failures = 0
