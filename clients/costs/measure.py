"""Measures what a device client costs: bytes on the wire and wake-ups while idle, CPU a message, memory. See clients/README.md.

    clients/costs/measure.py [--seconds 60] [--messages 5000] [--only go,web] [--others FOLDER]

bin/ramen, bin/conformance-go, clients/web/dist and clients/python/.venv are what `make clients-test` makes. The others are measured where
--others names a folder with centrifuge-server, node_modules and venv (clients/README.md has the commands).

A client runs in a process of its own, behind a proxy that counts. The four clients are driven by their adapters to the suite
(clients/conformance/README.md), which write a line a message; so do the programs of others.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import select
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
TICK = os.sysconf("SC_CLK_TCK")
HEADERS = 52  # bytes of IPv4 and TCP with timestamps, of each segment and of its acknowledgement


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


class Proxy:
    """Passes bytes on to a port, and counts them, and the segments in which they come."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.bytes = self.segments = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            down, _ = self._listener.accept()
            threading.Thread(target=self._pass, args=(down,), daemon=True).start()

    def _pass(self, down: socket.socket) -> None:
        up = socket.create_connection(("127.0.0.1", self.target))
        for s in (down, up):
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        other = {down: up, up: down}
        try:
            while True:
                for s in select.select(list(other), [], [])[0]:
                    chunk = s.recv(65536)
                    if not chunk:
                        return
                    self.bytes += len(chunk)
                    self.segments += 1
                    other[s].sendall(chunk)
        except OSError:
            pass
        finally:
            down.close()
            up.close()


