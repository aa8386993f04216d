"""Opens streams over any transport."""

from __future__ import annotations

from ..settings import Settings, kind
from .conn import Alive, Conn
from .frames import Opening


class Dialer:
    """Each stream has a connection that no other stream has used. Libraries are imported when they are first needed."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    async def dial(self, transport: str, opening: Opening, alive: Alive) -> Conn:
        """Raises EndError where the stream is not opened."""
        which = kind(transport)
        if which == "ws":
            from .ws import dial_ws

            return await dial_ws(self._settings, transport, opening, alive)
        if which == "grpc":
            from .grpcconn import dial_grpc

            return await dial_grpc(self._settings, opening, alive)
        if which == "sse":
            from .sseconn import dial_sse

            return await dial_sse(self._settings, opening, alive)
        from .poll import PollConn

        return PollConn(self._settings, opening, alive)
