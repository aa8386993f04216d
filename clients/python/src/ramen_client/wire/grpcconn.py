"""A stream over gRPC: SPEC 7."""

from __future__ import annotations

import asyncio
from typing import Any, List, Optional, Tuple, Union

import grpc
import grpc.aio

from .. import ends
from ..calling import within
from ..ends import EndError, cut
from ..message import Context
from ..settings import Settings
from . import protoframes
from .conn import Alive, Conn
from .frames import MAX_FRAME, Opening, ServerFrame

STREAM = "/ramen.v1.Devices/Stream"

FINISH_TIMEOUT = 0.25
"""How long a server may take to end a stream that the device has finished, in s."""

OPTIONS: List[Tuple[str, Any]] = [
    ("grpc.max_receive_message_length", MAX_FRAME),
    ("grpc.enable_retries", 0),  # they are the device's and the publisher's part
    ("grpc.use_local_subchannel_pool", 1),  # a connection, and its pauses, of its own
]


def new_channel(target: str, credentials: Any) -> grpc.aio.Channel:
    """host:port is cleartext unless there are credentials; https:// is TLS."""
    secure = target.startswith("https://")
    address = target.split("://", 1)[-1].rstrip("/")
    if secure and ":" not in address.rpartition("]")[2]:
        address += ":443"
    if credentials is None and not secure:
        return grpc.aio.insecure_channel(address, options=OPTIONS)
    if credentials is None:
        credentials = grpc.ssl_channel_credentials()
    return grpc.aio.secure_channel(address, credentials, options=OPTIONS)


def bearer(token: str) -> List[Tuple[str, str]]:
    return [("authorization", f"Bearer {token}")] if token else []


def _unchanged(data: bytes) -> bytes:
    return data


async def dial_grpc(s: Settings, o: Opening, alive: Alive) -> Conn:
    channel = new_channel(s.grpc, s.grpc_credentials)
    stream = channel.stream_stream(STREAM, request_serializer=_unchanged, response_deserializer=_unchanged)
    call = stream(metadata=bearer(o.token))
    conn = GRPCConn(channel, call, o.token, alive)
    try:
        opening = Opening(o.user, o.device, o.cursor, o.context, "", o.window, o.heartbeat_ms)
        await conn.send(protoframes.encode_open(opening))
    except BaseException:
        await conn.close()
        raise
    return conn


class GRPCConn:
    def __init__(self, channel: grpc.aio.Channel, call: Any, token: str, alive: Alive) -> None:
        self.token = token
        self._channel = channel
        self._call = call
        self._alive = alive
        self._sending = asyncio.Lock()
        self._over = asyncio.Event()

    async def next(self) -> Optional[ServerFrame]:
        try:
            data: Union[bytes, Any] = await self._call.read()
        except grpc.aio.AioRpcError as e:
            self._over.set()
            raise EndError(ends.of_grpc_status(e.code().name, e.details() or "")) from e
        except (asyncio.CancelledError, grpc.RpcError):
            self._over.set()
            if self._call.cancelled():
                raise cut("the call was cancelled") from None
            raise
        if data is grpc.aio.EOF:  # type: ignore[attr-defined,unused-ignore]
            self._over.set()
            raise EndError(await self._status())
        self._alive()
        return protoframes.decode_frame(bytes(data))

    async def _status(self) -> ends.End:
        code = await self._call.code()
        return ends.of_grpc_status(code.name, await self._call.details() or "")

    async def send(self, data: bytes) -> None:
        async with self._sending:
            try:
                await self._call.write(data)
            except grpc.aio.AioRpcError as e:
                raise EndError(ends.of_grpc_status(e.code().name, e.details() or "")) from e
            except (asyncio.InvalidStateError, grpc.RpcError) as e:
                raise EndError(await self._status()) from e

    async def ack(self, seq: int, cursor: str) -> None:
        await self.send(protoframes.encode_ack(seq, "" if seq else cursor))

    async def echo(self, time_ms: int) -> None:
        await self.send(protoframes.encode_heartbeat(time_ms))

    async def refresh(self, token: str, context: Optional[Context]) -> bool:
        self.token = token
        await self.send(protoframes.encode_refresh(token, context))
        return True

    async def finish(self) -> None:
        """Half-closes: what was written and not sent yet would be dropped by a call that is cancelled."""
        async with self._sending:
            await self._call.done_writing()
        try:
            await within(self._over.wait(), FINISH_TIMEOUT)
        except asyncio.TimeoutError:
            pass

    def abandon(self) -> None:
        self._call.cancel()

    async def close(self) -> None:
        self._call.cancel()
        await self._channel.close(None)