class Process:
    """A client's, with what /proc says of it."""

    def __init__(self, command: List[str], start: Optional[Dict[str, Any]]) -> None:
        self.messages = 0
        self.online = threading.Event()
        self._arrived = threading.Condition()
        self._p = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        if start is not None:
            assert self._p.stdin is not None
            self._p.stdin.write(json.dumps(start) + "\n")
            self._p.stdin.flush()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self._p.stdout is not None
        for line in self._p.stdout:
            event = json.loads(line)
            if event.get("event") == "message":
                with self._arrived:
                    self.messages += 1
                    self._arrived.notify_all()
            elif event.get("state") == "online":
                self.online.set()

    def await_messages(self, n: int) -> None:
        with self._arrived:
            assert self._arrived.wait_for(lambda: self.messages >= n, 120), f"{self.messages} of {n} messages came"

    def cpu(self) -> float:
        fields = Path(f"/proc/{self._p.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICK

    def wakeups(self) -> int:
        """Voluntary switches of all threads: how often one of them went to sleep, and so was woken."""
        total = 0
        for task in Path(f"/proc/{self._p.pid}/task").iterdir():
            for line in (task / "status").read_text().splitlines():
                if line.startswith("voluntary_ctxt_switches"):
                    total += int(line.split()[1])
        return total

    def memory(self) -> float:
        """MiB resident."""
        for line in Path(f"/proc/{self._p.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS"):
                return int(line.split()[1]) / 1024
        return 0.0

    def end(self) -> None:
        self._p.kill()
        self._p.wait()


def publish(port: int, path: str, bodies: List[bytes]) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port)
    for body in bodies:
        connection.request("POST", path, body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        text = answer.read()
        assert answer.status == 200, text
    connection.close()


def measure(command: List[str], start: Optional[Dict[str, Any]], proxy: Proxy, seconds: float, messages: int, send: Any) -> Tuple[float, ...]:
    p = Process(command, start)
    try:
        assert p.online.wait(60), "the client is not online"
        send(200)  # warm
        p.await_messages(200)
        time.sleep(25)  # until the last ack of SSE is out
        rest, size, segments, woken = time.monotonic(), proxy.bytes, proxy.segments, p.wakeups()
        time.sleep(seconds)
        hours = (time.monotonic() - rest) / 3600
        size, segments, woken = proxy.bytes - size, proxy.segments - segments, p.wakeups() - woken
        memory = p.memory()
        cpu = p.cpu()
        send(messages)
        p.await_messages(200 + messages)
        return size / hours / 1024, (size + 2 * HEADERS * segments) / hours / 1024, woken / hours, (p.cpu() - cpu) / messages * 1e6, memory
    finally:
        p.end()


def clients() -> Dict[str, Tuple[List[str], List[str]]]:
    python = sorted((ROOT / "clients/python/.venv").glob("3.*/bin/python"))
    return {
        "go": ([str(ROOT / "bin/conformance-go")], ["ws-proto", "ws-json", "sse", "poll", "grpc"]),
        "web": (["node", str(ROOT / "clients/web/conformance/adapter.mjs")], ["ws-json", "sse", "eventsource", "poll"]),
        "python": ([str(python[-1]) if python else "python3", str(ROOT / "clients/python/conformance/adapter.py")], ["ws-proto", "ws-json", "sse", "poll", "grpc"]),
    }


def main() -> None:
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("--seconds", type=float, default=60, help="of idleness")
    a.add_argument("--messages", type=int, default=5000)
    a.add_argument("--only", default="", help="go, web, python, centrifuge, eventsource")
    a.add_argument("--transport", default="", help="one alone")
    a.add_argument("--others", default="", help="folder with centrifuge-server, node_modules and venv")
    o = a.parse_args()
    only = o.only.split(",") if o.only else ["go", "web", "python", "centrifuge", "eventsource"]
    print("| client | transport | KiB an hour | with TCP/IP | wake-ups an hour | CPU a message, µs | MiB resident |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as folder:
        ports = {n: free_port() for n in ("devices", "devices-grpc", "backends", "backends-grpc")}
        server = subprocess.Popen(
            [str(ROOT / "bin/ramen"), "serve", "--dev", f"--data={folder}/data", *(f"--listen.{n}=127.0.0.1:{p}" for n, p in ports.items())],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        other = None
        try:
            await_port(ports["backends"])
            for name, (command, transports) in clients().items():
                for transport in transports if name in only else []:
                    if o.transport in ("", transport):
                        ours(name, command, transport, ports, o)
            if o.others:
                port = free_port()
                other = subprocess.Popen([f"{o.others}/centrifuge-server", f"127.0.0.1:{port}"], stderr=subprocess.DEVNULL)
                await_port(port)
                theirs(o, port, ports, only)
        finally:
            for p in (server, other):
                if p is not None:
                    p.kill()
                    p.wait()


def await_port(port: int) -> None:
    for _ in range(600):
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except OSError:
            time.sleep(0.1)
    sys.exit(f"nobody listens at port {port}")


def row(name: str, transport: str, figures: Tuple[float, ...]) -> None:
    size, framed, woken, cpu, memory = figures
    print(f"| {name} | {transport} | {size:.1f} | {framed:.0f} | {woken:.0f} | {cpu:.0f} | {memory:.0f} |", flush=True)


def ours(name: str, command: List[str], transport: str, ports: Dict[str, int], o: Any) -> None:
    user = f"{name}-{transport}"
    proxy = Proxy(ports["devices-grpc"] if transport == "grpc" else ports["devices"])
    start = {"do": "start", "client": "c", "url": f"http://127.0.0.1:{proxy.port}", "transports": [transport], "user": user, "device": "d"}
    if transport == "grpc":
        start["grpc"] = f"127.0.0.1:{proxy.port}"

    def send(n: int) -> None:
        publish(ports["backends"], "/v1/publish", [json.dumps({"user": user, "payload": {"n": i, "text": "x" * 80}}).encode() for i in range(n)])

    row(name, transport, measure(command, start, proxy, o.seconds, o.messages, send))


def theirs(o: Any, port: int, ports: Dict[str, int], only: List[str]) -> None:
    def send(n: int) -> None:
        publish(port, "/publish", [json.dumps({"n": i, "text": "x" * 80}).encode() for i in range(n)])

    for name, command in {
        "centrifuge-js": ["node", str(HERE / "centrifuge.cjs"), f"{o.others}/node_modules"],
        "centrifuge-python": [f"{o.others}/venv/bin/python", str(HERE / "centrifuge_device.py")],
    }.items():
        if "centrifuge" not in only:
            continue
        proxy = Proxy(port)
        command.append(f"ws://127.0.0.1:{proxy.port}/connection/websocket")
        row(name, "ws (JSON)", measure(command, None, proxy, o.seconds, o.messages, send))

    if "eventsource" not in only:
        return

    def send_here(n: int) -> None:
        publish(ports["backends"], "/v1/publish", [json.dumps({"user": "bare", "payload": {"n": i, "text": "x" * 80}}).encode() for i in range(n)])

    proxy = Proxy(ports["devices"])
    command = ["node", str(HERE / "eventsource.mjs"), f"http://127.0.0.1:{proxy.port}/ramen/receive?user=bare&device=d"]
    few = min(o.messages, 800)  # it acks nothing: behind a window of 1,024 nothing comes
    row("bare EventSource (undici)", "sse", measure(command, None, proxy, o.seconds, few, send_here))


if __name__ == "__main__":
    main()
