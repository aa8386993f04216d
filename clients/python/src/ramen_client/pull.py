"""A loop over messages as a handler: a message is processed when the loop asks for the next one. C 15"""

from __future__ import annotations

import asyncio
from typing import Optional

from .message import Message


class Pull:
    """handle offers a message until next is called with it. One loop at a time."""

    def __init__(self) -> None:
        self._offered: Optional[Message] = None
        self._processed: Optional["asyncio.Future[None]"] = None
        self._waiter: Optional["asyncio.Future[None]"] = None

    async def handle(self, message: Message) -> None:
        self._offered = message
        self._processed = asyncio.get_running_loop().create_future()
        self._notify()
        try:
            await self._processed
        finally:
            self._offered = None

    async def next(self, last: Optional[Message], ended: "asyncio.Future[None]") -> Optional[Message]:
        """The next message; `last`, which the loop had before, is processed. None once the device has ended."""
        if last is not None and last is self._offered and self._processed is not None and not self._processed.done():
            self._processed.set_result(None)
            self._offered = None
        while self._offered is None and not ended.done():
            self._waiter = asyncio.get_running_loop().create_future()
            await asyncio.wait([self._waiter, ended], return_when=asyncio.FIRST_COMPLETED)
        return self._offered if not ended.done() else None

    def _notify(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
