"""The device's place: the cursor, and its way into the app's store. C 8."""

from __future__ import annotations

import asyncio
from typing import Optional

from .calling import invoke, within
from .cursors import CursorStore
from .state import Listeners
from .wire.frames import HelloFrame, valid_cursor

SAVE_EVERY = 64
"""Pushes, at the latest."""
SAVE_AFTER = 5.0
"""s, at the latest."""
LOAD_TIMEOUT = 2.0
"""s; a store that takes longer is no place."""
SAVE_TIMEOUT = 5.0
"""s, until a save counts as failed."""
LAST_SAVE_TIMEOUT = 2.0
"""s, of the save of a device that stops."""


class Place:
    """Moved by the handler's task alone, so that it never covers a message that was not processed. Saves go out from a task of
    their own, one at a time: a store that never answers holds up nothing."""

    def __init__(self, store: Optional[CursorStore], listeners: Listeners) -> None:
        self.cursor = ""
        self._store = store
        self._listeners = listeners
        self._saved = ""
        self._unsaved = 0
        self._told = False  # of this run of failures
        self._wake = asyncio.Event()
        self._timer: Optional[asyncio.TimerHandle] = None
        self._task: Optional["asyncio.Task[None]"] = None

    async def load(self) -> None:
        """Finds where the device stood, unless it knows from a run before."""
        if self._store is None:
            return
        try:
            found = await within(invoke(self._store.load), LOAD_TIMEOUT)
        except Exception as e:
            self._failed(e)
            found = None
        if valid_cursor(found):
            self.cursor = self._saved = str(found)
        self._task = asyncio.get_running_loop().create_task(self._run())

    def begin(self, hello: HelloFrame) -> None:
        """Takes over where a stream begins, if the device has no place that the server honours. C 8.1"""
        if not self.cursor or not hello.resumed:
            self.moved(hello.cursor)

    def moved(self, cursor: str) -> None:
        """A push was processed. Within a poll's answer only the last one has a cursor."""
        if not cursor:
            return
        self.cursor = cursor
        self._unsaved += 1
        if self._unsaved >= SAVE_EVERY:
            self._wake.set()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(SAVE_AFTER, self._wake.set)

    def idle(self) -> None:
        """Nothing is left to process."""
        if self._unsaved:
            self._wake.set()

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            await self._save(SAVE_TIMEOUT)

    async def _save(self, timeout: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._unsaved = 0
        cursor = self.cursor
        if self._store is None or cursor == self._saved:
            return
        try:
            await within(invoke(self._store.save, cursor), timeout)
        except Exception as e:
            self._failed(e)
            return
        self._saved = cursor
        self._told = False

    def _failed(self, error: Exception) -> None:
        """The app is told once for each run of failures. C 8.3"""
        if not self._told:
            self._told = True
            self._listeners.error("store", error)

    async def close(self) -> None:
        """Saves what is not saved yet."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            await self._save(LAST_SAVE_TIMEOUT)
        if self._timer is not None:
            self._timer.cancel()
