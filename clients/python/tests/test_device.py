"""The state machine in virtual time: each test names the rules of clients/SPEC.md that it holds the device to."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from typing import Any, List

import pytest

from fixture import FakeConn, Fixture, refused_connection
from ramen_client import Context, Disconnected, MemoryCursor, Message, RamenError, State, StateChange, Superseded, Unauthenticated
from ramen_client.ends import By, End, EndError, cut, said
from ramen_client.wire.conn import AckRefused
from ramen_client.wire.frames import HelloFrame
from virtual import run


def hello(conn: FakeConn) -> None:
    conn.hello()


def test_states_of_a_plain_life() -> None:
    """C 2.1 to 2.6, 12.5, 13.1"""

    async def main() -> None:
        async with Fixture() as f:
            f.conn.hello().push(1, 2)
            await f.after()
            assert f.handled == ["m1", "m2"]
            assert f.device.state.state is State.ONLINE
        assert f.path == ["connecting", "online", "stopped"]
        assert f.closed == ["closed"]
        assert f.conn.acked == [2]
        assert f.conn.finished
        assert f.conn.closed

    run(main())


def test_acks_that_fall_within_100_ms_go_as_one() -> None:
    """C 12.1"""

    async def main() -> None:
        async with Fixture() as f:
            began = f.now()
            f.conn.hello().push(1, 2)
            await f.after(0.05)
            f.conn.push(3)
            await f.after(0.049)
            assert f.conn.acks == []
            await f.after(0.002)
            ((when, seq, cursor),) = f.conn.acks
            assert (round(when - began, 6), seq, cursor) == (0.1, 3, "k3")

    run(main())


def test_half_a_window_is_acked_at_once() -> None:
    """C 12.1"""

    async def main() -> None:
        async with Fixture(window=8) as f:
            f.conn.hello().push(1, 2, 3)
            await f.after()
            assert f.conn.acked == []
            f.conn.push(4)
            await f.after()
            assert f.conn.acked == [4]

    run(main())


def test_sse_acks_at_three_quarters() -> None:
    """C 12.2"""

    async def main() -> None:
        async with Fixture(transports=["sse"]) as f:
            began = f.now()
            f.conn.hello(ack_ms=30_000, timeout_ms=100_000).push(1)
            await f.after(30)
            ((when, seq, cursor),) = f.conn.acks
            assert (round(when - began, 6), seq, cursor) == (22.5, 1, "k1")

    run(main())


def test_ack_that_failed_is_tried_again_with_what_was_processed_meanwhile() -> None:
    """C 12.2"""

    async def main() -> None:
        async with Fixture(transports=["sse"]) as f:
            f.conn.ack_errors.append(cut("502"))
            f.conn.hello(ack_ms=1000, timeout_ms=100_000).push(1)
            await f.after(0.8)
            f.conn.push(2)
            await f.after(0.5)
            assert f.conn.acks == []
            await f.after(0.6)
            assert f.conn.acked == [2]

    run(main())


def test_ack_that_the_server_refuses_ends_the_stream() -> None:
    """C 12.2"""

    async def main() -> None:
        async with Fixture(transports=["sse"]) as f:
            f.conn.ack_errors.append(AckRefused(End(By.NETWORK, detail="404")))
            f.conn.hello(ack_ms=1000).push(1)
            await f.after(2)
            assert len(f.conns) == 2
            assert f.path == ["connecting", "online", "waiting", "connecting"]

    run(main())


def test_failures_double_the_bound_and_30_s_of_life_start_it_anew() -> None:
    """C 7.1, 7.2"""

    async def main() -> None:
        f = Fixture()
        f.answers.extend(refused_connection() for _ in range(7))
        async with f:
            await f.after(100)
            gaps = [round(b - a) for a, b in zip(f.opened_at, f.opened_at[1:])]
            assert gaps == [1, 2, 4, 8, 16, 30, 30]
            f.conn.hello(timeout_ms=100_000)
            await f.after(29)
            f.conn.say(cut("gone"))
            await f.after(31)
            assert len(f.conns) == 2
            f.conn.hello(timeout_ms=100_000)
            await f.after(30.5)
            f.conn.say(cut("gone"))
            await f.after(1.1)
            assert len(f.conns) == 3

    run(main())


def test_retry_after_comes_before_the_pause() -> None:
    """C 7.3"""

    async def main() -> None:
        f = Fixture()
        f.answers.append(EndError(said("unavailable", "", 5.0)))
        async with f:
            await f.after(10)
            assert [s.delay for s in f.states if s.state is State.WAITING] == [6.0]
            assert f.opened_at[1] - f.opened_at[0] == pytest.approx(6.0)

    run(main())


def test_stream_that_is_silent_for_7_s_is_dead() -> None:
    """C 4.4"""

    async def main() -> None:
        async with Fixture() as f:
            f.conn.hello()
            await f.after(6)
            f.conn.heartbeat()
            await f.after(6.9)
            assert len(f.conns) == 1
            assert f.conn.echoes == [7]
            await f.after(1.2)
            assert len(f.conns) == 2
            assert f.device.stats.silences == 1
            assert not f.conns[0].finished

    run(main())


def test_silence_allowed_doubles_over_grpc_until_a_push() -> None:
    """C 4.5"""

    async def main() -> None:
        f = Fixture(transports=["grpc"], grpc="127.0.0.1:1")
        f.answers.extend([hello, hello, hello, lambda c: c.hello().push(1), hello])
        async with f:
            await f.after(200)
            lives = [c.at for c in f.conns]
            pauses = [1, 2, 4, 8]
            got = [round(b - a) - p for a, b, p in zip(lives, lives[1:], pauses)]
            assert got == [7, 14, 28, 28]
            assert f.device.stats.pushes == 1

    run(main())


def test_no_hello_in_10_s_fails_the_attempt_whatever_bytes_come() -> None:
    """C 3.3"""

    async def main() -> None:
        async with Fixture() as f:
            for _ in range(9):
                f.conn.heartbeat()
                await f.after(1)
            assert len(f.opened_at) == 1
            await f.after(2.5)
            assert f.opened_at[1] - f.opened_at[0] == pytest.approx(11)

    run(main())


def test_push_before_hello_fails_the_attempt() -> None:
    """C 3.4"""

    async def main() -> None:
        f = Fixture()
        f.answers.append(lambda c: c.push(1))
        async with f:
            await f.after(2)
            assert f.handled == []
            assert len(f.conns) == 2

    run(main())


def test_missing_push_ends_the_stream() -> None:
    """C 4.2"""

    async def main() -> None:
        async with Fixture() as f:
            f.conn.hello(seq=4).push(5, 7)
            await f.after()
            assert f.handled == ["m5"] or f.handled == []
            await f.after(2)
            assert len(f.conns) == 2
            assert f.device.stats.gaps == 1

    run(main())


def test_handler_that_fails_ends_the_stream_and_what_was_before_is_acked() -> None:
    """C 5.3, 12.4, 8.1"""

    async def main() -> None:
        fails = 1

        async def handler(m: Message) -> None:
            nonlocal fails
            if m.id == "m2" and fails:
                fails -= 1
                raise RuntimeError("no")
            done.append(m.id)

        done: List[str] = []
        async with Fixture(handler=handler) as f:
            f.conn.hello().push(1, 2, 3)
            await f.after(0.01)
            assert f.conn.acked == [1]
            assert f.errors == ["handler"]
            await f.after(1.1)
            assert f.conn.opening.cursor == "k1"
            f.conn.hello(seq=1).push(2, 3)
            await f.after()
            assert done == ["m1", "m2", "m3"]

    run(main())


def test_slow_handler_holds_up_no_heartbeat_and_no_ack() -> None:
    """C 4.7, 4.8, 5.4"""

    async def main() -> None:
        async def handler(m: Message) -> None:
            if m.id == "m2":
                await asyncio.sleep(60)

        async with Fixture(handler=handler, close_timeout=0) as f:
            f.conn.hello().push(1, 2)
            for _ in range(10):
                await f.after(4)
                f.conn.heartbeat()
            await f.after()
            assert len(f.conn.echoes) == 10
            assert f.conn.acked == [1]

    run(main())


def test_second_call_of_the_handler_never_runs_beside_the_first() -> None:
    """C 5.1, 5.5, 5.7: what the handler has begun is processed, and not handed over again."""

    async def main() -> None:
        running = most = 0
        seen: List[str] = []

        async def handler(m: Message) -> None:
            nonlocal running, most
            running += 1
            most = max(most, running)
            seen.append(m.id)
            await asyncio.sleep(20)
            running -= 1

        async with Fixture(handler=handler, close_timeout=0) as f:
            f.conn.hello().push(1, 2)
            await f.after()
            f.conn.goaway("ack_timeout")
            await f.after(1.1)
            f.conn.hello(timeout_ms=100_000).push(1, 2)
            await f.after(50)
            assert most == 1
            assert seen == ["m1", "m2"]
            assert f.device.stats.duplicates == 1

    run(main())


def test_duplicate_is_acked_without_the_handler() -> None:
    """C 5.2"""

    async def main() -> None:
        async with Fixture() as f:
            f.conn.hello().push(1)
            await f.after()
            f.conn.say(cut("gone"))
            await f.after(1.1)
            f.conn.hello().push(1)
            await f.after(1)
            assert f.handled == ["m1"]
            assert f.conn.acked == [1]

    run(main())


def test_server_that_pushes_beyond_the_window_is_let_go_of() -> None:
    """C 4.8"""

    async def main() -> None:
        async def handler(m: Message) -> None:
            await asyncio.sleep(1000)

        async with Fixture(handler=handler, window=4, close_timeout=0) as f:
            f.conn.hello().push(*range(1, 7))
            await f.after(2)
            assert len(f.conns) == 2

    run(main())


def test_drain_opens_the_next_stream_within_and_reads_the_old_one() -> None:
    """C 3.7, 6.1, 5.7"""

    async def main() -> None:
        async with Fixture() as f:
            old = f.conn.hello()
            await f.after()
            old.goaway("drain", 4000).push(1)
            await f.after(3.9)
            assert len(f.conns) == 1
            assert f.handled == ["m1"]
            await f.after(0.2)
            new = f.conns[1].hello(seq=1)
            await f.after()
            assert not old.closed
            old.goaway("superseded")
            new.push(2)
            await f.after()
            assert old.closed
            assert f.handled == ["m1", "m2"]
            assert f.path == ["connecting", "online"]
            assert [h.resumed for h in f.hellos] == [True, True]

    run(main())


def test_third_leaving_stream_ends_the_oldest() -> None:
    """C 3.7"""

    async def main() -> None:
        async with Fixture() as f:
            for _ in range(4):
                f.conn.hello(timeout_ms=100_000)
                await f.after()
                f.conn.goaway("drain", 1)
                await f.after(1.2)
            f.conn.hello()
            await f.after(0.1)
            assert [c.closed for c in f.conns] == [True, True, False, False, False]

    run(main())


def test_drain_of_a_young_stream_without_reconnect_ms_takes_a_pause() -> None:
    """C 7.4"""

    async def main() -> None:
        async with Fixture() as f:
            f.conn.hello().goaway("rebalance")
            await f.after(0.9)
            assert len(f.conns) == 1
            await f.after(0.2)
            assert len(f.conns) == 2

    run(main())


def test_superseded_is_final() -> None:
    """C 6.1, 6.2"""

    async def main() -> None:
        f = Fixture()
        f.device.start()
        await f.after()
        f.conn.hello()
        await f.after()
        f.conn.goaway("superseded")
        with pytest.raises(Superseded):
            await f.device.wait()
        assert f.closed == ["superseded"]
        assert f.path[-1] == "stopped"
        await f.after(100)
        assert len(f.conns) == 1

    run(main())


def test_superseded_by_an_opening_of_its_own_is_not() -> None:
    """C 6.3"""

    async def main() -> None:
        f = Fixture()
        f.answers.append(cut("no answer"))  # it may have reached the server
        async with f:
            await f.after(1.1)
            f.conn.hello(timeout_ms=100_000)
            await f.after(10)
            f.conn.goaway("superseded")
            await f.after(3)
            assert len(f.conns) == 2
            f.conn.hello(timeout_ms=100_000)
            await f.after(40)
            f.conn.goaway("superseded")
            with pytest.raises(Superseded):
                await f.device.wait()

    run(main())


def test_connection_that_was_refused_cannot_have_superseded() -> None:
    """C 6.3"""

    async def main() -> None:
        f = Fixture()
        f.answers.append(refused_connection())
        async with f:
            await f.after(1.1)
            f.conn.hello().goaway("superseded")
            with pytest.raises(Superseded):
                await f.device.wait()

    run(main())


def test_reason_of_the_goaway_counts_not_what_follows() -> None:
    """C 6.5"""

    async def main() -> None:
        async with Fixture() as f:
            f.conn.hello().goaway("disconnected").say(cut("connection lost"))
            with pytest.raises(Disconnected):
                await f.device.wait()

    run(main())


def test_refused_token_is_never_sent_again() -> None:
    """C 9.3"""

    async def main() -> None:
        answers = ["t1", "t1", "t1", "t2"]

        async def token() -> str:
            return answers.pop(0) if len(answers) > 1 else answers[0]

        f = Fixture(token=token)
        f.answers.append(EndError(said("unauthenticated")))
        async with f:
            await f.after(10)
            assert [c.opening.token for c in f.conns] == ["t2"]
            assert f.token_wanted == 1
            assert [round(s.delay) for s in f.states if s.state is State.WAITING] == [1, 2, 4]

    run(main())


def test_without_a_callback_a_refused_token_is_final() -> None:
    """C 9.3"""

    async def main() -> None:
        f = Fixture(token="t1")
        f.answers.append(EndError(said("unauthenticated", "expired")))
        f.device.start()
        with pytest.raises(Unauthenticated, match="expired"):
            await f.device.wait()
        assert f.closed == ["unauthenticated"]

    run(main())


def test_token_callback_that_never_answers_fails_the_attempt_and_no_transport() -> None:
    """C 9.1, 11.2"""

    async def main() -> None:
        async def token() -> str:
            await asyncio.sleep(3600)
            return ""

        async with Fixture(token=token, transports=["ws", "sse"]) as f:
            await f.after(100)
            assert f.opened_at == []
            assert {s.transport for s in f.states} == {"ws"}

    run(main())


def jwt(seconds: float) -> str:
    body = base64.urlsafe_b64encode(json.dumps({"exp": time.time() + seconds}).encode()).decode().rstrip("=")
    return f"e30.{body}.{seconds}"


@pytest.mark.parametrize("transport", ["ws", "sse"])
def test_token_is_renewed_before_it_expires(transport: str) -> None:
    """C 9.2: over the open stream, over SSE by a next stream"""

    async def main() -> None:
        tokens = [jwt(100), jwt(10_000)]

        async def token() -> str:
            return tokens.pop(0) if len(tokens) > 1 else tokens[0]

        async with Fixture(token=token, transports=[transport]) as f:
            f.conn.hello(timeout_ms=105_000)
            await f.after(89)
            assert f.conn.refreshes == []
            f.conn.heartbeat()
            await f.after(2)
            assert f.conns[0].refreshes == [(tokens[0], None)]
            assert [c.opening.token for c in f.conns[1:]] == ([tokens[0]] if transport == "sse" else [])

    run(main())


def test_token_that_expired_on_the_stream_does_not_spoil_the_new_one() -> None:
    """C 9.3: the refused one is that of the stream"""

    async def main() -> None:
        tokens = [jwt(100), jwt(10_000)]

        async def token() -> str:
            return tokens.pop(0) if len(tokens) > 1 else tokens[0]

        async with Fixture(token=token, transports=["sse"]) as f:
            f.conn.hello(timeout_ms=105_000)
            f.answers.append(cut("502"))  # of the successor with the new token
            await f.after(90.5)
            f.conn.goaway("unauthenticated")
            await f.after(3)
            assert [c.opening.token for c in f.conns[1:]] == [tokens[0]]

    run(main())


def test_two_failures_fall_back_and_the_preferred_is_tried_beside() -> None:
    """C 11.2 to 11.4"""

    async def main() -> None:
        f = Fixture(transports=["ws", "sse"], prefer_after=300)
        f.answers.extend([cut("502"), cut("502")])
        async with f:
            await f.after(3.1)
            assert f.conn.transport == "sse"
            f.conn.hello(timeout_ms=100_000)
            assert f.device.stats.fallbacks == 1
            f.answers.append(cut("502"))  # of the first trial
            for _ in range(10):
                await f.after(29.9)
                f.conn.heartbeat()
            await f.after(5)
            assert len(f.opened_at) == 4
            assert f.path == ["connecting", "waiting", "connecting", "waiting", "connecting", "online"]
            for _ in range(20):
                await f.after(30.1)
                f.conns[0].heartbeat()
            assert [c.transport for c in f.conns] == ["sse", "ws"]
            f.conn.hello()
            await f.after()
            assert f.device.state == StateChange(State.ONLINE, "ws")

    run(main())


def test_answer_of_the_servers_says_that_the_transport_works() -> None:
    """C 11.2"""

    async def main() -> None:
        f = Fixture(transports=["ws", "sse"])
        f.answers.extend(EndError(said("unavailable")) for _ in range(5))
        async with f:
            await f.after(40)
            assert f.conn.transport == "ws"

    run(main())


def test_no_network_opens_nothing_and_one_that_is_back_opens_soon() -> None:
    """C 2.5, 10.1, 10.2"""

    async def main() -> None:
        async with Fixture() as f:
            f.conn.hello(timeout_ms=100_000)
            await f.after()
            f.device.network(False)
            await f.after(10)
            assert f.device.state.state is State.ONLINE
            f.conn.say(cut("gone"))
            await f.after(3600)
            assert len(f.conns) == 1
            f.device.network(True)
            await f.after(1.1)
            assert len(f.conns) == 2
            assert f.path == ["connecting", "online", "offline", "waiting", "connecting"]

    run(main())


def test_drain_without_a_network_waits_for_it() -> None:
    """C 10.1"""

    async def main() -> None:
        async with Fixture() as f:
            f.conn.hello(timeout_ms=100_000)
            await f.after()
            f.device.network(False)
            f.conn.goaway("drain", 1000)
            await f.after(50)
            assert len(f.conns) == 1
            assert f.device.state.state is State.ONLINE
            f.device.network(True)
            await f.after(1.1)
            assert len(f.conns) == 2

    run(main())


def test_timer_of_a_waiting_client_stops_without_a_network() -> None:
    """C 2.5"""

    async def main() -> None:
        f = Fixture()
        f.answers.append(cut("502"))
        async with f:
            f.device.network(False)
            await f.after(100)
            assert len(f.opened_at) == 1
            assert f.path == ["connecting", "waiting", "offline"]

    run(main())


def test_stream_over_another_network_has_five_sevenths_of_the_time() -> None:
    """C 10.2"""

    async def main() -> None:
        async with Fixture() as f:
            f.conn.hello()
            await f.after(1)
            f.device.network(True, changed=True)
            await f.after(4.9)
            assert f.path[-1] == "online"
            await f.after(0.2)
            assert f.path[-1] == "waiting"
            await f.after(1)
            f.conn.hello()
            await f.after(1)
            f.device.network(True, changed=True)
            await f.after(4.4)
            f.conn.heartbeat()
            await f.after(6.9)
            assert f.path[-1] == "online"

    run(main())


def test_reconnect_ends_a_pause() -> None:
    """C 7.6"""

    async def main() -> None:
        f = Fixture()
        f.answers.extend(refused_connection() for _ in range(5))
        async with f:
            await f.after(16)
            assert len(f.opened_at) == 5
            f.device.reconnect()
            await f.after()
            assert len(f.opened_at) == 6
            f.conn.say(cut("gone"))
            await f.after()
            assert f.bounds[-1] == 30.0

    run(main())


def test_reload_is_told_where_messages_may_have_gone() -> None:
    """C 8.6"""

    async def main() -> None:
        async with Fixture() as f:
            f.conn.hello(resumed=False)
            await f.after()
            assert f.reloads == []  # a first stream ever
            f.conn.push(1).say(cut("gone"))
            await f.after(1.1)
            f.conn.hello(resumed=False, cursor="k9")
            await f.after()
            assert f.reloads == [0]
            f.conn.say(cut("gone"))
            await f.after(2.1)
            assert f.conn.opening.cursor == "k9"
            f.conn.hello(expired=3)
            await f.after()
            assert f.reloads == [0, 3]
            assert f.device.stats.expired == 3

    run(main())


def test_place_is_that_of_hello_where_nothing_was_pushed() -> None:
    """C 8.1"""

    async def main() -> None:
        async with Fixture() as f:
            assert f.conn.opening.cursor == ""
            f.conn.hello(resumed=False, cursor="k5")
            await f.after()
            f.conn.say(cut("gone"))
            await f.after(1.1)
            assert f.conn.opening.cursor == "k5"
            f.conn.hello(cursor="k7")  # resumed: the device's own place stands
            await f.after()
            assert f.device.cursor == "k5"

    run(main())


class Store(MemoryCursor):
    def __init__(self, load: Any = None, save: Any = None) -> None:
        super().__init__("k1")
        self.saves: List[str] = []
        self._load, self._save = load, save

    async def load(self) -> str:
        await self._do(self._load)
        return self.cursor

    async def save(self, cursor: str) -> None:
        await self._do(self._save)
        self.saves.append(cursor)

    async def _do(self, what: Any) -> None:
        if what == "never":
            await asyncio.sleep(10**6)
        elif what is not None:
            raise what


def test_place_is_saved_when_nothing_is_left_and_every_64() -> None:
    """C 8.2"""

    async def main() -> None:
        store = Store()
        async with Fixture(cursors=store) as f:
            assert f.conn.opening.cursor == "k1"
            f.conn.hello().push(*range(1, 4))
            await f.after()
            assert store.saves == ["k3"]
            f.conn.push(*range(4, 200))
            await f.after()
            assert store.saves[-1] == "k199"
            assert len(store.saves) >= 3

    run(main())


@pytest.mark.parametrize("broken", ["load", "save", "never"])
def test_broken_store_holds_up_nothing(broken: str) -> None:
    """C 8.3"""

    async def main() -> None:
        error = OSError("disk")
        store = {"load": Store(load=error), "save": Store(save=error), "never": Store(load="never", save="never")}[broken]
        async with Fixture(cursors=store) as f:
            await f.after(3)
            for seq in range(1, 4):
                if seq == 1:
                    f.conn.hello(timeout_ms=100_000)
                f.conn.push(seq)
                await f.after(6)
            assert f.handled == ["m1", "m2", "m3"]
            assert f.conn.acked == [1, 2, 3]
            assert f.errors.count("store") == 1

    run(main())


def test_what_is_no_cursor_is_no_place() -> None:
    """C 8.4"""

    async def main() -> None:
        async with Fixture(cursors=MemoryCursor("Dear diary")) as f:
            assert f.conn.opening.cursor == ""

    run(main())


def test_listener_that_throws_changes_nothing_and_one_may_close() -> None:
    """C 2.7"""

    async def main() -> None:
        def throws(change: StateChange) -> None:
            raise RuntimeError("no")

        f = Fixture(on_state=throws)
        async with f:
            f.conn.hello().push(1)
            await f.after()
            assert f.handled == ["m1"]
        assert f.errors == ["listener"] * 3

        f = Fixture(on_hello=lambda hello: f.device.stop())
        async with f:
            f.conn.hello().push(1)
            await f.after()
            assert f.closed == ["closed"]
            assert f.handled == []

    run(main())


@pytest.mark.parametrize("when", ["opening", "waiting", "offline", "handler", "twice", "token", "drain"])
def test_close_in_each_state(when: str) -> None:
    """C 12.6"""

    async def main() -> None:
        async def token() -> str:
            if when == "token":
                await asyncio.sleep(5)
            return "t"

        async def handler(m: Message) -> None:
            await f.device.close()
            await asyncio.sleep(1)  # it is let finish
            done.append(m.id)

        done: List[str] = []
        f = Fixture(token=token, handler=handler)
        if when in ("waiting", "offline"):
            f.answers.append(cut("502"))
        async with f:
            if when == "offline":
                f.device.network(False)
            if when in ("handler", "twice", "drain"):
                f.conn.hello()
            if when == "handler":
                f.conn.push(1, 2)
                await f.after(2)
                assert done == ["m1"]
                assert f.conn.acked == [1]
            if when == "drain":
                f.conn.goaway("drain", 500)
                await f.after(0.6)
            if when == "twice":
                await asyncio.gather(f.device.close(), f.device.close())
        assert f.path[-1] == "stopped"
        assert f.closed == ["closed"]
        assert all(c.closed for c in f.conns)

    run(main())


def test_close_while_the_stream_lets_go_of_its_connection() -> None:
    """C 12.6: the stream's end is told once, whoever else wants it to end meanwhile"""

    async def main() -> None:
        async with Fixture() as f:
            f.conn.hello()
            await f.after()
            f.conn.close_takes = 0.5
            f.conn.say(cut("gone"))
            await f.after()
        assert f.closed == ["closed"]
        assert f.conn.closed

    run(main())


