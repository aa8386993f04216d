"""Devices over bad paths and through deploys, against real servers: nothing is lost, nothing is processed twice, and the order within a
priority holds."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Dict, List

import pytest

from cluster import Cluster
from links import Link
from ramen_client import Device, Message, Publication, Publisher, Status
from server import Server, eventually

PRIORITIES = ["high", "medium", "low"]


class Account:
    """What was published to a user, and what came."""

    def __init__(self) -> None:
        self.sent: Dict[str, List[str]] = {p: [] for p in PRIORITIES}
        self.came: Dict[str, List[str]] = {p: [] for p in PRIORITIES}

    async def handle(self, message: Message) -> None:
        self.came[message.priority.value].append(message.id)

    @property
    def missing(self) -> int:
        return sum(map(len, self.sent.values())) - sum(map(len, self.came.values()))


async def test_a_thousand_messages_over_200_kbit_a_second(tmp_path: Path) -> None:
    """1,000 messages of mixed priority over each transport, whose path is cut once on the way."""
    server = Server(tmp_path).start()

    async def over(transport: str) -> None:
        account = Account()
        user = f"slow-{transport}"
        port = server.ports["devices-grpc" if transport == "grpc" else "devices"]
        async with Link(lambda: [("127.0.0.1", port)], rate=200_000 / 8) as link, Publisher(server.backend) as p:
            grpc, url = (f"127.0.0.1:{link.port}", "") if transport == "grpc" else ("", link.url)
            async with Device(url, grpc=grpc, transports=[transport], user=user, device="d", handler=account.handle) as device:
                await eventually(lambda: device.state.state == "online")
                for begin in range(0, 1000, 50):
                    results = await p.publish_all(
                        [
                            Publication(user, payload={"n": i, "text": "x" * 150}, priority=PRIORITIES[i % 3])
                            for i in range(begin, begin + 50)
                        ]
                    )
                    assert all(r.status is not Status.REJECTED for r in results)
                    for i, result in enumerate(results, begin):
                        account.sent[PRIORITIES[i % 3]].append(result.id)
                await eventually(lambda: link.passed > 150_000, "not even a third has passed", timeout=200)  # a poll's answer has all
                assert account.missing > 0
                link.cut()
                await eventually(lambda: account.missing <= 0, "messages are missing", timeout=200)
                assert device.stats.streams >= 2
        assert account.came == account.sent

    try:
        await asyncio.gather(*(over(transport) for transport in ("ws", "ws-json", "sse", "poll", "grpc")))
    finally:
        server.stop()


async def test_rolling_restart_of_a_cluster(tmp_path: Path) -> None:
    """Each gateway and each frontend is restarted in turn, while messages are published."""
    if Cluster.missing():
        pytest.skip(Cluster.missing())
    loop = asyncio.get_running_loop()
    cluster = Cluster(tmp_path)
    try:
        await loop.run_in_executor(None, cluster.start)
        transports = ("ws", "ws-json", "sse", "poll")
        accounts = {t: Account() for t in transports}
        over = asyncio.Event()

        async def publish(p: Publisher) -> None:
            n = 0
            while not over.is_set():
                for t, account in accounts.items():
                    priority = PRIORITIES[n % 3]
                    result = await p.publish(f"rolling-{t}", n, priority=priority, timeout=120)
                    account.sent[priority].append(result.id)
                n += 1
                await asyncio.sleep(0.05)

        def backends() -> List["tuple[str, int]"]:
            return [("127.0.0.1", int(f.backends.rpartition(":")[2])) for f in cluster.frontends]

        async with Link(lambda: cluster.devices) as balancer, Link(backends) as backend_balancer, Publisher(backend_balancer.url) as p:
            devices = [
                Device(balancer.url, transports=[t], user=f"rolling-{t}", device="d", handler=a.handle, poll_wait=5)
                for t, a in accounts.items()
            ]
            for d in devices:
                d.start()
            publishing = asyncio.ensure_future(publish(p))
            for member in [*cluster.gateways, *cluster.frontends]:
                await eventually(lambda: all(d.state.state == "online" for d in devices), "not all are online")
                await loop.run_in_executor(None, member.restart)
            over.set()
            await publishing
            await eventually(lambda: all(a.missing <= 0 for a in accounts.values()), "messages are missing", timeout=120)
            for d in devices:
                await d.close()
        for t, a in accounts.items():
            assert a.came == a.sent, t
            assert sum(map(len, a.sent.values())) > 20, t
        for t, d in zip(transports, devices):
            # Between two polls there is nobody to tell.
            assert d.stats.goaways >= 1 or t == "poll", f"a restart of the frontends tells each stream to move: {t}, {d.stats}"
    finally:
        await loop.run_in_executor(None, cluster.stop)
