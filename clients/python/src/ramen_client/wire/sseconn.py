"""A stream over Server-Sent Events: SPEC 5."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import replace
from typing import AsyncIterator, Deque, Dict, Optional

import httpx

from ..calling import within
from ..ends import EndError, cut
from ..message import Context
from ..settings import Settings
from .conn import AckRefused, Alive, Conn
from .frames import GoAwayFrame, HelloFrame, Opening, ServerFrame
from .http import content_type, lost, new_client, refusal, refused
from .jsonframes import decode_event
from .query import address, headers, identity, parameters
from .sse import EventParser

ACK_TIMEOUT = 10.0
"""Of one ack, in s."""


async def dial_sse(s: Settings, o: Opening, alive: Alive) -> Conn:
    client = new_client(s)
    try:
        request = client.build_request(
            "GET",
            address(s, "/ramen/receive", parameters(o)),
            headers={**headers(s, o.token), "Accept": "text/event-stream", "Cache-Control": "no-cache"},
        )
        response = await client.send(request, stream=True)
        if response.status_code != 200:
            raise await refusal(response)
        if content_type(response) != "text/event-stream":
            raise cut(f"the answer is {content_type(response)!r}, not text/event-stream")
    except httpx.HTTPError as e:
        await client.aclose()
        raise lost(e) from e
    except BaseException:
        await client.aclose()
        raise
    return SSEConn(s, o, client, response, alive)


class SSEConn:
    def __init__(self, s: Settings, o: Opening, client: httpx.AsyncClient, response: httpx.Response, alive: Alive) -> None:
        self._settings = s
        self._opening = o
        self._client = client
        self._response = response
        self._chunks: AsyncIterator[bytes] = response.aiter_raw()
        self._alive = alive
        self.token = o.token  # of the stream, for as long as it lives
        self._ack_token = o.token
        self._parser = EventParser()
        self._frames: Deque[ServerFrame] = deque()
        self._greeted = False

    async def next(self) -> Optional[ServerFrame]:
        while not self._frames:
            try:
                chunk = await self._chunks.__anext__()
            except StopAsyncIteration:
                raise cut("the stream has ended") from None
            except httpx.HTTPError as e:
                raise cut(f"{type(e).__name__}: {e}") from e
            self._alive()
            for event in self._parser.feed(chunk):
                frame = decode_event(event.name, event.id, event.data)
                if isinstance(frame, HelloFrame):
                    self._greeted = True
                elif isinstance(frame, GoAwayFrame) and not self._greeted:
                    # Of a refusal retry: says when to come back (SPEC 5.4.1); elsewhere it is for EventSource. C 7.3, 7.5
                    frame = replace(frame, retry_ms=event.retry_ms)
                if frame is not None:
                    self._frames.append(frame)
        return self._frames.popleft()

    async def ack(self, seq: int, cursor: str) -> None:
        url = address(self._settings, "/ramen/ack", [*identity(self._opening), ("cursor", cursor)])
        await post_ack(self._client, url, headers(self._settings, self._ack_token))

    async def echo(self, time_ms: int) -> None:
        pass

    async def refresh(self, token: str, context: Optional[Context]) -> bool:
        self._ack_token = token
        return False

    async def finish(self) -> None:
        pass

    def abandon(self) -> None:
        pass  # an end of HTTP says nothing

    async def close(self) -> None:
        await self._response.aclose()
        await self._client.aclose()


async def post_ack(client: httpx.AsyncClient, url: str, sent_headers: Dict[str, str]) -> None:
    """Sends an ack and waits for the answer. SPEC 5.5"""

    async def post() -> httpx.Response:
        if client.is_closed:  # the stream has ended meanwhile: httpx takes that for a mistake of the caller's
            raise cut("the stream has ended")
        return await client.post(url, headers=sent_headers)

    try:
        response = await within(post(), ACK_TIMEOUT)
    except asyncio.TimeoutError:
        raise cut("an ack was not answered") from None
    except httpx.HTTPError as e:
        raise lost(e) from e
    if 200 <= response.status_code < 300:
        return
    end = refused(response, response.content).end
    raise AckRefused(end) if response.status_code in (400, 404) else EndError(end)  # C 12.2