def test_handler_that_never_returns_is_cancelled_after_the_grace() -> None:
    """C 12.6"""

    async def main() -> None:
        async def handler(m: Message) -> None:
            await asyncio.sleep(10**6)

        async with Fixture(handler=handler) as f:
            f.conn.hello(timeout_ms=100_000).push(1)
            await f.after()
            began = f.now()
        assert f.now() - began == pytest.approx(5)
        assert f.conn.acked == []

    run(main())


def test_loop_processes_a_message_when_it_asks_for_the_next() -> None:
    """C 15"""

    async def main() -> None:
        f = Fixture(handler=None)
        async with f:
            f.conn.hello().push(1, 2, 3)
            got = []
            async for m in f.device:
                got.append(m.id)
                await f.after(1)
                if m.id == "m2":
                    break
            assert got == ["m1", "m2"]
            assert f.conn.acked == [1]
            assert f.device.cursor == "k1"
            async for m in f.device:  # a loop that broke off has left its message
                got.append(m.id)
                if m.id == "m3":
                    f.device.stop()
            assert got == ["m1", "m2", "m2", "m3"]
        assert f.conn.acked == [1, 3]  # it asked for the next one, and there was none

    run(main())


def test_loop_raises_where_the_server_ended_the_device() -> None:
    """C 6.2, 15"""

    async def main() -> None:
        async with Fixture(handler=None) as f:
            f.conn.hello().goaway("superseded")
            with pytest.raises(Superseded):
                async for _ in f.device:
                    raise AssertionError
            with pytest.raises(RamenError):
                async for _ in Fixture(handler=None).device:
                    raise AssertionError

    run(main())


