"""Device: the part of a client that apps see."""

from __future__ import annotations

import asyncio
import ssl as ssl_module
from dataclasses import replace
from typing import Any, AsyncIterator, Callable, Mapping, Optional, Sequence, Union

from .backoff import draw
from .cursors import CursorStore
from .ends import End
from .errors import RamenError, ended
from .handling import Handler, Handling
from .inbox import Inbox
from .keeper import Keeper
from .message import Context, Hello, Message
from .place import Place
from .pull import Pull
from .seen import Seen
from .settings import Settings, check_context, checked, own_labels
from .state import Listeners, State, StateChange, Stats
from .tokens import TokenCallback, Tokens
from .wire.conn import Dial
from .wire.dial import Dialer


class Device:
    """Holds a stream to the server, and opens it again whenever it ends, until the device is closed.

    As a loop, in which a message counts as processed when the loop asks for the next one:

        async with Device(url="http://127.0.0.1:8080", user="alice", device="phone") as device:
            async for message in device:
                print(message.json())

    Or with a handler, a coroutine function or a plain one (which is called in a thread); a message is processed once it returns:

        device = Device(url=..., user="alice", device="phone", handler=handle)
        await device.run()

    Messages come at least once, in the order of priority and then of acceptance. The device drops what it has processed before, by the
    last 2,048 ids. A handler that raises: the message is not processed, the device lets go of the stream and opens another after a
    pause, where the message comes again. So return normally for what can never be processed.
    """

    def __init__(
        self,
        url: str = "",
        *,
        grpc: str = "",
        user: str = "",
        device: str = "",
        token: Union[None, str, TokenCallback] = None,
        handler: Optional[Handler] = None,
        cursors: Optional[CursorStore] = None,
        context: Optional[Context] = None,
        transports: Sequence[str] = (),
        window: int = 0,
        heartbeat: float = 0.0,
        poll_wait: float = 25.0,
        connect_timeout: float = 10.0,
        fallback_after: int = 2,
        prefer_after: float = 300.0,
        close_timeout: float = 5.0,
        headers: Optional[Mapping[str, str]] = None,
        ssl: Optional[ssl_module.SSLContext] = None,
        grpc_credentials: Any = None,
        on_state: Optional[Callable[[StateChange], Any]] = None,
        on_hello: Optional[Callable[[Hello], Any]] = None,
        on_reload: Optional[Callable[[int], Any]] = None,
        on_token: Optional[Callable[[], Any]] = None,
        on_error: Optional[Callable[[str, BaseException], Any]] = None,
        on_closed: Optional[Callable[[str], Any]] = None,
    ) -> None:
        """Raises SettingError where a setting is wrong. All times are in seconds.

        - url: the devices' HTTP port, for ws, sse and poll. grpc: host:port of the devices' gRPC port, https://host:port for TLS.
        - user: whom messages are for, while authentication is off; else the token names it. device: this installation, which keeps its
          id for as long as it lives.
        - token: the device's JWT, or a callback that answers it, plain or async. It is asked at each opening, shortly before the token
          expires, and after a refusal until it answers with another.
        - cursors: where the place is kept across restarts. Without it, what is not acked comes again after a restart.
        - context: what the device says of itself.
        - transports: in the order of preference: ws (ws-proto), ws-json, sse, poll, grpc. By default grpc where its address is given,
          then ws, sse, poll, as far as they are installed.
        - window: the most pushes unacked at once; 0: the transport's most. heartbeat: the interval asked for, 1 to 60; 0: the server's.
        - poll_wait: how long a long-poll waits. connect_timeout: from an opening to hello.
        - fallback_after: so many failures make the next transport's turn. prefer_after: when the first is tried again; negative: never.
        - close_timeout: how long a handler that is under way may take when the device is closed, until it is cancelled.
        - headers: sent with every HTTP request. ssl: for https and wss. grpc_credentials: channel credentials instead of grpc's own.
        - on_state, on_hello, on_reload(expired), on_token, on_error(of, error), on_closed(reason): listeners, called in the event loop;
          they must not block.
        """
        self._settings = checked(
            Settings(
                url=url.rstrip("/") if isinstance(url, str) else url,
                grpc=grpc,
                user=user,
                device=device,
                has_token=token is not None,
                transports=transports,
                context=context if context is not None else Context(),
                headers=dict(headers or {}),
                ssl=ssl,
                grpc_credentials=grpc_credentials,
                window=window,
                heartbeat=heartbeat,
                poll_wait=poll_wait,
                connect_timeout=connect_timeout,
                fallback_after=fallback_after,
                prefer_after=prefer_after,
                close_timeout=close_timeout,
            )
        )
        self._token = token
        self._handler = handler
        self._cursors = cursors
        self._listeners = Listeners(on_state, on_hello, on_reload, on_token, on_error, on_closed)
        self._stats = Stats()
        self._seen = Seen()
        self._cursor = ""
        self._draw = draw
        self._dial: Optional[Dial] = None  # tests have their own
        self._loop: Optional[asyncio.AbstractEventLoop] = None
        self._task: Optional["asyncio.Task[None]"] = None
        self._stopping: Optional[asyncio.Event] = None
        self._ended: Optional["asyncio.Future[None]"] = None
        self._keeper: Optional[Keeper] = None
        self._handling: Optional[Handling] = None
        self._pull: Optional[Pull] = None

    # Its life.

    def start(self) -> None:
        """Begins in the background, in the running event loop. A device that has ended may be started again."""
        if self._task is not None and not self._task.done():
            raise RamenError("the device is running already")
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        self._ended = self._loop.create_future()
        self._pull = Pull()
        self._task = self._loop.create_task(self._run(self._stopping, self._ended, self._pull))
        self._task.add_done_callback(lambda task: task.cancelled() or task.exception())  # told by wait(), where anybody asks

    async def wait(self) -> None:
        """Waits until the device has ended. Raises Ended (Superseded, Disconnected, ...) where the server wished so; C 6.2."""
        if self._task is not None:
            await asyncio.shield(self._task)

    async def run(self) -> None:
        """start, wait and, when it is cancelled, close."""
        self.start()
        try:
            await self.wait()
        finally:
            await self.close()

    def stop(self) -> None:
        """Begins to close, and returns at once. It may be called from anywhere: a listener, a handler, another thread."""
        loop, stopping = self._loop, self._stopping
        if loop is None or stopping is None or loop.is_closed():
            return
        try:
            running = asyncio.get_running_loop()
        except RuntimeError:
            running = None
        if running is loop:
            stopping.set()
        else:
            loop.call_soon_threadsafe(stopping.set)

    async def close(self) -> None:
        """Acks what is processed, ends the stream, and returns once the handler has. Within the handler it returns at once. C 12.5, 12.6"""
        self.stop()
        task = self._task
        own = self._handling is not None and self._handling.task is asyncio.current_task()
        if task is not None and not own:
            await asyncio.wait([task])

    async def __aenter__(self) -> "Device":
        self.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    async def __aiter__(self) -> AsyncIterator[Message]:
        """The messages, until the device is closed. Raises Ended where the server ended it."""
        if self._handler is not None:
            raise RamenError("the device has a handler: messages go there")
        if self._pull is None or self._ended is None:
            raise RamenError("the device is not started: use async with, or start()")
        pull, ended_future = self._pull, self._ended
        message: Optional[Message] = None
        while True:
            message = await pull.next(message, ended_future)
            if message is None:
                break
            yield message
        await self.wait()

    # What an app may ask for while it runs. They may be called in the event loop alone.

    def reconnect(self) -> None:
        """Opens at once where a pause is under way: the user asked for it, say. C 7.6"""
        if self._keeper is not None:
            self._keeper.reconnect()

    def network(self, online: bool, changed: bool = False) -> None:
        """What the platform says of the network: whether there is one, and that it is another than before. A hint. C 10"""
        if self._keeper is not None:
            self._keeper.network(online, changed)

    def set_context(self, context: Context) -> None:
        """Replaces what the device says of itself: on the open stream, by the next poll, or (SSE) by a next stream."""
        context = own_labels(check_context(context))
        self._settings = replace(self._settings, context=context)
        if self._keeper is not None:
            self._keeper.set_context(context)

    @property
    def state(self) -> StateChange:
        return self._listeners.current

    @property
    def stats(self) -> Stats:
        """A copy."""
        return replace(self._stats)

    @property
    def cursor(self) -> str:
        """The place: of the last push processed, or of a hello before one. Empty: none yet."""
        return self._keeper.place.cursor if self._keeper is not None else self._cursor

    # Inside.

    async def _crash(self) -> None:
        """Drops everything without a word to the server, as a process that is killed does. For tests."""
        task, keeper, handling = self._task, self._keeper, self._handling
        if task is None or keeper is None:
            return
        for stream in keeper.streams():
            stream.abandon()
        if handling is not None and handling.task is not None:
            handling.task.cancel()
        task.cancel()
        await asyncio.wait([task])

    async def _run(self, stopping: asyncio.Event, ended_future: "asyncio.Future[None]", pull: Pull) -> None:
        final: Optional[End] = None
        place = Place(self._cursors, self._listeners)
        place.cursor = self._cursor
        inbox = Inbox()
        handler = self._handler if self._handler is not None else pull.handle
        handling = Handling(handler, inbox, place, self._seen, self._stats, self._listeners, stopping)
        tokens = Tokens(self._token, self._settings.connect_timeout)
        dial = self._dial if self._dial is not None else Dialer(self._settings).dial
        keeper = Keeper(self._settings, tokens, place, inbox, self._stats, self._listeners, dial, self._draw)
        self._keeper, self._handling = keeper, handling
        try:
            await place.load()
            if not stopping.is_set():
                handling.start()
                keeper.begin()
                final = await self._until_end(keeper, handling, stopping)
        finally:
            await self._shut(keeper, handling, place, pull)
            self._cursor = place.cursor
            self._listeners.state(StateChange(State.STOPPED, cause=str(final) if final else ""))
            self._listeners.closed(final.reason if final else "closed")
            ended_future.set_result(None)
        if final is not None:
            raise ended(final.reason, final.detail)

    async def _until_end(self, keeper: Keeper, handling: Handling, stopping: asyncio.Event) -> Optional[End]:
        stop = asyncio.get_running_loop().create_task(stopping.wait())
        try:
            waits = [w for w in (stop, keeper.final, handling.task) if w is not None]
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stop.cancel()
        if handling.task is not None and handling.task.done() and not handling.task.cancelled():
            handling.task.result()  # it ends by itself where the handler raised SystemExit or the like
        return keeper.final.result() if keeper.final.done() and not stopping.is_set() else None

    async def _shut(self, keeper: Keeper, handling: Handling, place: Place, pull: Pull) -> None:
        keeper.stop_opening()
        # A loop that asks for no more leaves its last message unprocessed.
        await handling.stop(0.0 if self._handler is None else self._settings.close_timeout)
        if keeper.live is not None:
            await keeper.live.finish()
        await keeper.close()
        await place.close()
