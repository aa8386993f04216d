"""One stream of a device, whatever the transport."""

from __future__ import annotations

from typing import Awaitable, Callable, Optional, Protocol

from ..ends import EndError
from ..message import Context
from .frames import Opening, ServerFrame

Alive = Callable[[], None]
"""Called whenever bytes of the stream came in, complete frames or not (over gRPC: frames only)."""


class AckRefused(EndError):
    """The server does not know the place that an ack names."""


class Conn(Protocol):
    """Methods raise EndError where the stream is over; next alone has to."""

    token: str
    """The one that the server goes by."""

    async def next(self) -> Optional[ServerFrame]:
        """The next frame; None for one that this version does not know."""

    async def ack(self, seq: int, cursor: str) -> None:
        """Every push up to this one has been processed. Over SSE it is a request, and waits for the answer; over poll it is what
        the next poll begins with."""

    async def echo(self, time_ms: int) -> None:
        """Answers a heartbeat. Over one-way transports it does nothing."""

    async def refresh(self, token: str, context: Optional[Context]) -> bool:
        """Hands over a new token and context (None: unchanged). False over SSE: only a new stream takes them to the server."""

    async def finish(self) -> None:
        """Ends the stream in order: what was written before arrives."""

    def abandon(self) -> None:
        """Ends the stream as if the process were killed, as far as that can be."""

    async def close(self) -> None:
        """Ends the stream at once, without waiting for the server."""


Dial = Callable[[str, Opening, Alive], Awaitable[Conn]]
"""Opens a stream over a transport."""
