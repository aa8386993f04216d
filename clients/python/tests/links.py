"""What stands between a device and its servers: a slow path, a load balancer."""

from __future__ import annotations

import asyncio
from typing import Callable, List, Optional, Set, Tuple

Target = Tuple[str, int]


class Link:
    """Passes connections on to the first target that takes them, from another one on each time. rate: bytes in s, each way of each
    connection; None: as fast as it goes."""

    def __init__(self, targets: Callable[[], List[Target]], rate: Optional[float] = None) -> None:
        self._targets = targets
        self._rate = rate
        self._turn = 0
        self._server: Optional[asyncio.AbstractServer] = None
        self._tasks: Set["asyncio.Task[None]"] = set()
        self.port = 0
        self.passed = 0  # bytes, both ways

    async def __aenter__(self) -> "Link":
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, limit=4096)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exc: object) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def cut(self) -> None:
        """Ends all connections, whatever is under way."""
        for task in self._tasks:
            task.cancel()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up: Optional[asyncio.StreamWriter] = None
        try:
            up_reader, up = await self._connect()
            await asyncio.gather(self._pump(reader, up), self._pump(up_reader, writer))
        except OSError:
            pass
        finally:
            for w in (writer, up):
                if w is not None:
                    w.transport.abort()

    async def _connect(self) -> Tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        targets = self._targets()
        for _ in targets:
            self._turn += 1
            host, port = targets[self._turn % len(targets)]
            try:
                return await asyncio.open_connection(host, port, limit=4096)
            except OSError:
                continue
        raise OSError("nobody is there")

    async def _pump(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        target.transport.set_write_buffer_limits(high=4096)
        while chunk := await source.read(1024 if self._rate else 65536):
            if self._rate:
                await asyncio.sleep(len(chunk) / self._rate)
            self.passed += len(chunk)
            target.write(chunk)
            await target.drain()
        target.close()
