"""What was read and is not processed yet: C 4.8, 5.7."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Deque, NamedTuple, Optional, Union

from .wire.frames import HelloFrame, PushFrame

if TYPE_CHECKING:
    from .stream import Stream


class Item(NamedTuple):
    stream: "Stream"
    what: Union[HelloFrame, PushFrame]
    """A push, or the hello whose cursor is where the stream's pushes begin."""


class Inbox:
    """At most a window of each stream, since the server sends no more. At the bound the stream ends, and what was in it comes again on
    the next. Nobody waits to put something in, so that heartbeats are read and answered while the handler is busy."""

    def __init__(self) -> None:
        self._items: Deque[Item] = deque()
        self._waiter: Optional["asyncio.Future[None]"] = None

    def put(self, stream: "Stream", push: PushFrame) -> bool:
        """False where the server has pushed more than the window."""
        size = len(push.message.payload)
        # Twice the bytes: what the server counts need not be what is counted here.
        full = stream.waiting >= stream.window or stream.waiting_bytes + size > 2 * stream.room
        if stream.waiting and full:
            return False
        stream.waiting += 1
        stream.waiting_bytes += size
        self._append(Item(stream, push))
        return True

    def put_hello(self, stream: "Stream", hello: HelloFrame) -> None:
        self._append(Item(stream, hello))

    def _append(self, item: Item) -> None:
        self._items.append(item)
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def empty(self) -> bool:
        return not self._items

    async def take(self) -> Item:
        """Waits for the next item of a stream that still counts. What came on others comes again on their successors."""
        while True:
            while self._items:
                item = self._items.popleft()
                if isinstance(item.what, PushFrame):
                    item.stream.waiting -= 1
                    item.stream.waiting_bytes -= len(item.what.message.payload)
                if not item.stream.dead:
                    return item
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
