"""What SSE and long-poll share of HTTP."""

from __future__ import annotations

import functools
import ssl

import httpx

from .. import ends
from ..ends import EndError, cut
from ..settings import Settings
from . import jsonframes
from .frames import MAX_ERROR_BODY


@functools.lru_cache(maxsize=1)
def default_ssl() -> ssl.SSLContext:
    """httpx's own, made once: reading the roots takes some 30 ms, in which no other stream is read."""
    return httpx.create_ssl_context()


def new_client(s: Settings) -> httpx.AsyncClient:
    """The connections of one stream. The device has time-outs of its own, and takes no cookie and no redirect. C 3.5"""
    verify = s.ssl if s.ssl is not None else default_ssl()
    return httpx.AsyncClient(verify=verify, timeout=None, follow_redirects=False)


def lost(e: Exception) -> EndError:
    """No answer. A connection that was never made has not reached the server."""
    return cut(f"{type(e).__name__}: {e}", reached=not isinstance(e, (httpx.ConnectError, httpx.ConnectTimeout)))


async def refusal(response: httpx.Response) -> EndError:
    """Reads the answer to a refused request."""
    return refused(response, await read_some(response, MAX_ERROR_BODY))


def refused(response: httpx.Response, body: bytes) -> EndError:
    said = jsonframes.decode_error(body)
    code, message = said if said else ("", "")
    retry_after = ends.read_retry_after(response.headers.get("Retry-After"))
    return EndError(ends.of_http_error(response.status_code, code, message, retry_after))


async def read_some(response: httpx.Response, limit: int) -> bytes:
    """The begin of a body."""
    body = bytearray()
    try:
        async for chunk in response.aiter_raw():
            body += chunk
            if len(body) >= limit:
                break
    except httpx.HTTPError:
        pass  # what has come may do
    return bytes(body[:limit])


def content_type(response: httpx.Response) -> str:
    return str(response.headers.get("Content-Type", "")).split(";")[0].strip().lower()
