"""One live connection of the device, from its opening to its end.

    opening --hello--> live --its successor's hello--> leaving --> ended

The keeper says which of them it is; the stream's own task opens and reads.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Optional

from .acker import Acker
from .calling import within
from .ends import MOVING, By, End, EndError, said
from .message import Context
from .settings import window_of
from .state import log
from .tokens import NoToken, expiry, lead
from .watchdog import Watchdog, silence_of
from .wire.conn import Conn
from .wire.frames import FrameError, GoAwayFrame, HeartbeatFrame, HelloFrame, PushFrame, ServerFrame, valid_cursor

if TYPE_CHECKING:
    from .keeper import Keeper

CLOSE_TIMEOUT = 1.0
"""How long letting go of a connection may take, in s."""
FLUSH_TIMEOUT = 2.0
"""How long the last ack of a stream may take, in s. C 12.5"""

STOPPED = End(By.STOP, detail="the device let go of the stream")


class Stream:
    """Tells the keeper of hello, of a wish to be replaced, and of its end, which is the last that it tells."""

    def __init__(self, keeper: "Keeper", transport: str, trial: bool) -> None:
        self.keeper = keeper
        self.transport = transport
        self.trial = trial  # of the preferred transport, beside a live stream
        self.stats = keeper.stats
        pushes, self.room = window_of(transport)
        self.window = min(keeper.settings.window or pushes, pushes)
        self.waiting = 0  # in the inbox
        self.waiting_bytes = 0
        self.token = ""
        self.context: Context = keeper.context
        self.gave_place = False
        self.live_since: Optional[float] = None
        self.away = False  # it is to be replaced
        self.succeeded = False  # an opening of its successor was begun, and may have reached the server
        self.dead = False  # its pushes no longer count
        self._over = False  # its task is letting go of the connection
        self._cause: Optional[End] = None
        self._conn: Optional[Conn] = None
        self._next_seq = 0  # that a push must have; 0: any
        self._acker = Acker(self, keeper.draw)
        self._dog = Watchdog(self._silent)
        self._renewal: Optional["asyncio.Task[None]"] = None
        self._flush: Optional["asyncio.Task[None]"] = None
        self.task = asyncio.get_running_loop().create_task(self._run())

    # What others ask of it.

    def let_go(self, end: End) -> None:
        """Ends the stream, without waiting for the server. The first cause counts."""
        self.dead = True
        if self._cause is None:
            self._cause = end
            if not self._over:
                self.task.cancel()

    def leave(self) -> None:
        """Its successor lives: it is read until the server ends it, and what waits comes again on the successor. C 5.7"""
        self.dead = True

    def fail(self, detail: str) -> None:
        """The handler failed: nothing behind is acked, what was processed before is, then the stream is let go of. C 5.3"""
        self.dead = True  # so that nothing behind is handled
        if self._flush is None:
            self._flush = asyncio.get_running_loop().create_task(self._flush_then(End(By.DEVICE, detail=detail)))

    async def _flush_then(self, end: End) -> None:
        await self.flush()
        self.let_go(end)

    async def flush(self) -> None:
        """Acks what was processed. It takes 2 s at most."""
        try:
            await within(self._acker.last(), FLUSH_TIMEOUT)
        except asyncio.TimeoutError:
            log.debug("the last ack over %s took too long", self.transport)

    async def finish(self) -> None:
        """Acks what was processed and ends the stream in order. It takes 2 s at most. C 12.5"""
        try:
            await within(self._finish(), FLUSH_TIMEOUT)
        except (asyncio.TimeoutError, EndError):
            log.debug("the end over %s took too long", self.transport)

    async def _finish(self) -> None:
        await self._acker.last()
        if self._conn is not None:
            await self._conn.finish()

    def abandon(self) -> None:
        """No ack and no farewell any more: as if the process were killed."""
        self._acker.stop()
        if self._conn is not None:
            self._conn.abandon()
        self.let_go(STOPPED)

    def processed(self, push: PushFrame) -> None:
        self._acker.processed(push)

    def refresh(self, context: bool = False) -> None:
        self._acker.refresh(context)

    def token_in_use(self) -> str:
        """The one that an end of the server's is about: a newer one may not have reached it yet."""
        return self._conn.token if self._conn is not None else self.token

    def hurry(self) -> None:
        self._dog.hurry()

    def latest_context(self) -> Context:
        return self.keeper.context

    def wants_successor(self) -> None:
        """What is new cannot be handed over on this stream."""
        self.keeper.successor(self)

    # Its task.

    async def _run(self) -> None:
        end = STOPPED
        try:
            await self._serve()
        except asyncio.CancelledError:
            pass  # let_go has the cause
        except EndError as e:
            end = e.end
        except NoToken as e:
            end = End(By.TOKEN, detail=str(e), reached=False)
        except FrameError as e:
            end = End(By.NETWORK, detail=f"not a frame of the contract: {e}")
        except Exception as e:  # a defect of this package's
            log.exception("the stream over %s failed", self.transport)
            end = End(By.NETWORK, detail=type(e).__name__)
        self.dead = self._over = True
        self._dog.stop()
        self._acker.stop()
        if self._renewal is not None:
            self._renewal.cancel()
        try:
            await self._close()
        finally:
            self.keeper.ended(self, self._cause or end)

    async def _close(self) -> None:
        if self._conn is None:
            return
        try:
            await within(self._conn.close(), CLOSE_TIMEOUT)
        except Exception as e:
            log.debug("closing the stream over %s: %s", self.transport, type(e).__name__)

    async def _serve(self) -> None:
        k = self.keeper
        self.token = await k.tokens.next()
        self._dog.allow(k.settings.connect_timeout)
        opening = k.opening_frame(self.token)
        self.context = opening.context
        self.gave_place = bool(opening.cursor)
        self._conn = await k.dial(self.transport, opening, self._alive)
        while self._cause is None:  # a library may make something else of the cancellation
            frame = await self._conn.next()
            if frame is not None and self._cause is None:
                await self._frame(self._conn, frame)

    def _alive(self) -> None:
        if self.live_since is not None or self.transport == "poll":  # before hello no byte but an answer's buys time. C 3.3
            self._dog.alive()

    def _silent(self) -> None:
        what = "no hello in time" if self.live_since is None else "silent for too long"
        self.let_go(End(By.SILENCE, detail=what))

    async def _frame(self, conn: Conn, frame: ServerFrame) -> None:
        if isinstance(frame, PushFrame):
            self._push(frame)
        elif isinstance(frame, HeartbeatFrame):
            self.stats.heartbeats += 1
            await conn.echo(frame.time_ms)
        elif isinstance(frame, HelloFrame):
            self._hello(conn, frame)
        else:
            self._goaway(frame)

    def _hello(self, conn: Conn, hello: HelloFrame) -> None:
        """The first frame; a poll says it again where there is something new in it."""
        if self.transport != "poll":
            self._next_seq = hello.seq + 1
        if self.live_since is None:
            self.live_since = self.keeper.now()
            self._dog.allow(self._silence(hello))
            if self.transport == "poll":
                self._dog.stop()  # each poll is bounded by itself
            self._acker.start(conn, hello.ack_ms)
            self._renewal = asyncio.get_running_loop().create_task(self._renew())
        self.keeper.hello(self, hello)
        if valid_cursor(hello.cursor) and not self.dead:
            self.keeper.inbox.put_hello(self, hello)

    def _silence(self, hello: HelloFrame) -> float:
        silence = silence_of(hello.timeout_ms, self.keeper.settings.heartbeat_ms)
        return self.keeper.patience(silence) if self.transport == "grpc" else silence

    def _push(self, push: PushFrame) -> None:
        if self.live_since is None:
            raise EndError(End(By.NETWORK, detail="the server did not begin with hello"))
        self.stats.pushes += 1
        self.stats.redelivered += push.message.redelivered
        if self._next_seq:
            if push.seq != self._next_seq:
                self.stats.gaps += 1
                raise EndError(End(By.DEVICE, detail=f"a push is missing: got seq {push.seq}, expected {self._next_seq}"))
            self._next_seq += 1
        self.keeper.trust()
        if not self.dead and not self.keeper.inbox.put(self, push):
            raise EndError(End(By.DEVICE, detail="the server pushed more than the window"))

    def _goaway(self, g: GoAwayFrame) -> None:
        """A drain or rebalance is a wish to be replaced; any other ends the stream, as does one before hello. SPEC 2.12.6"""
        self.stats.goaways += 1
        within = g.reconnect_ms / 1000
        if g.reason in MOVING and self.live_since is not None and self.transport != "poll":
            self.keeper.goaway(self, within)
            return
        raise EndError(said(g.reason, g.detail, g.retry_ms / 1000, within))

    async def _renew(self) -> None:
        """Asks for a new token shortly before the stream's ends, and again until there is one, and hands it on. C 9.2"""
        tokens = self.keeper.tokens
        if not tokens.has_callback:
            return
        while True:
            old = self.token
            end = expiry(old)
            if end is None:
                return
            early = lead(end - time.time())
            pause = end - time.time() - early
            while True:
                await asyncio.sleep(max(0.0, pause))
                if time.time() > end:
                    return  # from then on the server ends the stream
                try:
                    token = await tokens.next()
                except NoToken as e:
                    log.debug("no new token yet: %s", e)
                    token = ""
                if token and token != old:
                    break
                pause = max(early / 4, 0.25)
            self.token = token
            self._acker.refresh()