def test_device_may_be_started_again_and_keeps_place_and_ids() -> None:
    """C 5.2, 6.2"""

    async def main() -> None:
        f = Fixture()
        async with f:
            f.conn.hello().push(1)
            await f.after()
        async with f:
            assert f.conn.opening.cursor == "k1"
            f.conn.hello().push(1, 2)
            await f.after()
            assert f.handled == ["m1", "m2"]

    run(main())


def test_context_that_changes_goes_over_the_open_stream() -> None:
    async def main() -> None:
        async with Fixture() as f:
            f.conn.hello()
            await f.after()
            f.device.set_context(Context(app="a"))
            await f.after()
            ((_, context),) = f.conn.refreshes
            assert context is not None
            assert (context.app, context.labels["client"]) == ("a", "python")

    run(main())


def test_poll_makes_way_for_the_trial() -> None:
    """C 3.8"""

    async def main() -> None:
        f = Fixture(transports=["ws", "poll"], prefer_after=300, fallback_after=1)
        f.answers.append(cut("502"))
        async with f:
            await f.after(1.1)
            poll = f.conn.hello(timeout_ms=100_000)
            await f.after(298)
            assert len(f.conns) == 1
            await f.after(3)
            assert poll.closed
            assert f.conn.transport == "ws"

    run(main())


