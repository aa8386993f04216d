"""SyncPublisher: without asyncio."""

from __future__ import annotations

import asyncio
import os
import threading
from typing import Any, Coroutine, List, Optional, Sequence, Tuple, TypeVar

from ..errors import Closed
from ..message import Message
from .publication import ABSENT, KnownDevice, Publication, Result
from .publisher import ANSWER_TIMEOUT, TIMEOUT, Publisher

T = TypeVar("T")


class SyncPublisher:
    """Publisher for threads: the same settings, methods and errors. It is safe for all threads, and best shared by them: what they publish
    at the same time goes in one request.

    A thread of its own does the work. It is begun at the first call, and anew in a process that was forked.
    """

    def __init__(self, url: str = "", **settings: Any) -> None:
        """The settings are those of Publisher. Raises SettingError where one is wrong."""
        self._settings = dict(settings, url=url)
        self._lock = threading.Lock()
        self._running: Optional[Tuple[int, asyncio.AbstractEventLoop, threading.Thread, Publisher]] = None
        self._closed = False
        Publisher(**self._settings)  # for its errors

    async def _make(self) -> Publisher:
        return Publisher(**self._settings)

    def publish(self, user: str, payload: Any = ABSENT, **fields: Any) -> Result:
        """See Publisher.publish."""
        publisher, loop = self._begin()
        return self._wait(publisher.publish(user, payload, **fields), loop)

    def publish_all(self, publications: Sequence[Publication], timeout: float = TIMEOUT) -> List[Result]:
        """See Publisher.publish_all."""
        publisher, loop = self._begin()
        return self._wait(publisher.publish_all(publications, timeout), loop)

    def devices(self, user: str, timeout: float = ANSWER_TIMEOUT) -> List[KnownDevice]:
        """See Publisher.devices."""
        publisher, loop = self._begin()
        return self._wait(publisher.devices(user, timeout), loop)

    def messages(self, user: str, timeout: float = ANSWER_TIMEOUT) -> List[Message]:
        """See Publisher.messages."""
        publisher, loop = self._begin()
        return self._wait(publisher.messages(user, timeout), loop)

    def recall(self, user: str, id: str, timeout: float = ANSWER_TIMEOUT) -> bool:
        """See Publisher.recall."""
        publisher, loop = self._begin()
        return self._wait(publisher.recall(user, id, timeout), loop)

    def disconnect(self, user: str, device: str = "", detail: str = "", timeout: float = ANSWER_TIMEOUT) -> int:
        """See Publisher.disconnect."""
        publisher, loop = self._begin()
        return self._wait(publisher.disconnect(user, device, detail, timeout), loop)

    def close(self, timeout: float = TIMEOUT) -> None:
        """See Publisher.close."""
        with self._lock:
            self._closed = True
            running, self._running = self._running, None
        if running is None or running[0] != os.getpid():
            return
        _, loop, thread, publisher = running
        self._wait(publisher.close(timeout), loop)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()

    def __enter__(self) -> "SyncPublisher":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _begin(self) -> Tuple[Publisher, asyncio.AbstractEventLoop]:
        with self._lock:
            if self._closed:
                raise Closed("the publisher is closed")
            if self._running is None or self._running[0] != os.getpid():
                loop = asyncio.new_event_loop()
                thread = threading.Thread(target=loop.run_forever, name="ramen-publisher", daemon=True)
                thread.start()
                self._running = (os.getpid(), loop, thread, self._wait(self._make(), loop))
            _, loop, _, publisher = self._running
            return publisher, loop

    def _wait(self, coroutine: Coroutine[Any, Any, T], loop: asyncio.AbstractEventLoop) -> T:
        future = asyncio.run_coroutine_threadsafe(coroutine, loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()  # KeyboardInterrupt, say: nobody waits any more
            raise
