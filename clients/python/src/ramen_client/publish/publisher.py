"""Publisher: for asyncio."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import ssl as ssl_module
from typing import Any, Awaitable, Callable, List, Mapping, Optional, Sequence, TypeVar, Union

from ..backoff import draw
from ..calling import within
from ..errors import Closed, SettingError
from ..message import Message, Priority
from ..settings import check_name, check_target, check_url
from .backend import Backend
from .batch import Batcher
from .call import Call
from .publication import ABSENT, KnownDevice, Publication, Result

T = TypeVar("T")

TIMEOUT = 30.0
"""How long a publish is tried, in s, unless the caller says. C 14.2"""
ANSWER_TIMEOUT = 10.0
"""How long one request waits for its answer, in s: twice the server's own deadline."""


class Publisher:
    """Publishes messages. One is best shared by all tasks of an event loop: what they publish at the same time goes in one request.

    Each message has an id before its first attempt. What the server cannot take now is tried again under that id, so that nothing is
    delivered twice.
    """

    def __init__(
        self,
        url: str = "",
        *,
        grpc: str = "",
        key: str = "",
        max_batch: int = 256,
        in_flight: int = 4,
        linger: float = 0.0,
        ssl: Optional[ssl_module.SSLContext] = None,
        grpc_credentials: Any = None,
        on_retry: Optional[Callable[[Exception], Any]] = None,
    ) -> None:
        """Raises SettingError where a setting is wrong. All times are in seconds.

        - url: the backends' HTTP port, http://ramen.internal:9080. grpc: host:port of their gRPC port, https://host:port for TLS; where it
          is given, everything goes over it.
        - key: the API key. max_batch: the most messages of one request, users counted one by one, at most 1,000. in_flight: the most
          requests out at once. linger: how long a request waits for more messages.
        - on_retry: told why messages are to be tried again. It must not block.
        """
        if not url and not grpc:
            raise SettingError("url", url, "give url, such as http://ramen.internal:9080, or grpc, such as ramen.internal:9081")
        if grpc:
            check_target("grpc", grpc)
        else:
            check_url("url", url)
        module = "grpc" if grpc else "httpx"
        if importlib.util.find_spec(module) is None:
            extra = "grpc" if grpc else "http"
            raise SettingError(extra if grpc else "url", grpc or url, f"it is not installed: pip install 'ramen-client[{extra}]'")
        if not 1 <= max_batch <= 1000:
            raise SettingError("max_batch", max_batch, "use 1 to 1000 messages")
        if in_flight < 1:
            raise SettingError("in_flight", in_flight, "use 1 request or more")
        if linger < 0:
            raise SettingError("linger", linger, "use 0 s or more")
        self._url = url.rstrip("/")
        self._grpc = grpc
        self._key = key
        self._max_batch = max_batch
        self._in_flight = in_flight
        self._linger = linger
        self._ssl = ssl
        self._credentials = grpc_credentials
        self._on_retry = on_retry
        self._draw = draw
        self._backend: Optional[Backend] = None
        self._batcher: Optional[Batcher] = None
        self._calls = 0  # under way
        self._idle: Optional[asyncio.Event] = None  # made by close
        self._closed = False

    async def publish(
        self,
        user: str,
        payload: Any = ABSENT,
        *,
        data: bytes = b"",
        content_type: str = "",
        type: str = "",
        priority: Union[Priority, str] = Priority.MEDIUM,
        ttl: float = 0.0,
        id: str = "",
        device: str = "",
        collapse_key: str = "",
        headers: Optional[Mapping[str, str]] = None,
        where: Optional[Mapping[str, str]] = None,
        timeout: float = TIMEOUT,
    ) -> Result:
        """Publishes one message and waits until the server has said accepted or duplicate; Publication says what the fields are.

        Raises PublishError where the server refuses, UnknownOutcome where no answer came within timeout: the message may or may not be
        stored; publish it again under the id that the error has. SettingError: a field is wrong.
        """
        p = Publication(
            user, (), payload, data, content_type, type, priority, ttl, id, device, collapse_key, dict(headers or {}), dict(where or {})
        )
        p.targets()
        p.values()
        (result,) = await self.publish_all([p], timeout)
        if result.error is not None:
            raise result.error
        return result

    async def publish_all(self, publications: Sequence[Publication], timeout: float = TIMEOUT) -> List[Result]:
        """Publishes messages, in their order; one result for each message and user, in order. One that is rejected has the reason in its
        result. Messages that had to be tried again may come after those behind them.

        Raises UnknownOutcome where some have no answer within timeout; it has the results of all.
        """
        backend, batcher = self._begin()
        try:
            call = Call(publications, backend)
            await call.run(batcher, self._max_batch, timeout, self._draw, self._on_retry)
            return call.results
        finally:
            self._end()

    async def devices(self, user: str, timeout: float = ANSWER_TIMEOUT) -> List[KnownDevice]:
        """The user's known devices. This and what follows raise PublishError, and NoAnswer where none came."""
        return await self._ask(user, lambda b: b.devices(user, timeout))

    async def messages(self, user: str, timeout: float = ANSWER_TIMEOUT) -> List[Message]:
        """What waits in the user's mailbox, without payloads over 16 KiB."""
        return await self._ask(user, lambda b: b.messages(user, timeout))

    async def recall(self, user: str, id: str, timeout: float = ANSWER_TIMEOUT) -> bool:
        """Takes a waiting message back; False where there is none of that id. What was pushed already is not undone."""
        check_name("id", id)
        return await self._ask(user, lambda b: b.recall(user, id, timeout))

    async def disconnect(self, user: str, device: str = "", detail: str = "", timeout: float = ANSWER_TIMEOUT) -> int:
        """Ends the stream of one device, or of all the user's; how many there were. They are told not to come back by themselves."""
        return await self._ask(user, lambda b: b.disconnect(user, device, detail, timeout))

    async def _ask(self, user: str, question: Callable[[Backend], Awaitable[T]]) -> T:
        check_name("user", user)
        backend, _ = self._begin()
        try:
            return await question(backend)
        finally:
            self._end()

    def _begin(self) -> "tuple[Backend, Batcher]":
        if self._closed:
            raise Closed("the publisher is closed")
        if self._backend is None or self._batcher is None:
            self._backend = self._connect()
            self._batcher = Batcher(self._backend, self._max_batch, self._in_flight, self._linger, ANSWER_TIMEOUT)
        self._calls += 1
        return self._backend, self._batcher

    def _connect(self) -> Backend:
        if self._grpc:
            from .grpcbackend import GRPCBackend

            return GRPCBackend(self._grpc, self._key, self._credentials)
        from .httpbackend import HTTPBackend

        return HTTPBackend(self._url, self._key, self._ssl, self._in_flight)

    def _end(self) -> None:
        self._calls -= 1
        if not self._calls and self._idle is not None:
            self._idle.set()

    async def close(self, timeout: float = TIMEOUT) -> None:
        """Waits for what is out, for at most timeout, and lets go of the connections. What is published afterwards is refused. C 14.7"""
        self._closed = True
        if self._calls:
            self._idle = asyncio.Event()
            with contextlib.suppress(asyncio.TimeoutError):
                await within(self._idle.wait(), timeout)
        if self._batcher is not None:
            await self._batcher.close()
        if self._backend is not None:
            await self._backend.close()

    async def __aenter__(self) -> "Publisher":
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()
