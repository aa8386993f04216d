"""The transports against servers that behave badly, byte by byte, over real sockets."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from typing import Any, Awaitable, Callable, Dict, List

import httpx
import pytest

from ramen_client import Device, InvalidArgument, Message, Unauthenticated
from ramen_client.ends import EndError
from ramen_client.wire.sseconn import post_ack
from server import eventually

Reader = asyncio.StreamReader
Writer = asyncio.StreamWriter
Serve = Callable[[str, Dict[str, str], Reader, Writer], Awaitable[None]]

HELLO = '{"resumed":true,"stream":"s","seq":0,"heartbeat_ms":1000,"timeout_ms":1750,"ack_ms":100,"time_ms":1,"expired":0,"cursor":"k0"}'
POLL = '{"resumed":true,"stream":"s","expired":0,"cursor":"k0","messages":[]}'
SSE_HEAD = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
HTML = "<html>Welcome to the hotel</html>"


class BadServer:
    """Calls `serve` for each request with its target and headers, and closes the connection when it returns."""

    def __init__(self, serve: Serve) -> None:
        self.serve = serve
        self.targets: List[str] = []
        self.headers: List[Dict[str, str]] = []

    async def __aenter__(self) -> "BadServer":
        self._server = await asyncio.start_server(self._connection, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._server.close()

    async def _connection(self, reader: Reader, writer: Writer) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            first, *lines = head.split("\r\n")
            headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines if line)}
            self.targets.append(first.split()[1])
            self.headers.append(headers)
            await self.serve(first.split()[1], headers, reader, writer)
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


def answer(status: str, body: str, *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers, "", body]
    return "\r\n".join(lines).encode()


def error(code: str) -> str:
    return '{"error":{"code":"' + code + '","message":"the server said so"}}'


def upgrade(headers: Dict[str, str]) -> bytes:
    key = headers["sec-websocket-key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
    accept = base64.b64encode(hashlib.sha1(key.encode()).digest()).decode()
    return (
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Protocol: {headers['sec-websocket-protocol']}\r\n\r\n"
    ).encode()


def frame(text: str) -> bytes:
    raw = text.encode()
    size = bytes([len(raw)]) if len(raw) < 126 else b"\x7e" + len(raw).to_bytes(2, "big")
    return b"\x81" + size + raw


def close_frame(code: int) -> bytes:
    return b"\x88\x02" + code.to_bytes(2, "big")


def device(url: str, transport: str, **settings: Any) -> Device:
    return Device(url, transports=[transport], user="u", device="d", **settings)


HTTP = ["ws-json", "sse", "poll"]


@pytest.mark.parametrize("transport", HTTP)
async def test_captive_portal(transport: str) -> None:
    """C 3.5: an attempt that failed, no cookie, no redirect to elsewhere"""
    answers = [
        answer("200 OK", HTML, "Content-Type: text/html", "Set-Cookie: portal=1"),
        answer("302 Found", "", "Location: http://127.0.0.1:1/login", "Set-Cookie: portal=1"),
        answer("200 OK", "{}", "Content-Type: application/json"),
    ]

    async def serve(target: str, headers: Dict[str, str], reader: Reader, writer: Writer) -> None:
        writer.write(answers[min(len(portal.targets), len(answers)) - 1])

    async with BadServer(serve) as portal, device(portal.url, transport, token="secret") as d:
        await eventually(lambda: len(portal.targets) == 4)
        assert d.stats.streams == 0
        assert not any("cookie" in h for h in portal.headers)
        assert not any("secret" in t for t in portal.targets)
        assert all(h["authorization"] == "Bearer secret" for h in portal.headers)
        assert all(h["accept-encoding"] == "identity" for h in portal.headers)


@pytest.mark.parametrize("transport", HTTP)
async def test_refusals_with_and_without_the_servers_body(transport: str) -> None:
    """C 6.1, 6.4"""
    said: List[bytes] = [
        answer("502 Bad Gateway", HTML, "Content-Type: text/html"),
        answer("403 Forbidden", HTML, "Content-Type: text/html"),
        answer("404 Not Found", error("not_found")),
        answer("400 Bad Request", error("invalid_argument")),
    ]

    async def serve(target: str, headers: Dict[str, str], reader: Reader, writer: Writer) -> None:
        writer.write(said.pop(0))

    async with BadServer(serve) as server:
        with pytest.raises(InvalidArgument, match="the server said so"):
            await device(server.url, transport).run()
        assert len(server.targets) == 4
        said.append(answer("401 Unauthorized", HTML))
        with pytest.raises(Unauthenticated):
            await device(server.url, transport, token="t").run()


@pytest.mark.parametrize("transport", HTTP)
async def test_retry_after_is_heeded(transport: str) -> None:
    """C 7.3"""
    delays: List[float] = []

    async def serve(target: str, headers: Dict[str, str], reader: Reader, writer: Writer) -> None:
        writer.write(answer("503 Service Unavailable", error("unavailable"), "Retry-After: 7"))

    async with BadServer(serve) as server:
        async with device(server.url, transport, on_state=lambda c: delays.append(c.delay) if c.state == "waiting" else None):
            await eventually(lambda: bool(delays))
    assert 7 <= delays[0] <= 8


async def test_sse_event_that_drips_is_alive_and_one_that_is_cut_is_dropped() -> None:
    """C 4.3, 4.10: each byte is a sign of life, for longer than the silence allowed"""

    async def serve(target: str, headers: Dict[str, str], reader: Reader, writer: Writer) -> None:
        writer.write((SSE_HEAD + f"event: hello\nid: k0\ndata: {HELLO}\n\n").encode())
        if len(server.targets) == 1:
            for c in 'id: k1\ndata: {"seq":1,"id":"m1"}\n\n':
                writer.write(c.encode())
                await writer.drain()
                await asyncio.sleep(0.1)
        writer.write(b'id: k9\ndata: {"seq":2,"id":"never')

    handled: List[str] = []

    async def handler(m: Message) -> None:
        handled.append(m.id)

    async with BadServer(serve) as server, device(server.url, "sse", handler=handler) as d:
        await eventually(lambda: len(server.targets) == 2)
        assert d.stats.silences == 0
        assert "cursor=k1" in server.targets[1]
    assert handled == ["m1"]


async def test_websocket_frame_that_drips_is_alive() -> None:
    """C 4.3"""

    async def serve(target: str, headers: Dict[str, str], reader: Reader, writer: Writer) -> None:
        writer.write(upgrade(headers) + frame('{"hello":' + HELLO + "}"))
        for b in frame('{"push":{"seq":1,"id":"m1","cursor":"k1"}}'):
            writer.write(bytes([b]))
            await writer.drain()
            await asyncio.sleep(0.08)
        await reader.read()

    handled: List[str] = []

    async def handler(m: Message) -> None:
        handled.append(m.id)

    async with BadServer(serve) as server, device(server.url, "ws-json", handler=handler) as d:
        await eventually(lambda: bool(handled))
        assert (len(server.targets), d.stats.silences) == (1, 0)


@pytest.mark.parametrize("transport", ["ws-json", "sse"])
async def test_silence_ends_the_stream_without_waiting_for_the_server(transport: str) -> None:
    """C 4.4"""

    async def serve(target: str, headers: Dict[str, str], reader: Reader, writer: Writer) -> None:
        if transport == "sse":
            writer.write((SSE_HEAD + f"event: hello\nid: k0\ndata: {HELLO}\n\n").encode())
        else:
            writer.write(upgrade(headers) + frame('{"hello":' + HELLO + "}"))
        await asyncio.sleep(30)

    async with BadServer(serve) as server, device(server.url, transport) as d:
        await eventually(lambda: len(server.targets) == 2, timeout=20)
        assert d.stats.silences == 1


@pytest.mark.parametrize(("code", "final"), [(4409, "superseded"), (4404, "disconnected"), (1001, ""), (4508, ""), (1011, "")])
async def test_close_codes(code: int, final: str) -> None:
    """C 6.1"""

    async def serve(target: str, headers: Dict[str, str], reader: Reader, writer: Writer) -> None:
        writer.write(upgrade(headers) + frame('{"hello":' + HELLO + "}") + close_frame(code))
        await writer.drain()
        await reader.read()

    closed: List[str] = []
    async with BadServer(serve) as server, device(server.url, "ws-json", on_closed=closed.append):
        await eventually(lambda: bool(closed) or len(server.targets) > 1)
        assert closed == ([final] if final else [])


async def test_refused_sse_stream_says_when_to_come_back() -> None:
    """C 7.3, SPEC 5.4.1"""
    delays: List[float] = []

    async def serve(target: str, headers: Dict[str, str], reader: Reader, writer: Writer) -> None:
        writer.write((SSE_HEAD + 'retry: 5000\nevent: goaway\ndata: {"reason":"unavailable"}\n\n').encode())

    async with BadServer(serve) as server:
        async with device(server.url, "sse", on_state=lambda c: delays.append(c.delay) if c.state == "waiting" else None):
            await eventually(lambda: bool(delays))
    assert 5 <= delays[0] <= 6


@pytest.mark.parametrize("status", ["400 Bad Request", "404 Not Found", "401 Unauthorized"])
async def test_ack_that_is_refused(status: str) -> None:
    """C 12.2, 9.3"""

    async def serve(target: str, headers: Dict[str, str], reader: Reader, writer: Writer) -> None:
        if target.startswith("/ramen/ack"):
            writer.write(answer(status, error("unauthenticated" if "401" in status else "not_found")))
            return
        writer.write((SSE_HEAD + f'event: hello\ndata: {HELLO}\n\nid: k1\ndata: {{"seq":1,"id":"m1"}}\n\n').encode())
        await writer.drain()
        await asyncio.sleep(30)

    async def handler(m: Message) -> None:
        pass

    async with BadServer(serve) as server, device(server.url, "sse", handler=handler, token="t") as d:
        if "401" in status:
            with pytest.raises(Unauthenticated):
                await d.wait()
        else:
            await eventually(lambda: sum(t.startswith("/ramen/receive") for t in server.targets) == 2)


async def test_poll_acks_with_the_next_one_once_all_is_processed() -> None:
    """C 12.3, 3.9"""
    two = POLL.replace('"k0","messages":[]', '"k2","messages":[{"seq":1,"id":"m1"},{"seq":2,"id":"m2"}]')

    async def serve(target: str, headers: Dict[str, str], reader: Reader, writer: Writer) -> None:
        writer.write(answer("200 OK", two if len(server.targets) == 1 else POLL, "Content-Type: application/json"))

    going = asyncio.Event()
    handled: List[str] = []

    async def handler(m: Message) -> None:
        if m.id == "m2":
            assert len(server.targets) == 1
            await going.wait()
        handled.append(m.id)

    async with BadServer(serve) as server, device(server.url, "poll", handler=handler):
        await eventually(lambda: handled == ["m1"])
        going.set()
        await eventually(lambda: len(server.targets) == 2)
        assert "wait=0" in server.targets[0]
        assert "cursor=k2" in server.targets[1]
        assert "wait=25" in server.targets[1]


async def test_ack_of_a_stream_that_has_ended_meanwhile() -> None:
    """An end, and no error of httpx's, which the device would raise out of close()."""
    client = httpx.AsyncClient()
    await client.aclose()
    with pytest.raises(EndError):
        await post_ack(client, "http://127.0.0.1:1/ramen/ack", {})
