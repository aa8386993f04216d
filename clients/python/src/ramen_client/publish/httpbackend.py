"""Backends' HTTP: SPEC 8.2."""

from __future__ import annotations

import asyncio
import json
import ssl as ssl_module
from typing import Any, Dict, List, Mapping, Optional, Sequence
from urllib.parse import quote

import httpx

from ..calling import within
from ..ends import read_retry_after
from ..errors import PublishError
from ..message import Context, Message
from ..wire.frames import FrameError
from ..wire.jsonframes import decode_error, decode_push
from ..wire.jsonscan import elements, members
from .backend import NoAnswer
from .publication import KnownDevice, to_json


class HTTPBackend:
    def __init__(self, url: str, key: str, ssl: Optional[ssl_module.SSLContext], in_flight: int) -> None:
        limits = httpx.Limits(max_keepalive_connections=in_flight, keepalive_expiry=60)
        self._url = url
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._client = httpx.AsyncClient(verify=ssl if ssl is not None else True, timeout=None, limits=limits)

    def encode(self, values: Mapping[str, Any], users: Sequence[str]) -> bytes:
        return to_json(values, users)

    async def exchange(self, encoded: Sequence[bytes], timeout: float) -> List[Dict[str, Any]]:
        answer = await self._call("POST", "/v1/publish", timeout, b'{"messages":[' + b",".join(encoded) + b"]}")
        results = _json(answer).get("results")
        if not isinstance(results, list) or not all(isinstance(r, dict) for r in results):
            raise NoAnswer("the answer has no results")
        return results

    async def _call(self, method: str, path: str, timeout: float, body: Optional[bytes] = None) -> bytes:
        headers = dict(self._headers)
        if body is not None:
            headers["Content-Type"] = "application/json"
        try:
            response = await within(self._client.request(method, self._url + path, content=body, headers=headers), timeout)
        except asyncio.TimeoutError:
            raise NoAnswer(f"no answer within {timeout:g} s") from None
        except httpx.HTTPError as e:
            raise NoAnswer(f"{type(e).__name__}: {e}") from e
        if 200 <= response.status_code < 300:
            return response.content
        raise _refusal(response)

    async def recall(self, user: str, message_id: str, timeout: float) -> bool:
        try:
            await self._call("DELETE", _path(user, "messages", message_id), timeout)
        except PublishError as e:
            if e.code == "not_found":
                return False
            raise
        return True

    async def disconnect(self, user: str, device: str, detail: str, timeout: float) -> int:
        body = json.dumps({k: v for k, v in (("device", device), ("detail", detail)) if v}).encode()
        return int(_json(await self._call("POST", _path(user, "disconnect"), timeout, body)).get("streams", 0))

    async def devices(self, user: str, timeout: float) -> List[KnownDevice]:
        found = _json(await self._call("GET", _path(user, "devices"), timeout)).get("devices", [])
        return [_device(d) for d in found]

    async def messages(self, user: str, timeout: float) -> List[Message]:
        text = (await self._call("GET", _path(user, "messages"), timeout)).decode("utf-8")
        try:
            for name, (begin, _) in members(text):
                if name == "messages":
                    return [decode_push(text[a:b]).message for a, b in elements(text, begin)]
        except FrameError as e:
            raise NoAnswer(f"the answer is not of the contract: {e}") from e
        return []

    async def close(self) -> None:
        await self._client.aclose()


def _json(body: bytes) -> Dict[str, Any]:
    try:
        answer = json.loads(body)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise NoAnswer("the answer is no JSON object")
    return answer


def _path(user: str, *rest: str) -> str:
    return "/v1/users/" + "/".join(_segment(s) for s in (user, *rest))


def _segment(text: str) -> str:
    """Dots are escaped too where they would be taken for a folder."""
    return text.replace(".", "%2E") if text in (".", "..") else quote(text, safe="")


def _device(d: Mapping[str, Any]) -> KnownDevice:
    fields = {k: v for k, v in d.items() if k in KnownDevice.__dataclass_fields__}
    context = {k: v for k, v in (d.get("context") or {}).items() if k in Context.__dataclass_fields__}
    return KnownDevice(**dict(fields, context=Context(**context)))


def _refusal(response: httpx.Response) -> PublishError:
    """The server's error. What came from something in between counts by its status: 4xx will not get better by itself, all else is
    as good as no answer."""
    retry_after = read_retry_after(response.headers.get("Retry-After"))
    own = decode_error(response.content)
    if own:
        return PublishError(own[0], own[1], retry_after)
    status = response.status_code
    code = {401: "unauthenticated", 403: "permission_denied", 408: "unavailable", 429: "resource_exhausted"}.get(status)
    if code is None:
        code = "invalid_argument" if 300 <= status < 500 else "unavailable"
    hint = "; is the url the backends' port?" if code == "invalid_argument" else ""
    return PublishError(code, f"http status {status}{hint}", retry_after)
