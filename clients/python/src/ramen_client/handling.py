"""The handler's task: C 5."""

from __future__ import annotations

import asyncio
from typing import Any, Callable, Optional

from .calling import invoke
from .inbox import Inbox
from .message import Message
from .place import Place
from .seen import Seen
from .state import Listeners, Stats
from .stream import Stream
from .wire.frames import HelloFrame, PushFrame

Handler = Callable[[Message], Any]


class Handling:
    """Processes pushes one after the other. It alone moves the place and tells streams what to ack, so neither covers a message that was
    not processed."""

    def __init__(
        self,
        handler: Handler,
        inbox: Inbox,
        place: Place,
        seen: Seen,
        stats: Stats,
        listeners: Listeners,
        stopping: asyncio.Event,
    ) -> None:
        self._handler = handler
        self._inbox = inbox
        self._place = place
        self._seen = seen
        self._stats = stats
        self._listeners = listeners
        self._stopping = stopping  # the device is to begin no further message
        self._cancelled = False
        self.busy = False
        self.task: Optional["asyncio.Task[None]"] = None

    def start(self) -> None:
        self.task = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        while True:
            stream, what = await self._inbox.take()
            if self._stopping.is_set():
                return
            if isinstance(what, HelloFrame):
                self._place.begin(what)
            else:
                await self._process(stream, what)
            if self._inbox.empty():
                self._place.idle()
            await asyncio.sleep(0)  # a handler that awaits nothing holds up no heartbeat, ack or save

    async def _process(self, stream: Stream, push: PushFrame) -> None:
        if push.message.id in self._seen:
            self._stats.duplicates += 1
        else:
            self.busy = True
            try:
                await invoke(self._handler, push.message)
            except asyncio.CancelledError as e:
                if self._cancelled:
                    raise
                self._failed(stream, e)  # by the handler's own doing
                return
            except Exception as e:
                self._failed(stream, e)
                return
            finally:
                self.busy = False
            self._stats.handled += 1
            self._seen.add(push.message.id)
        self._place.moved(push.cursor)
        stream.processed(push)

    def _failed(self, stream: Stream, error: BaseException) -> None:
        self._stats.handler_errors += 1
        stream.fail("the handler did not process a message")
        self._listeners.error("handler", error)

    async def stop(self, grace: float) -> None:
        """Begins no further message. The handler has grace s to return; then it is cancelled."""
        self._stopping.set()
        if self.task is None:
            return
        if self.busy and grace > 0:
            await asyncio.wait([self.task], timeout=grace)
        self._cancelled = True
        self.task.cancel()
        await asyncio.wait([self.task])
