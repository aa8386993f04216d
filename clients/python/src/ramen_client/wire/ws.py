"""A stream over WebSocket: SPEC 6."""

from __future__ import annotations

import asyncio
from typing import Any, Dict, Optional, Union

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException
from websockets.typing import Subprotocol

from .. import ends
from ..ends import EndError, cut
from ..message import Context
from ..settings import Settings
from . import jsonframes, protoframes
from .conn import Alive, Conn
from .frames import MAX_FRAME, HeartbeatFrame, Opening, ServerFrame
from .query import address, headers, parameters

JSON = "ramen.v1.json"
PROTO = "ramen.v1.proto"


class _Connection(ClientConnection):
    """Tells of every byte that comes in, so that those of an incomplete frame count (C 4.3), and waits for nothing after the server's
    close frame: a server that leaves the TCP connection open would be heard of late."""

    alive: Alive

    def data_received(self, data: bytes) -> None:
        self.alive()
        super().data_received(data)
        if self.protocol.close_rcvd is not None:
            self.transport.close()


class _Connect(connect):
    """Follows no redirect. C 3.5"""

    def process_redirect(self, exc: Exception) -> Union[Exception, str]:
        return exc


async def dial_ws(s: Settings, transport: str, o: Opening, alive: Alive) -> Conn:
    url = "ws" + address(s, "/ramen/ws", parameters(o))[len("http") :]

    def connection(*args: Any, **kwargs: Any) -> _Connection:
        made = _Connection(*args, **kwargs)
        made.alive = alive
        return made

    more: Dict[str, Any] = {"ssl": s.ssl} if s.ssl is not None and url.startswith("wss") else {}
    try:
        socket = await _Connect(
            url,
            subprotocols=[Subprotocol(JSON if transport == "ws-json" else PROTO)],
            additional_headers=headers(s, o.token),
            create_connection=connection,  # type: ignore[arg-type]
            compression=None,
            open_timeout=None,  # the device has its own
            ping_interval=None,  # heartbeats are data: SPEC 2.8.7
            close_timeout=1,
            max_size=MAX_FRAME,
            **more,
        )
    except InvalidStatus as e:
        raise EndError(_refusal(e)) from e
    except (OSError, EOFError, WebSocketException) as e:
        raise cut(f"{type(e).__name__}: {e}", reached=not isinstance(e, OSError)) from e
    # A server without the proto subprotocol falls back to JSON. SPEC 6.1.3
    return WSConn(socket, o.token, proto=socket.subprotocol == PROTO)


def _refusal(e: InvalidStatus) -> ends.End:
    said = jsonframes.decode_error(bytes(e.response.body or b""))
    code, message = said if said else ("", "")
    retry_after = ends.read_retry_after(e.response.headers.get("Retry-After"))
    return ends.of_http_error(e.response.status_code, code, message, retry_after)


class WSConn:
    def __init__(self, socket: ClientConnection, token: str, proto: bool) -> None:
        self.token = token
        self._socket = socket
        self._proto = proto

    async def next(self) -> Optional[ServerFrame]:
        try:
            data = await self._socket.recv()
        except ConnectionClosed as e:
            raise EndError(_end(e)) from e
        if not data:
            return HeartbeatFrame()  # SPEC 6.2.6
        if isinstance(data, str):
            return jsonframes.decode_text_frame(data)
        return protoframes.decode_frame(data)

    async def ack(self, seq: int, cursor: str) -> None:
        cursor = "" if seq else cursor
        await self._send(protoframes.encode_ack(seq, cursor) if self._proto else jsonframes.encode_ack(seq, cursor))

    async def echo(self, time_ms: int) -> None:
        await self._send(b"" if self._proto else "")

    async def refresh(self, token: str, context: Optional[Context]) -> bool:
        self.token = token
        if self._proto:
            await self._send(protoframes.encode_refresh(token, context))
        else:
            await self._send(jsonframes.encode_refresh(token, context))
        return True

    async def _send(self, data: Union[str, bytes]) -> None:
        try:
            await self._socket.send(data)
        except ConnectionClosed as e:
            raise EndError(_end(e)) from e

    async def finish(self) -> None:
        await self._socket.close(1000)

    def abandon(self) -> None:
        self._socket.transport.abort()

    async def close(self) -> None:
        """A word of farewell where the socket takes it, and none is waited for."""
        if self._socket.state.name == "OPEN":
            goodbye = asyncio.get_running_loop().create_task(self._socket.close(1000))
            await asyncio.sleep(0)
            goodbye.cancel()
            await asyncio.wait([goodbye])
        self._socket.transport.abort()


def _end(e: ConnectionClosed) -> ends.End:
    """What the server's close frame said; nothing where there was none, or where this side closed first."""
    if e.rcvd is None or e.rcvd_then_sent is False:
        return ends.of_close_code(None, "")
    return ends.of_close_code(e.rcvd.code, e.rcvd.reason)
