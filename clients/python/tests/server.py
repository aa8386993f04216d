"""A real server: `ramen serve --dev`, on ports of its own, which it keeps when it is killed and started again."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Callable, List, Optional

ROOT = Path(__file__).parents[3]
LISTEN = ("devices", "devices-grpc", "backends", "backends-grpc")


def binary() -> Path:
    """RAMEN_BINARY, else the repository's, which is built where it is missing."""
    named = os.environ.get("RAMEN_BINARY")
    if named:
        return Path(named)
    path = ROOT / "bin" / "ramen"
    if not path.exists():
        go = shutil.which("go")
        assert go, "bin/ramen is missing, and so is Go to build it: set RAMEN_BINARY"
        subprocess.run([go, "build", "-o", str(path), "./cmd/ramen"], cwd=ROOT, check=True)
    return path


def free_ports(n: int) -> List[int]:
    sockets = [socket.socket() for _ in range(n)]
    try:
        for s in sockets:
            s.bind(("127.0.0.1", 0))
        return [s.getsockname()[1] for s in sockets]
    finally:
        for s in sockets:
            s.close()


class Server:
    def __init__(self, folder: Path, *flags: str, dev: bool = True) -> None:
        self.ports = dict(zip(LISTEN, free_ports(4)))
        self.url = f"http://127.0.0.1:{self.ports['devices']}"
        self.grpc = f"127.0.0.1:{self.ports['devices-grpc']}"
        self.backend = f"http://127.0.0.1:{self.ports['backends']}"
        self.backend_grpc = f"127.0.0.1:{self.ports['backends-grpc']}"
        self._log = folder / "server.log"
        listen = [f"--listen.{name}=127.0.0.1:{port}" for name, port in self.ports.items()]
        self._command = [str(binary()), "serve", *(["--dev"] if dev else []), f"--data={folder / 'data'}", *listen, *flags]
        self._process: Optional["subprocess.Popen[bytes]"] = None

    def start(self) -> "Server":
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log)
        until = time.monotonic() + 60
        while not self._ready():
            assert self._process.poll() is None, self._log.read_text()[-2000:]
            assert time.monotonic() < until, self._log.read_text()[-2000:]
            time.sleep(0.05)
        return self

    def _ready(self) -> bool:
        try:
            with urllib.request.urlopen(self.backend + "/readyz", timeout=5) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def kill(self) -> None:
        """kill -9"""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """In order: it drains."""
        self._end(signal.SIGTERM)

    def _end(self, sig: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(sig)
            self._process.wait(60)
            self._process = None


async def eventually(condition: Callable[[], bool], what: str = "", timeout: float = 60.0) -> None:
    until = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < until, what or "it did not come true in time"
        await asyncio.sleep(0.01)
