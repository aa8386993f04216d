"""One publish_all: messages that have no good answer yet, and the results so far. C 14"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple

from ..backoff import Backoff, Draw
from ..calling import within
from ..errors import PublishError, RamenError, SettingError, UnknownOutcome
from ..settings import check_name
from .backend import Backend, NoAnswer
from .batch import MOST_REQUEST, Batcher
from .publication import MOST_USERS, Publication, Result, Status

FIRST_RETRY = 0.1
"""The bound of the first pause, in s. C 14.2"""
MOST_RETRY = 5.0
"""The bound of any, in s."""

AGAIN = ("unavailable", "resource_exhausted", "internal")
"""Refusals that are for now alone. SPEC 9.1.5; 5xx"""


@dataclass
class Pending:
    """A message on its way, and the places of its results, one a user."""

    values: Mapping[str, Any]
    users: List[str]
    places: List[int]
    encoded: bytes


class Call:
    def __init__(self, publications: Sequence[Publication], backend: Backend) -> None:
        """Checks each message and user by itself: one that is wrong must not spoil the others' request."""
        self.results: List[Result] = []
        self._backend = backend
        self._open: List[Pending] = []
        self._cause: Optional[RamenError] = None  # why some are open
        for p in publications:
            self._add(p)

    def _add(self, p: Publication) -> None:
        error: Optional[SettingError] = None
        values: Mapping[str, Any] = {"id": p.id}
        try:
            users, values = p.targets(), p.values()
        except SettingError as e:
            error, users = e, list(p.users) if p.users and not isinstance(p.users, str) else [p.user]
        good: List[Tuple[str, int]] = []
        for user in users:
            problem = error or _problem(user)
            self.results.append(Result(values["id"], user))
            if problem is None:
                good.append((user, len(self.results) - 1))
            else:
                self._reject(len(self.results) - 1, PublishError("invalid_argument", str(problem)))
        for i in range(0, len(good), MOST_USERS):
            part = good[i : i + MOST_USERS]
            self._pend(values, [u for u, _ in part], [at for _, at in part])

    def _pend(self, values: Mapping[str, Any], users: List[str], places: List[int]) -> None:
        self._open.append(Pending(values, users, places, self._backend.encode(values, users)))

    def _reject(self, place: int, error: PublishError) -> None:
        self.results[place] = replace(self.results[place], status=Status.REJECTED, error=error)

    async def run(
        self, batcher: Batcher, max_batch: int, timeout: float, draw: Draw, on_retry: Optional[Callable[[Exception], Any]]
    ) -> None:
        """Goes over what is open, again and again, until nothing is. Raises UnknownOutcome where time runs out, and Closed."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        backoff = Backoff(draw, FIRST_RETRY, MOST_RETRY)
        try:
            while self._open:
                after = await self._round(batcher, max_batch, deadline)
                if not self._open:
                    return
                if on_retry is not None and self._cause is not None:
                    on_retry(self._cause)
                pause = after + backoff.next()
                left = deadline - loop.time()
                await asyncio.sleep(max(0.0, min(pause, left)))
                if pause >= left:
                    raise asyncio.TimeoutError
        except asyncio.TimeoutError:
            ids = [self.results[at].id for p in self._open for at in p.places]
            raise UnknownOutcome(ids, str(self._cause or "the server has not answered"), self.results) from None

    async def _round(self, batcher: Batcher, max_batch: int, deadline: float) -> float:
        """Sends everything that is open once, a unit after the other; how long the server wants a pause."""
        loop = asyncio.get_running_loop()
        todo, after = self._open, 0.0
        again: List[Pending] = []
        while todo:
            unit = todo[: _fitting(todo, max_batch)]
            self._open = again + todo  # what is open should time run out now
            users = {u for p in unit for u in p.users}
            count = sum(len(p.users) for p in unit)
            try:
                results = await within(batcher.submit([p.encoded for p in unit], users, count), max(0.0, deadline - loop.time()))
            except PublishError as e:
                after = max(after, e.retry_after)
                if e.code in AGAIN:
                    self._cause = e
                    again += unit
                else:
                    for at in (at for p in unit for at in p.places):
                        self._reject(at, e)
            except NoAnswer as e:  # unknown. SPEC 9.1.3
                self._cause = e
                again += unit
            else:
                self._open = []
                for p in unit:
                    mine, results = results[: len(p.users)], results[len(p.users) :]
                    self._note(p, mine)
                again += self._open
            todo = todo[len(unit) :]
        self._open = again
        return after

    def _note(self, p: Pending, results: List[Dict[str, Any]]) -> None:
        """Takes over the results of what was sent, and keeps open what is to be tried again. C 14.5"""
        users: List[str] = []
        places: List[int] = []
        for user, at, r in zip(p.users, p.places, results):
            status = str(r.get("status", ""))
            if status in (Status.ACCEPTED.value, Status.DUPLICATE.value):
                self.results[at] = replace(self.results[at], status=Status(status), devices=int(r.get("devices", 0)))
                continue
            error = _error_of(r)
            if error.code in AGAIN:
                self._cause = error
                users.append(user)
                places.append(at)
            else:
                self._reject(at, error)
        if users:
            self._pend(p.values, users, places)


def _problem(user: str) -> Optional[SettingError]:
    try:
        check_name("user", user)
    except SettingError as e:
        return e
    return None


def _error_of(r: Mapping[str, Any]) -> PublishError:
    e = r.get("error") or {}
    return PublishError(str(e.get("code") or "invalid_argument"), str(e.get("message") or "rejected without a reason"))


def _fitting(todo: Sequence[Pending], max_batch: int) -> int:
    """How many of todo fit one unit; at least one."""
    count = size = 0
    for i, p in enumerate(todo):
        count += len(p.users)
        size += len(p.encoded) + 1
        if i and (count > max_batch or size > MOST_REQUEST):
            return i
    return len(todo)
