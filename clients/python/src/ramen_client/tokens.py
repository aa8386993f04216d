"""The app's tokens: C 9. A token is never stored, logged or put in an error."""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
from typing import Awaitable, Callable, Optional, Union

from .calling import invoke, within

TokenCallback = Callable[[], Union[str, Awaitable[str]]]


class NoToken(Exception):
    """The app has no token to go on with. It says nothing of the network."""


class Tokens:
    """Asks the app for tokens, and never hands out one that the server has refused."""

    def __init__(self, token: Union[None, str, TokenCallback], limit: float) -> None:
        self._fixed = token if isinstance(token, str) else ""
        self._ask = None if isinstance(token, str) else token
        self._limit = limit  # of one question, in s
        self._refused = ""

    @property
    def has_callback(self) -> bool:
        return self._ask is not None

    async def next(self) -> str:
        """The token to open a stream with; empty where the app has given none."""
        if self._ask is None:
            return self._fixed
        try:
            token = await within(invoke(self._ask), self._limit)
        except asyncio.TimeoutError:
            raise NoToken(f"the token callback has not answered within {self._limit:g} s") from None
        except Exception as e:
            raise NoToken(f"the token callback failed: {type(e).__name__}") from e
        if not isinstance(token, str):
            raise NoToken(f"the token callback answered {type(token).__name__}, not str")
        if token and token == self._refused:
            raise NoToken("the server has refused the current token, and there is no other yet")
        return token

    def refuse(self, token: str) -> None:
        """The server does not take this token."""
        if token:
            self._refused = token


def expiry(token: str) -> Optional[float]:
    """When a JWT ends, in s since 1970; None where it cannot be told. It is read, not verified: that is the server's part."""
    parts = token.split(".")
    if len(parts) != 3:
        return None
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
        end = float(claims["exp"])
    except (ValueError, KeyError, TypeError, binascii.Error, RecursionError):
        return None
    return end if 0 < end < 1 << 40 else None


def lead(left: float) -> float:
    """How long before its end a token that has left s to live is renewed: a tenth, at least 1 s and at most 60 s. C 9.2"""
    return min(max(left / 10, 1.0), 60.0)
