"""A stream of one poll after another: SPEC 5.6."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import replace
from typing import Deque, Optional

import httpx

from ..calling import within
from ..ends import cut
from ..message import Context
from ..settings import Settings
from .conn import Alive
from .frames import MAX_FRAME, FrameError, HelloFrame, Opening, PollAnswer, PushFrame, ServerFrame
from .http import content_type, lost, new_client, refusal
from .jsonframes import decode_poll
from .query import address, headers, identity, parameters
from .sseconn import post_ack

GRACE = 10.0
"""Beyond the wait, until the head of the answer must have come, and then until its next bytes, in s."""
PAUSE = 1.0
"""Between two polls of which the first brought nothing: for a server that answers at once, in s."""


class PollConn:
    """The next poll waits until the pushes of the last answer are processed, since its cursor is their ack. C 12.3"""

    def __init__(self, s: Settings, o: Opening, alive: Alive) -> None:
        self._settings = s
        self._opening = o  # of the next poll; its cursor is what has been processed
        self.token = o.token  # of the last poll
        self._client = new_client(s)
        self._alive = alive
        self._frames: Deque[ServerFrame] = deque()
        self._greeted = False
        self._due = ""  # the cursor that the next poll must have; empty: whatever is there
        self._sent = o.cursor  # of the last poll
        self._moved = asyncio.Event()

    async def next(self) -> Optional[ServerFrame]:
        loop = asyncio.get_running_loop()
        while not self._frames:
            while self._due and self._opening.cursor != self._due:
                self._moved.clear()
                await self._moved.wait()
            began = loop.time()
            answer = await self._poll()
            self._alive()
            self._take(answer)
            if not self._frames:
                await asyncio.sleep(max(0.0, PAUSE - (loop.time() - began)))
        return self._frames.popleft()

    async def _poll(self) -> PollAnswer:
        """One request. The first does not wait, so that the device knows at once whether it is connected. C 3.9"""
        wait = int(self._settings.poll_wait) if self._greeted else 0
        self._sent, self.token = self._opening.cursor, self._opening.token
        try:
            return await self._request(wait)
        except asyncio.TimeoutError:
            raise cut("a poll was not answered in time") from None
        except httpx.HTTPError as e:
            raise lost(e) from e

    async def _request(self, wait: int) -> PollAnswer:
        url = address(self._settings, "/ramen/poll", [*parameters(self._opening), ("wait", str(wait))])
        request = self._client.build_request("GET", url, headers=headers(self._settings, self._opening.token))
        response = await within(self._client.send(request, stream=True), wait + GRACE)
        try:
            if response.status_code != 200:
                raise await within(refusal(response), GRACE)
            if content_type(response) != "application/json":
                raise cut(f"the answer is {content_type(response)!r}, not application/json")
            body = await self._read(response)
        finally:
            await response.aclose()
        try:
            return decode_poll(body.decode("utf-8"))
        except UnicodeDecodeError as e:
            raise cut("the answer is not UTF-8") from e

    async def _read(self, response: httpx.Response) -> bytes:
        """An answer over a slow path takes its time: its bytes are signs of life. C 3.3"""
        body = bytearray()
        chunks = response.aiter_raw()
        while True:
            try:
                chunk = await within(chunks.__anext__(), GRACE)
            except StopAsyncIteration:
                return bytes(body)
            self._alive()
            body += chunk
            if len(body) > MAX_FRAME:
                raise FrameError(f"the answer is over {MAX_FRAME} bytes")

    def _take(self, a: PollAnswer) -> None:
        """Makes frames of an answer: a hello where there is something new to say, the pushes, the goaway."""
        if a.goaway is not None:
            self._frames.append(a.goaway)
            return
        if not self._greeted or a.expired or not a.resumed:
            # The answer's cursor is that of its last push; only without one is it where the stream begins.
            place = "" if a.messages else a.cursor
            self._frames.append(HelloFrame(resumed=a.resumed, stream=a.stream, expired=a.expired, cursor=place))
            self._greeted = True
        self._due = a.cursor if a.messages else ""
        if not a.messages:
            self._opening = replace(self._opening, cursor=a.cursor)
            self._sent = a.cursor
        for m in a.messages[:-1]:
            self._frames.append(PushFrame(m))
        for m in a.messages[-1:]:
            self._frames.append(PushFrame(m, a.cursor))

    async def ack(self, seq: int, cursor: str) -> None:
        self._opening = replace(self._opening, cursor=cursor)
        self._moved.set()

    async def echo(self, time_ms: int) -> None:
        pass

    async def refresh(self, token: str, context: Optional[Context]) -> bool:
        """For the polls to come."""
        self._opening = replace(self._opening, token=token)
        if context is not None:
            self._opening = replace(self._opening, context=context)
        return True

    async def finish(self) -> None:
        """What the next poll would ack is acked by itself. C 12.5"""
        o = self._opening
        if o.cursor and o.cursor != self._sent:
            self._sent = o.cursor
            url = address(self._settings, "/ramen/ack", [*identity(o), ("cursor", o.cursor)])
            await post_ack(self._client, url, headers(self._settings, o.token))

    def abandon(self) -> None:
        pass  # an end of HTTP says nothing

    async def close(self) -> None:
        await self._client.aclose()
