"""A real cluster on this machine: a controller, two gateways on a Redis, two frontends."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import List, Optional, Tuple

from server import binary, free_ports

DURABLE = ("--appendonly", "yes", "--appendfsync", "always", "--maxmemory-policy", "noeviction")
"""Redis answers for what is on its disk."""


class Member:
    """One process, which keeps its ports and its folder when it is started again."""

    def __init__(self, folder: Path, name: str, role: str, *args: str) -> None:
        self.name = name
        self.backends = f"127.0.0.1:{free_ports(1)[0]}"
        self._log = folder / f"{name}.log"
        self._command = [
            *(str(binary()), "serve", "--dev", f"--role={role}", f"--cluster.name={name}", f"--listen.backends={self.backends}"),
            *(f"--data={folder / name}", *args),
        ]
        self._process: Optional["subprocess.Popen[bytes]"] = None

    def start(self) -> None:
        with self._log.open("ab") as log:
            env = {k: v for k, v in os.environ.items() if not k.startswith("RAMEN_")}
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log, env=env)

    def await_ready(self) -> None:
        until = time.monotonic() + 120
        while not self._ready():
            assert time.monotonic() < until, self._log.read_text()[-2000:]
            if self._process is None or self._process.poll() is not None:
                self.start()  # as a supervisor does: one whose store or controller is not there yet ends
            time.sleep(0.1)

    def _ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://{self.backends}/readyz", timeout=5) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def restart(self) -> None:
        """In order: it drains first."""
        self.stop()
        self.start()
        self.await_ready()

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(90)
            self._process = None


class Cluster:
    def __init__(self, folder: Path) -> None:
        redis, client, peer, *links = free_ports(5)
        self._redis = subprocess.Popen(
            ["redis-server", "--port", str(redis), "--bind", "127.0.0.1", "--dir", str(folder), *DURABLE],
            stdout=subprocess.DEVNULL,
        )
        etcd = f"--cluster.etcd=127.0.0.1:{client}"
        store = f"--store=redis://127.0.0.1:{redis}?durability=fsync"
        self.controller = Member(
            *(folder, "controller-1", "controller", etcd, f"--cluster.controller.client=127.0.0.1:{client}"),
            *(f"--cluster.controller.peer=127.0.0.1:{peer}", f"--cluster.controller.members=controller-1=127.0.0.1:{peer}"),
            f"--cluster.controller.data={folder / 'etcd'}",
        )
        self.gateways = [
            Member(folder, f"gateway-{i}", "gateway", etcd, f"--cluster.listen=127.0.0.1:{port}", store) for i, port in enumerate(links, 1)
        ]
        self.devices: List[Tuple[str, int]] = []
        self.frontends: List[Member] = []
        for i in (1, 2):
            devices, grpc, backends_grpc = free_ports(3)
            self.devices.append(("127.0.0.1", devices))
            self.frontends.append(
                Member(
                    *(folder, f"frontend-{i}", "frontend", etcd, f"--listen.devices=127.0.0.1:{devices}"),
                    *(f"--listen.devices-grpc=127.0.0.1:{grpc}", f"--listen.backends-grpc=127.0.0.1:{backends_grpc}"),
                )
            )

    @staticmethod
    def missing() -> str:
        return "" if shutil.which("redis-server") else "redis-server is missing"

    @property
    def members(self) -> List[Member]:
        return [self.controller, *self.gateways, *self.frontends]

    def start(self) -> "Cluster":
        for m in self.members:
            m.start()
        for m in self.members:
            m.await_ready()
        return self

    def stop(self) -> None:
        for m in reversed(self.members):
            m.stop()
        self._redis.terminate()
        self._redis.wait(30)
