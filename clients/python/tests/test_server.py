"""Devices and publishers against a real server."""

from __future__ import annotations

import asyncio
import os
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, AsyncIterator, Dict, Iterator, List

import pytest

from ramen_client import (
    Closed,
    Context,
    Device,
    Disconnected,
    FileCursor,
    Message,
    PermissionDenied,
    Priority,
    Publication,
    Publisher,
    PublishError,
    Status,
    Superseded,
    SyncPublisher,
    Unauthenticated,
    UnknownOutcome,
)
from server import Server, binary, eventually

TRANSPORTS = ["ws", "ws-json", "sse", "poll", "grpc"]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that nobody kills. Each test has a user of its own."""
    server = Server(tmp_path_factory.mktemp("shared")).start()
    yield server
    server.stop()


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Server]:
    """A server that the test may kill."""
    server = Server(tmp_path).start()
    yield server
    server.kill()


@pytest.fixture(params=["http", "grpc"])
async def publisher(request: pytest.FixtureRequest, shared: Server) -> AsyncIterator[Publisher]:
    where: Dict[str, Any] = {"grpc": shared.backend_grpc} if request.param == "grpc" else {"url": shared.backend}
    async with Publisher(**where) as p:
        yield p


@pytest.fixture
def user(request: pytest.FixtureRequest) -> str:
    return "".join(c if c.isalnum() else "-" for c in request.node.name)


def at(server: Server, transport: str, user: str, **settings: Any) -> Device:
    return Device(server.url, grpc=server.grpc, transports=[transport], user=user, device="d", **settings)


class Inbox:
    """A handler that keeps what came."""

    def __init__(self) -> None:
        self.messages: List[Message] = []

    async def __call__(self, message: Message) -> None:
        self.messages.append(message)

    @property
    def ids(self) -> List[str]:
        return [m.id for m in self.messages]


PAYLOADS: List[Dict[str, Any]] = [
    {"payload": {"text": "é\u2028", "n": 12345678901234567890}},
    {"payload": None},
    {},
    {"data": bytes(range(256)), "content_type": "application/octet-stream"},
    {"data": b'{"a":1.0}'},
    {"payload": "x" * 60_000, "type": "large", "headers": {"k": "v"}, "collapse_key": "c", "priority": "low", "ttl": 60},
]


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_every_kind_of_message_over_every_transport(transport: str, publisher: Publisher, shared: Server, user: str) -> None:
    inbox = Inbox()
    async with at(shared, transport, user, handler=inbox) as device:
        await eventually(lambda: device.state.state == "online")
        for fields in PAYLOADS:
            result = await publisher.publish(user, **fields)
            assert (result.status, result.devices) == (Status.ACCEPTED, 1)
        await eventually(lambda: len(inbox.messages) == len(PAYLOADS))
        got = {m.id: m for m in inbox.messages}
        assert len(got) == len(PAYLOADS)
        ordered = [m for m in inbox.messages if m.priority is Priority.MEDIUM]
        assert ordered[0].json() == PAYLOADS[0]["payload"]
        assert [ordered[1].payload, ordered[2].payload] == [b"null", b""]
        assert (ordered[3].payload, ordered[3].content_type) == (bytes(range(256)), "application/octet-stream")
        assert ordered[4].payload == b'{"a":1.0}'
        (low,) = (m for m in inbox.messages if m.priority is Priority.LOW)
        assert (low.type, low.headers, low.collapse_key, len(low.payload)) == ("large", {"k": "v"}, "c", 60_002)
        assert low.expires_ms - low.created_ms == 60_000
    assert device.stats.handled == len(PAYLOADS)


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_what_was_acked_at_close_does_not_come_again(transport: str, shared: Server, user: str) -> None:
    """C 12.5: without a cursor store, acks alone tell the server."""
    async with Publisher(shared.backend) as p:
        for i in range(5):
            await p.publish(user, i)
        async with at(shared, transport, user) as device:
            seen = 0
            async for _ in device:
                seen += 1
                if seen == 4:
                    break  # the fourth is not processed
        inbox = Inbox()
        async with at(shared, transport, user, handler=inbox):
            await p.publish(user, "last")
            await eventually(lambda: bool(inbox.messages) and inbox.messages[-1].json() == "last")
    processed = 3 if transport != "poll" else 0  # of a poll's answer only the whole can be acked: SPEC 5.6.3
    assert [m.json() for m in inbox.messages] == [*range(processed, 5), "last"]


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_kill_9_and_back(transport: str, own: Server, user: str) -> None:
    """Nothing is lost, nothing is processed twice, and the order within a priority holds."""
    inbox = Inbox()
    priorities = ["high", "medium", "low"]
    ids: Dict[str, List[str]] = {p: [] for p in priorities}
    async with Publisher(own.backend) as p, at(own, transport, user, handler=inbox):
        for i in range(60):
            priority = priorities[i % 3]
            if i % 20 == 10:
                own.kill()
                back = asyncio.get_running_loop().run_in_executor(None, own.start)
            result = await p.publish(user, i, priority=priority, timeout=60)  # over the crash, under one id
            ids[priority].append(result.id)
            if i % 20 == 10:
                await back
        await eventually(lambda: len(inbox.messages) >= 60, "messages are missing")
        await p.publish(user, "end", priority="low")
        await eventually(lambda: inbox.messages[-1].json() == "end")
    for priority in priorities:
        assert [m.id for m in inbox.messages if m.priority.value == priority and m.json() != "end"] == ids[priority]


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_high_comes_before_low(transport: str, shared: Server, user: str) -> None:
    inbox = Inbox()
    async with at(shared, transport, user, handler=inbox) as device:
        await eventually(lambda: device.state.state == "online")
    async with Publisher(shared.backend) as p:
        for priority in ("low", "medium", "high") * 5:
            await p.publish(user, priority, priority=priority)
    async with at(shared, transport, user, handler=inbox):
        await eventually(lambda: len(inbox.messages) == 15)
    assert [m.json() for m in inbox.messages] == ["high"] * 5 + ["medium"] * 5 + ["low"] * 5


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_drain_and_a_new_server(transport: str, own: Server, user: str) -> None:
    inbox = Inbox()
    async with Publisher(own.backend) as p, at(own, transport, user, handler=inbox) as device:
        await p.publish(user, 1)
        await eventually(lambda: len(inbox.messages) == 1)
        await asyncio.get_running_loop().run_in_executor(None, own.stop)
        await asyncio.get_running_loop().run_in_executor(None, own.start)
        await p.publish(user, 2)
        await eventually(lambda: len(inbox.messages) == 2)
        assert [m.json() for m in inbox.messages] == [1, 2]
        assert device.stats.goaways >= 1


async def test_place_outlives_the_process_and_the_transport(shared: Server, user: str, tmp_path: Path) -> None:
    """C 8, 11.4"""
    inbox = Inbox()
    reloads: List[int] = []
    async with Publisher(shared.backend) as p:
        for i, transport in enumerate(TRANSPORTS):
            store = FileCursor(tmp_path / "cursor")
            async with at(shared, transport, user, handler=inbox, cursors=store, on_reload=reloads.append) as device:
                await p.publish(user, i)
                await eventually(lambda i=i: len(inbox.messages) == i + 1)  # type: ignore[misc]
                assert device.stats.duplicates == 0
            assert store.load() == device.cursor
    assert [m.json() for m in inbox.messages] == list(range(len(TRANSPORTS)))
    assert reloads == []


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_newest_stream_wins_and_a_backend_disconnects(transport: str, publisher: Publisher, shared: Server, user: str) -> None:
    closed: List[str] = []
    async with at(shared, transport, user, on_closed=closed.append) as first:
        await eventually(lambda: first.state.state == "online")
        async with at(shared, "ws", user) as second:
            with pytest.raises(Superseded):
                await first.wait()
            assert closed == ["superseded"]
            await eventually(lambda: second.state.state == "online")
            (known,) = await publisher.devices(user)
            assert (known.device, known.online, known.transport) == ("d", True, "ws")
            assert known.context.labels["client"] == "python"
            assert await publisher.disconnect(user, "d", "bye") == 1
            with pytest.raises(Disconnected, match="bye"):
                await second.wait()


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_handler_that_fails_gets_the_message_again(transport: str, shared: Server, user: str) -> None:
    calls: List[str] = []

    def handler(message: Message) -> None:  # a plain one: it runs in a thread
        calls.append(message.text)
        if calls.count("2") == 1:
            raise RuntimeError("not now")

    async with Publisher(shared.backend) as p, at(shared, transport, user, handler=handler) as device:
        for i in (1, 2, 3):
            await p.publish(user, i)
        await eventually(lambda: device.stats.handled == 3)
    assert calls == ["1", "2", "2", "3"]


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_context_is_changed_while_it_runs(transport: str, shared: Server, user: str) -> None:
    inbox = Inbox()
    async with Publisher(shared.backend) as p, at(shared, transport, user, handler=inbox, context=Context(locale="de"), poll_wait=1) as d:
        await eventually(lambda: d.state.state == "online")
        d.set_context(Context(locale="uk"))
        known = (await p.devices(user))[0]
        while known.context.locale != "uk":
            await asyncio.sleep(0.05)
            known = (await p.devices(user))[0]
        await p.publish(user, "uk", where={"locale": "uk"})
        await eventually(lambda: len(inbox.messages) == 1)


async def test_publisher_tells_what_became_of_each(publisher: Publisher, user: str) -> None:
    """C 14.3, 14.5"""
    results = await publisher.publish_all(
        [
            Publication(user, id="a", payload=1),
            Publication(user, id="a", payload=1),
            Publication(users=[user, "b", "not a user"], payload=2),
            Publication(user, payload=3, ttl=0.5),
            Publication(user, payload=4, where={"nonsense": "x"}),
            Publication(user, data=b"no json"),
            Publication(user, payload=5),
        ]
    )
    assert [r.status.value for r in results] == [
        "accepted", "duplicate", "accepted", "accepted", "rejected", "rejected", "rejected", "rejected", "accepted",
    ]  # fmt: skip
    assert all(r.id for r in results if r.status is not Status.REJECTED)
    assert (await publisher.publish(user, 1, id="a")).status is Status.DUPLICATE
    with pytest.raises(PublishError) as caught:
        await publisher.publish(user, 1, where={"nonsense": "x"})
    assert caught.value.code == "invalid_argument"
    waiting = await publisher.messages(user)
    assert [m.json() for m in waiting] == [1, 2, 5]
    assert await publisher.recall(user, "a")
    assert not await publisher.recall(user, "a")
    assert len(await publisher.messages(user)) == 2


async def test_published_at_the_same_time_shares_requests_and_keeps_order(publisher: Publisher, user: str) -> None:
    """C 14.4"""
    await asyncio.gather(*(publisher.publish(user, i) for i in range(1000)))
    assert [m.json() for m in await publisher.messages(user)] == list(range(1000))
    backend: Any = publisher._backend
    sizes: List[int] = []
    exchange = backend.exchange

    async def counted(encoded: List[bytes], timeout: float) -> Any:
        sizes.append(len(encoded))
        return await exchange(encoded, timeout)

    backend.exchange = counted
    await asyncio.gather(*(publisher.publish(f"{user}-{i}", i) for i in range(1000)))
    assert sum(sizes) == 1000
    assert len(sizes) <= 10
    assert max(sizes) <= 256


async def test_time_that_runs_out_tells_the_id(own: Server, user: str) -> None:
    """C 14.6, 14.7"""
    own.kill()
    causes: List[Exception] = []
    async with Publisher(own.backend, on_retry=causes.append) as p:
        with pytest.raises(UnknownOutcome) as caught:
            await p.publish(user, 1, id="a", timeout=0.5)
        assert caught.value.ids == ["a"]
        assert causes
        own.start()
        assert (await p.publish(user, 1, id="a")).status is Status.ACCEPTED
    with pytest.raises(Closed):
        await p.publish(user, 1)


@pytest.mark.parametrize("way", ["http", "grpc"])
def test_sync_publisher_is_for_threads(way: str, shared: Server, user: str) -> None:
    where: Dict[str, Any] = {"grpc": shared.backend_grpc} if way == "grpc" else {"url": shared.backend}
    with SyncPublisher(**where) as p:
        with ThreadPoolExecutor(8) as pool:
            results = list(pool.map(lambda i: p.publish(f"{user}-{i % 8}", i), range(200)))
        assert {r.status for r in results} <= {Status.ACCEPTED, Status.DUPLICATE}  # of an answer that was late
        assert len(p.messages(f"{user}-0")) == 25
        assert p.publish_all([Publication(user, payload=1, id="x")])[0].status is Status.ACCEPTED
        assert p.recall(user, "x")
        assert p.devices(user) == []
        assert p.disconnect(user) == 0
        with pytest.raises(PublishError):
            p.publish(user, 1, where={"nonsense": "x"})
    with pytest.raises(Closed):
        p.publish(user, 1)
    assert not [t for t in threading.enumerate() if t.name == "ramen-publisher"]


class Secured(Server):
    """With tokens and keys."""

    def __init__(self, folder: Path) -> None:
        secret, keys = folder / "secret", folder / "keys.yaml"
        secret.write_text("0123456789abcdef0123456789abcdef")
        self.secret = secret
        self.key = self._tool("--backend=b", "--scopes=publish,read", f"--keys-file={keys}")
        super().__init__(folder, f"--auth.tokens.secret-file={secret}", f"--auth.keys.file={keys}", dev=False)

    def _tool(self, *flags: str) -> str:
        return subprocess.run([str(binary()), "token", *flags], check=True, capture_output=True, text=True).stdout.split()[-1]

    def token(self, user: str, ttl: str = "1h") -> str:
        return self._tool(f"--secret-file={self.secret}", f"--user={user}", f"--ttl={ttl}")


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    server = Secured(tmp_path_factory.mktemp("secured"))
    server.start()
    yield server
    server.stop()


def with_token(server: Secured, transport: str, **settings: Any) -> Device:
    return Device(server.url, grpc=server.grpc, transports=[transport], device="d", poll_wait=1, **settings)


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_refused_credentials_are_final_without_a_callback(transport: str, secured: Secured, user: str) -> None:
    """C 9.3"""
    with pytest.raises(Unauthenticated):
        await with_token(secured, transport, token="nonsense").run()
    with pytest.raises(PermissionDenied):
        await with_token(secured, transport, user="somebody", token=secured.token(user)).run()


async def test_refused_token_is_replaced_and_one_that_expires_is_renewed(secured: Secured) -> None:
    """C 9.2, 9.3: on all transports at once, since tokens take their time"""

    async def live(transport: str) -> None:
        answers = ["nonsense", secured.token(transport, "20s"), secured.token(transport)]
        inbox = Inbox()
        wanted: List[int] = []

        asked: List[int] = []

        def token() -> str:
            asked.append(1)
            return answers[min(len(asked), 3) - 1]

        async with with_token(secured, transport, token=token, handler=inbox, on_token=lambda: wanted.append(1)) as d:
            await eventually(lambda: d.state.state == "online")
            await eventually(lambda: len(asked) >= 3, "the short one was not renewed")
            await asyncio.sleep(3)  # past its end
            await p.publish(transport, 1)
            await eventually(lambda: len(inbox.messages) == 1)
            assert d.stats.streams == (2 if transport == "sse" else 1)
        assert wanted == [1]

    async with Publisher(secured.backend, key=secured.key) as p:
        await asyncio.gather(*(live(transport) for transport in TRANSPORTS))


@pytest.mark.parametrize("way", ["http", "grpc"])
async def test_wrong_key_is_told_at_once(way: str, secured: Secured, user: str) -> None:
    """C 14.2"""
    where: Dict[str, Any] = {"grpc": secured.backend_grpc} if way == "grpc" else {"url": secured.backend}
    async with Publisher(**where, key="nonsense") as p:
        with pytest.raises(PublishError) as caught:
            await p.publish(user, 1)
        assert caught.value.code == "unauthenticated"


async def block_websockets(server: Server, blocked: "asyncio.Event") -> "asyncio.base_events.Server":
    """A proxy that answers a WebSocket's handshake with a page of its own while `blocked` is set."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            if b"/ramen/ws" in head.splitlines()[0] and blocked.is_set():
                writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Type: text/html\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno")
                return
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", server.ports["devices"])
            up_writer.write(head)
            await asyncio.gather(pump(reader, up_writer), pump(up_reader, writer))
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            writer.close()

    async def pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        try:
            while chunk := await source.read(65536):
                target.write(chunk)
        finally:
            target.close()

    return await asyncio.start_server(serve, "127.0.0.1", 0)


async def test_proxy_that_blocks_websockets(shared: Server, user: str) -> None:
    """C 11.2 to 11.4"""
    blocked = asyncio.Event()
    blocked.set()
    proxy = await block_websockets(shared, blocked)
    port = proxy.sockets[0].getsockname()[1]
    inbox = Inbox()
    async with Publisher(shared.backend) as p:
        async with Device(f"http://127.0.0.1:{port}", user=user, device="d", handler=inbox, prefer_after=1) as device:
            await eventually(lambda: device.state.state == "online")
            assert device.state.transport == "sse"
            await p.publish(user, 1)
            await eventually(lambda: len(inbox.messages) == 1)
            blocked.clear()
            await eventually(lambda: device.state.transport == "ws")
            await p.publish(user, 2)
            await eventually(lambda: len(inbox.messages) == 2)
    proxy.close()
    assert [m.json() for m in inbox.messages] == [1, 2]


def test_binary_is_there() -> None:
    assert os.access(binary(), os.X_OK)
