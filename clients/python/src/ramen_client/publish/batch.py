"""Requests out of what is published at the same time. C 14.4"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Set, Tuple

from ..errors import Closed
from .backend import Backend, NoAnswer

MOST_REQUEST = 3 << 20
"""Bytes of messages in one request; the server takes 4 MiB. SPEC 7.3.3"""

Results = List[Dict[str, Any]]


@dataclass
class Unit:
    """What one caller sends at once: it goes into one request whole, so that its order is kept."""

    encoded: List[bytes]
    users: Set[str]
    count: int
    """The results that it gets."""
    answer: "asyncio.Future[Results]"

    @property
    def size(self) -> int:
        return sum(len(e) + 1 for e in self.encoded)


class Batcher:
    """What comes while requests are out goes together, so that a busy publisher makes large requests and an idle one no pauses.

    No unit is sent while an earlier one has a user of it: the messages to one user keep their order.
    """

    def __init__(self, backend: Backend, max_batch: int, in_flight: int, linger: float, timeout: float) -> None:
        self._backend = backend
        self._max_batch = max_batch
        self._in_flight = in_flight
        self._linger = linger
        self._timeout = timeout
        self._queue: List[Unit] = []
        self._out: Set["asyncio.Task[None]"] = set()
        self._users: Set[str] = set()  # of the units that are out
        self._timer: Optional[asyncio.Handle] = None
        self._closed = False

    async def submit(self, encoded: List[bytes], users: Set[str], count: int) -> Results:
        """Sends messages; all their results, in order. What the caller no longer waits for is not sent."""
        if self._closed:
            raise Closed("the publisher is closed")
        loop = asyncio.get_running_loop()
        unit = Unit(encoded, users, count, loop.create_future())
        self._queue.append(unit)
        if sum(u.count for u in self._queue) >= self._max_batch:
            self._unset()
        if self._timer is None:  # what else is published in this turn of the loop goes with it
            self._timer = loop.call_later(self._linger, self._pump) if self._linger else loop.call_soon(self._pump)
        return await unit.answer

    def _unset(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _pump(self) -> None:
        self._unset()
        while len(self._out) < self._in_flight and not self._closed:
            units = self._cut()
            if not units:
                return
            for unit in units:
                self._users |= unit.users
            task = asyncio.get_running_loop().create_task(self._send(units))
            self._out.add(task)
            task.add_done_callback(self._out.discard)

    def _cut(self) -> List[Unit]:
        """Takes a request's worth from the queue."""
        units: List[Unit] = []
        rest: List[Unit] = []
        count = size = 0
        held: Set[str] = set()  # users of units that stay
        for unit in self._queue:
            if unit.answer.done():
                continue
            fits = not units or (count + unit.count <= self._max_batch and size + unit.size <= MOST_REQUEST)
            if not fits or unit.users & self._users or unit.users & held:
                held |= unit.users
                rest.append(unit)
                continue
            units.append(unit)
            count += unit.count
            size += unit.size
        self._queue = rest
        return units

    async def _send(self, units: List[Unit]) -> None:
        try:
            results = await self._exchange(units)
            for unit in units:
                mine, results = results[: unit.count], results[unit.count :]
                if not unit.answer.done():
                    unit.answer.set_result(mine)
        except BaseException as e:
            error = Closed("the publisher is closed") if isinstance(e, asyncio.CancelledError) else e
            for unit in units:
                if not unit.answer.done():
                    unit.answer.set_exception(error)
            if not isinstance(e, Exception):
                raise
        finally:
            for unit in units:
                self._users -= unit.users
            task = asyncio.current_task()
            if task is not None:
                self._out.discard(task)
            if self._queue:
                self._pump()

    async def _exchange(self, units: List[Unit]) -> Results:
        results = await self._backend.exchange([e for unit in units for e in unit.encoded], self._timeout)
        want = sum(unit.count for unit in units)
        if len(results) != want:
            raise NoAnswer(f"got {len(results)} results for {want} messages")
        return results

    async def close(self) -> None:
        """Ends what is out and what waits with Closed."""
        self._closed = True
        self._unset()
        queue, self._queue = self._queue, []
        for unit in queue:
            if not unit.answer.done():
                unit.answer.set_exception(Closed("the publisher is closed"))
        out: Tuple["asyncio.Task[None]", ...] = tuple(self._out)
        for task in out:
            task.cancel()
        if out:
            await asyncio.wait(out)
