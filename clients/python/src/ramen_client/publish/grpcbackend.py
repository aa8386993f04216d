"""Backends' gRPC: SPEC 7.1."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Sequence

import grpc
import grpc.aio

from ..errors import PublishError
from ..message import Message
from ..wire.grpcconn import bearer, new_channel
from ..wire.protobuf import decode, encode
from .backend import NoAnswer
from .protobackend import TABLES, devices_of, messages_of, results_of, to_proto
from .publication import KnownDevice

_CODES = {
    "INVALID_ARGUMENT": "invalid_argument",
    "UNIMPLEMENTED": "invalid_argument",
    "UNAUTHENTICATED": "unauthenticated",
    "PERMISSION_DENIED": "permission_denied",
    "NOT_FOUND": "not_found",
    "RESOURCE_EXHAUSTED": "resource_exhausted",
    "UNAVAILABLE": "unavailable",
}


class GRPCBackend:
    def __init__(self, target: str, key: str, credentials: Any) -> None:
        self._channel = new_channel(target, credentials)
        self._metadata = bearer(key)

    def encode(self, values: Mapping[str, Any], users: Sequence[str]) -> bytes:
        return to_proto(values, users)

    async def exchange(self, encoded: Sequence[bytes], timeout: float) -> List[Dict[str, Any]]:
        # Messages that are joined are one message: each of these is a PublishRequest of one message.
        return results_of(await self._raw("Publish", b"".join(encoded), timeout))

    async def _raw(self, method: str, request: bytes, timeout: float) -> bytes:
        call: Any = self._channel.unary_unary(f"/ramen.v1.Backend/{method}", request_serializer=None, response_deserializer=None)
        try:
            return bytes(await call(request, timeout=timeout, metadata=self._metadata))
        except grpc.aio.AioRpcError as e:
            code = _CODES.get(e.code().name)
            if code is None:
                raise NoAnswer(f"{e.code().name}: {e.details()}") from e
            raise PublishError(code, e.details() or "") from e

    async def _call(self, method: str, timeout: float, **values: Any) -> bytes:
        return await self._raw(method, encode(TABLES[method + "Request"], values), timeout)

    async def recall(self, user: str, message_id: str, timeout: float) -> bool:
        try:
            answer = await self._call("Recall", timeout, user=user, id=message_id)
        except PublishError as e:
            if e.code == "not_found":
                return False
            raise
        return bool(decode(TABLES["RecallResponse"], answer).get("recalled", False))

    async def disconnect(self, user: str, device: str, detail: str, timeout: float) -> int:
        answer = await self._call("Disconnect", timeout, user=user, device=device, detail=detail)
        return int(decode(TABLES["DisconnectResponse"], answer).get("streams", 0))

    async def devices(self, user: str, timeout: float) -> List[KnownDevice]:
        return devices_of(await self._call("ListDevices", timeout, user=user))

    async def messages(self, user: str, timeout: float) -> List[Message]:
        return messages_of(await self._call("ListMessages", timeout, user=user))

    async def close(self) -> None:
        await self._channel.close(None)
