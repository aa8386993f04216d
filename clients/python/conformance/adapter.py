"""The adapter of the suite for clients: clients/conformance/README.md. It translates and decides nothing."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any, Dict, Optional

sys.path.insert(0, str(Path(__file__).parent.parent / "src"))

from ramen_client import Context, Device, Hello, MemoryCursor, Message, SettingError, StateChange, __version__

SELF = {"adapter": "python", "version": __version__, "transports": ["ws-json", "ws-proto", "sse", "poll", "grpc"], "can": ["network"]}


def write(event: Dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(event) + "\n")
    sys.stdout.flush()


class Broken(MemoryCursor):
    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how

    async def _do(self, what: str) -> None:
        if self.how == what:
            raise OSError(f"{what} failed")
        await asyncio.sleep(1e9 if self.how == "never" else 0)

    async def load(self) -> Optional[str]:
        await self._do("load")
        return self.cursor

    async def save(self, cursor: str) -> None:
        await self._do("save")
        self.cursor = cursor


stores: Dict[str, MemoryCursor] = {}


def store(name: Optional[str]) -> Optional[MemoryCursor]:
    if name is None:
        return None
    if name.startswith("broken:"):
        return Broken(name.partition(":")[2])
    return stores.setdefault(name, MemoryCursor())


class Client:
    def __init__(self, name: str, s: Dict[str, Any]) -> None:
        self.name = name
        self.muted = False
        self.script: Dict[str, Dict[str, Any]] = s.get("handler") or {}
        self.throws = bool(s.get("listener_throws"))
        self.tokens: Any = s.get("tokens")
        self.at = 0
        self.over = asyncio.Event()
        seconds = {k: s[k + "_ms"] / 1000 for k in ("heartbeat", "connect_timeout", "prefer_after") if k + "_ms" in s}
        same = {k: s[k] for k in ("url", "grpc", "user", "device", "transports", "window", "fallback_after") if k in s}
        self.device = Device(
            **same,
            **seconds,
            context=Context(**s["context"]) if "context" in s else None,
            token=self.token if self.tokens is not None else None,
            cursors=store(s.get("store")),
            handler=self.handle,
            on_state=self.on_state,
            on_hello=self.on_hello,
            on_reload=lambda expired: self.tell("reload"),
            on_token=self.on_token,
            on_error=lambda of, error: self.tell("error", of=of),
            on_closed=lambda reason: self.tell("closed", reason=reason),
        )

    def tell(self, event: str, **fields: Any) -> None:
        if not self.muted:
            write({"client": self.name, "event": event, **fields})

    def on_state(self, c: StateChange) -> None:
        self.tell("state", state=str(c.state), transport=c.transport, delay_ms=round(c.delay * 1000), cause=c.cause)
        if self.throws:
            raise RuntimeError("the listener throws")

    def on_hello(self, h: Hello) -> None:
        self.tell("hello", resumed=h.resumed, expired=h.expired, stream=h.stream, transport=h.transport)

    def on_token(self) -> None:
        self.tell("token")
        self.at += 1

    async def token(self) -> str:
        token: str = self.tokens[min(self.at, len(self.tokens) - 1)]
        if not token:
            raise RuntimeError("no token")
        return token

    async def handle(self, m: Message) -> None:
        self.tell("message", id=m.id, payload=m.payload.decode("utf-8", "replace"))
        todo = self.script.get(m.id, {})
        if todo.get("slow_ms"):
            await asyncio.sleep(todo["slow_ms"] / 1000)
        if todo.get("never"):
            await self.over.wait()
            raise RuntimeError("the client was closed")
        if todo.get("close"):
            await self.device.close()
        if todo.get("fail", 0) > 0:
            todo["fail"] -= 1
            raise RuntimeError("the handler fails")

    async def crash(self) -> None:
        self.muted = True
        await self.device._crash()
        self.over.set()


async def main() -> None:
    reader = asyncio.StreamReader(limit=1 << 24)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    clients: Dict[str, Client] = {}
    write(SELF)
    while line := await reader.readline():
        command = json.loads(line)
        do, name = command["do"], command["client"]
        if do == "start":
            try:
                clients[name] = Client(name, command)
                clients[name].device.start()
            except (SettingError, TypeError) as e:
                write({"client": name, "event": "refused", "message": str(e)})
            continue
        client = clients[name]
        if do == "close":
            client.over.set()
            client.device.stop()
        elif do == "crash":
            await client.crash()
        elif do == "reconnect":
            client.device.reconnect()
        elif do == "network":
            client.device.network(command.get("online", True), command.get("changed", False))
        elif do == "refresh":
            client.at += 1


asyncio.run(main())
