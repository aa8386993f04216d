"""A device in virtual time, and a server of which the test plays the part, frame by frame."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, Callable, Deque, List, Optional, Tuple, Union

from ramen_client import Context, Device, Hello, Message, StateChange
from ramen_client.ends import End, EndError, cut
from ramen_client.wire.conn import Alive
from ramen_client.wire.frames import GoAwayFrame, HeartbeatFrame, HelloFrame, Opening, PushFrame, ServerFrame

Said = Union[ServerFrame, End, Exception]


class FakeConn:
    """One stream, as the server sees it."""

    def __init__(self, transport: str, opening: Opening, alive: Alive, at: float) -> None:
        self.transport = transport
        self.opening = opening
        self.token = opening.token
        self.at = at
        self.alive = alive
        self.acks: List[Tuple[float, int, str]] = []
        self.echoes: List[int] = []
        self.refreshes: List[Tuple[str, Optional[Context]]] = []
        self.finished = self.closed = False
        self.close_takes = 0.0
        self.ack_errors: Deque[EndError] = deque()
        self._said: Deque[Said] = deque()
        self._ready = asyncio.Event()

    # What the test says.

    def say(self, *said: Said) -> "FakeConn":
        self._said.extend(said)
        self._ready.set()
        return self

    def hello(self, **fields: Any) -> "FakeConn":
        values = {"resumed": True, "stream": "s", "heartbeat_ms": 4000, "timeout_ms": 7000, "ack_ms": 100, "cursor": "k0"}
        return self.say(HelloFrame(**{**values, **fields}))

    def push(self, *seqs: int, **fields: Any) -> "FakeConn":
        for seq in seqs:
            m = Message(**{"id": f"m{seq}", "seq": seq, **fields})
            self.say(PushFrame(m, f"k{seq}"))
        return self

    def goaway(self, reason: str, within_ms: int = 0) -> "FakeConn":
        return self.say(GoAwayFrame(reason, within_ms))

    def heartbeat(self) -> "FakeConn":
        return self.say(HeartbeatFrame(7))

    # What the device does.

    async def next(self) -> Optional[ServerFrame]:
        while not self._said:
            self._ready.clear()
            await self._ready.wait()
        said = self._said.popleft()
        self.alive()
        if isinstance(said, End):
            raise EndError(said)
        if isinstance(said, Exception):
            raise said
        return said

    async def ack(self, seq: int, cursor: str) -> None:
        if self.ack_errors:
            raise self.ack_errors.popleft()
        self.acks.append((asyncio.get_running_loop().time(), seq, cursor))

    async def echo(self, time_ms: int) -> None:
        self.echoes.append(time_ms)

    async def refresh(self, token: str, context: Optional[Context]) -> bool:
        self.refreshes.append((token, context))
        if self.transport != "sse":
            self.token = token
        return self.transport != "sse"

    async def finish(self) -> None:
        self.finished = True

    def abandon(self) -> None:
        pass

    async def close(self) -> None:
        await asyncio.sleep(self.close_takes)
        self.closed = True

    @property
    def acked(self) -> List[int]:
        return [seq for _, seq, _ in self.acks]


class Fixture:
    """Each opening is answered by what the test has put into `answers`: a function of the new stream, or an exception. Without one,
    nothing is said."""

    def __init__(self, **settings: Any) -> None:
        self.conns: List[FakeConn] = []
        self.answers: Deque[Union[Exception, Callable[[FakeConn], Any]]] = deque()
        self.states: List[StateChange] = []
        self.hellos: List[Hello] = []
        self.reloads: List[int] = []
        self.errors: List[str] = []
        self.closed: List[str] = []
        self.token_wanted = 0
        self.handled: List[str] = []
        self.opened_at: List[float] = []
        listeners: dict[str, Any] = {
            "on_state": self.states.append,
            "on_hello": self.hellos.append,
            "on_reload": self.reloads.append,
            "on_error": lambda of, error: self.errors.append(of),
            "on_closed": self.closed.append,
            "on_token": self._token_wanted,
        }
        defaults: dict[str, Any] = {"url": "http://127.0.0.1:1", "user": "u", "device": "d", "transports": ["ws"]}
        handler = {} if "handler" in settings else {"handler": self.handle}
        self.device = Device(**{**defaults, **listeners, **handler, **settings})
        self.device._dial = self._dial
        self.bounds: List[float] = []
        self.device._draw = self._draw

    def _token_wanted(self) -> None:
        self.token_wanted += 1

    def _draw(self, bound: float) -> float:
        """The whole of each bound, so that pauses can be told."""
        self.bounds.append(bound)
        return bound

    async def handle(self, message: Message) -> None:
        self.handled.append(message.id)

    async def _dial(self, transport: str, opening: Opening, alive: Alive) -> FakeConn:
        self.opened_at.append(self.now())
        conn = FakeConn(transport, opening, alive, self.now())
        answer = self.answers.popleft() if self.answers else None
        if isinstance(answer, Exception):
            raise answer
        self.conns.append(conn)
        if answer is not None:
            answer(conn)
        return conn

    def now(self) -> float:
        return asyncio.get_running_loop().time()

    async def after(self, seconds: float = 0.001) -> None:
        """Lets virtual time go by."""
        await asyncio.sleep(seconds)

    async def __aenter__(self) -> "Fixture":
        self.device.start()
        await self.after()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.device.close()

    @property
    def conn(self) -> FakeConn:
        return self.conns[-1]

    @property
    def path(self) -> List[str]:
        return [str(s.state) for s in self.states]


def refused_connection() -> EndError:
    return cut("connection refused", reached=False)