def test_bytes_that_were_there_when_a_timer_fired_late_count() -> None:
    """C 4.6"""

    async def main() -> None:
        async with Fixture() as f:
            f.conn.hello()
            await f.after()
            loop = asyncio.get_running_loop()
            loop._virtual.now += 60  # type: ignore[attr-defined]  # the machine was frozen
            f.conn.heartbeat()
            await f.after(1)
            assert f.path == ["connecting", "online"]
            loop._virtual.now += 60  # type: ignore[attr-defined]
            await f.after(1)
            assert f.path[-1] == "waiting"

    run(main())


def test_unknown_reason_counts_as_none() -> None:
    """C 4.1"""

    async def main() -> None:
        f = Fixture(transports=["ws", "sse"], fallback_after=1)
        async with f:
            f.conn.hello().goaway("of tomorrow")
            await f.after(1.5)
            assert f.conn.transport == "sse"

    run(main())


def test_hello_is_told_before_its_first_message() -> None:
    """C 5.8"""

    async def main() -> None:
        order: List[str] = []

        async def handler(m: Message) -> None:
            order.append(m.id)

        f = Fixture(handler=handler, on_hello=lambda h: order.append(h.stream))
        async with f:
            f.conn.say(HelloFrame(stream="s1", timeout_ms=7000, ack_ms=100)).push(1)
            await f.after()
            assert order == ["s1", "m1"]

    run(main())
