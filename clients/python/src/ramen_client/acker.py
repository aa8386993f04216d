"""A stream's acks and refreshes: C 12, C 9.2."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Optional

from .backoff import Backoff, Draw
from .ends import By, End, EndError
from .settings import two_way
from .wire.conn import AckRefused, Conn
from .wire.frames import PushFrame

if TYPE_CHECKING:
    from .stream import Stream

MOST_ACK_MS = 30_000
"""Bounds hello's ack_ms: SSE's. SPEC 2.9.2"""


class Acker:
    """Sends from a task of its own, so that neither handler nor reader waits for the network. Acks are cumulative: what waits is one
    place, whatever was processed meanwhile."""

    def __init__(self, stream: "Stream", draw: Draw) -> None:
        self._stream = stream
        self._retry = Backoff(draw)
        self._loop = asyncio.get_running_loop()
        self._wake = asyncio.Event()
        self._sending = asyncio.Lock()
        self._timer: Optional[asyncio.TimerHandle] = None
        self._task: Optional["asyncio.Task[None]"] = None
        self._conn: Optional[Conn] = None
        self._joins = 0.0  # acks that fall within it go as one, in s
        self._seq = 0
        self._cursor = ""
        self._pushes = 0  # processed and not acked
        self._bytes = 0
        self._first = 0.0  # when the first of them was processed
        self._not_before = 0.0  # after a failure
        self._new_token = False
        self._new_context = False

    def start(self, conn: Conn, ack_ms: int) -> None:
        """Called at hello."""
        self._conn = conn
        self._joins = min(ack_ms, MOST_ACK_MS) / 1000
        if self._stream.transport == "sse":
            self._joins *= 0.75  # ack_ms is the latest there, and the request takes its time. C 12.2
        if self._stream.transport == "poll":
            self._joins = 0.0  # no request: it is what the next poll begins with
        self._task = self._loop.create_task(self._run())

    def processed(self, push: PushFrame) -> None:
        if not self._pushes:
            self._first = self._loop.time()
        self._seq, self._cursor = push.seq, push.cursor
        self._pushes += 1
        self._bytes += len(push.message.payload)
        self._wake.set()

    def refresh(self, context: bool = False) -> None:
        """Hands on the stream's token, and the device's context where that has changed."""
        self._new_token, self._new_context = True, self._new_context or context
        self._wake.set()

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            await self._refresh()
            while self._pushes and not self._wait():
                await self._send()

    def _wait(self) -> bool:
        """Whether there is a reason to send later; then a timer is set."""
        now = self._loop.time()
        due = self._first + self._joins
        if self._pushes * 2 >= self._stream.window or self._bytes * 2 >= self._stream.room:
            due = now
        due = max(due, self._not_before)
        if due <= now:
            return False
        self._unset()
        self._timer = self._loop.call_at(due, self._wake.set)
        return True

    def _unset(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def _send(self) -> bool:
        """Sends one ack. One that fails is due again after a pause."""
        async with self._sending:
            conn, seq, cursor, pushes, size = self._conn, self._seq, self._cursor, self._pushes, self._bytes
            if conn is None or not pushes:
                return True
            if not cursor and not two_way(self._stream.transport):
                self._pushes = self._bytes = 0  # within a poll's answer: its last push has the cursor
                return True
            try:
                await conn.ack(seq, cursor)
            except EndError as e:
                self._failed(e)
                return False
            self._pushes -= pushes
            self._bytes -= size
            self._first = self._loop.time()
            self._not_before = 0.0
            self._retry.reset()
            self._stream.stats.acks += 1
            return True

    def _failed(self, error: EndError) -> None:
        if isinstance(error, AckRefused):  # the server does not know the place: begin anew. C 12.2
            self._stream.let_go(End(By.DEVICE, detail=str(error)))
        elif error.end.reason in ("unauthenticated", "permission_denied"):  # no refused token is sent again. C 9.3
            self._stream.let_go(error.end)
        self._not_before = self._loop.time() + error.end.retry_after + self._retry.next()

    async def _refresh(self) -> None:
        if not self._new_token or self._conn is None:
            return
        context = self._stream.latest_context() if self._new_context else None
        self._new_token = self._new_context = False
        try:
            if not await self._conn.refresh(self._stream.token, context):
                self._stream.wants_successor()
        except EndError:
            pass  # the reader has the cause

    async def last(self) -> None:
        """Sends what is not acked yet. Called while the stream lives."""
        if self._pushes:
            await self._send()

    def stop(self) -> None:
        self._unset()
        if self._task is not None:
            self._task.cancel()
