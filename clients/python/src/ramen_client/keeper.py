"""The state machine that keeps one device connected: C 2, 3.7, 6, 7, 10, 11.

All of it runs in the event loop's thread, by calls of the streams, of timers and of the device: there is no task of its own. At most one
stream is live and one is opening; at most two more are leaving.
"""

from __future__ import annotations

import asyncio
from typing import Callable, List, Optional

from .backoff import STABLE_AFTER, Backoff, Draw
from .choice import Choice
from .ends import MOVING, By, End, Next, counts_for_transport, follows
from .inbox import Inbox
from .message import Context, Hello
from .place import Place
from .settings import Settings
from .state import Listeners, State, StateChange, Stats, log
from .stream import STOPPED, Stream
from .tokens import Tokens
from .watchdog import patience
from .wire.conn import Dial
from .wire.frames import HelloFrame, Opening

MOST_LEAVING = 2
"""Streams that the server was slow to end. C 1.1"""
UNCLEAR_FOR = 30.0
"""How long an opening that was never answered may still reach the server, and supersede its successor, in s. C 6.3"""
SOON = 1.0
"""When the network is back, the next opening lies within it, in s. C 10.2"""


class Alarm:
    """A timer that knows whether it is set."""

    def __init__(self, ring: Callable[[], None]) -> None:
        self._ring = ring
        self._timer: Optional[asyncio.TimerHandle] = None

    def set(self, delay: float) -> None:
        self.stop()
        self._timer = asyncio.get_running_loop().call_later(delay, self._rang)

    def _rang(self) -> None:
        self._timer = None
        self._ring()

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    @property
    def is_set(self) -> bool:
        return self._timer is not None

    @property
    def left(self) -> float:
        """Until it rings, in s."""
        return 0.0 if self._timer is None else max(0.0, self._timer.when() - asyncio.get_running_loop().time())


class Keeper:
    """Opens, replaces and ends streams."""

    def __init__(
        self,
        settings: Settings,
        tokens: Tokens,
        place: Place,
        inbox: Inbox,
        stats: Stats,
        listeners: Listeners,
        dial: Dial,
        draw: Draw,
    ) -> None:
        self.settings = settings
        self.tokens = tokens
        self.place = place
        self.inbox = inbox
        self.stats = stats
        self.listeners = listeners
        self.dial = dial
        self.draw = draw
        self.context: Context = settings.context
        self.final: "asyncio.Future[End]" = asyncio.get_running_loop().create_future()
        self.live: Optional[Stream] = None
        self._opening: Optional[Stream] = None
        self._leaving: List[Stream] = []
        self._choice = Choice(settings.transports, settings.fallback_after, settings.prefer_after)
        self._backoff = Backoff(draw)
        self._reopen = Alarm(self._open_next)
        self._trial = Alarm(self._try_preferred)
        self._unclear_until = 0.0
        self._deaths = 0  # by silence since the last push, where only whole frames are seen
        self._network = True
        self._held = False  # an opening waits for the network
        self._closing = False

    def now(self) -> float:
        """Monotonic, in s."""
        return asyncio.get_running_loop().time()

    # What the device asks for.

    def begin(self) -> None:
        self._reopen.set(0.0)

    def reconnect(self) -> None:
        """Ends a pause. C 7.6"""
        if self._reopen.is_set:
            self._reopen.set(0.0)

    def network(self, online: bool, changed: bool) -> None:
        """What the platform says of the network. C 10"""
        was, self._network = self._network, online
        if self._closing or self.final.done():
            return
        if not online:
            self._hold()
        elif changed or not was:
            if self.live is not None:
                self.live.hurry()
            if self._held or (self._reopen.is_set and self.live is None):
                self._held = False
                delay = self.draw(SOON)
                self._reopen.set(delay)
                self._waiting(delay, "the network is back" if not was else "another network")

    def _hold(self) -> None:
        """Nothing is opened without a network. C 2.5"""
        if self._reopen.is_set:
            self._reopen.stop()
            self._held = True
        if self._held and self.live is None and self._opening is None:
            self.listeners.state(StateChange(State.OFFLINE, cause="no network"))

    def set_context(self, context: Context) -> None:
        self.context = context
        if self.live is not None:
            self.live.refresh(context=True)

    async def close(self) -> None:
        """Ends all streams and waits for them. Nothing is told any more."""
        self.stop_opening()
        while self.streams():
            for s in self.streams():
                s.let_go(STOPPED)
            await asyncio.wait([s.task for s in self.streams()])

    def streams(self) -> List[Stream]:
        """Those that have not ended."""
        return [s for s in (self.live, self._opening, *self._leaving) if s is not None]

    def stop_opening(self) -> None:
        """From now on the live stream lives on at most."""
        self._closing = True
        self._reopen.stop()
        self._trial.stop()
        if self._opening is not None:
            self._opening.let_go(STOPPED)

    # What streams ask for.

    def opening_frame(self, token: str) -> Opening:
        s = self.settings
        return Opening(s.user, s.device, self.place.cursor, self.context, token, s.window, s.heartbeat_ms)

    def patience(self, silence: float) -> float:
        return patience(silence, self._deaths)

    def trust(self) -> None:
        """A push has come."""
        self._deaths = 0

    # Opening.

    def _open_next(self) -> None:
        if self._network:
            self._open(self._choice.current, trial=False)
        else:
            self._held = True
            self._hold()

    def _try_preferred(self) -> None:
        if self._opening is None and not self._reopen.is_set and self.live is not None and self._network:
            self._open(self._choice.all[0], trial=True)
        else:
            self._arm_trial_later()

    def _open(self, transport: str, trial: bool) -> None:
        """Begins a stream. The live one, if any, is read on, but a poll makes way. C 3.7, 3.8"""
        if self._opening is not None or self._closing:
            return
        if self.live is not None and self.live.transport == "poll":
            self._drop_poll(self.live)
        self.stats.attempts += 1
        self._opening = Stream(self, transport, trial)
        if self.live is not None:
            self.live.succeeded = True
        else:
            self.listeners.state(StateChange(State.CONNECTING, transport))

    def _drop_poll(self, poll: Stream) -> None:
        """Its next poll would be the newer stream. Its end is heard of later."""
        self.live = None
        self._leaving.append(poll)
        poll.let_go(STOPPED)
        self._unclear_until = self.now() + UNCLEAR_FOR

    def hello(self, s: Stream, frame: HelloFrame) -> None:
        if self._closing or s in self._leaving:
            return
        gave_place = s.gave_place or s is self.live
        if s is self._opening:
            self._opened(s)
            log.debug("stream is open: transport %s, stream %s, resumed %s", s.transport, frame.stream, frame.resumed)
            self.listeners.state(StateChange(State.ONLINE, s.transport))
        self.stats.resumed += frame.resumed
        self.stats.expired += frame.expired
        self.listeners.hello(Hello(frame.resumed, frame.expired, frame.stream, s.transport, frame.time_ms))
        if frame.expired or (gave_place and not frame.resumed):
            self.listeners.reload(frame.expired)

    def _opened(self, s: Stream) -> None:
        self._opening = None
        self._reopen.stop()
        old, self.live = self.live, s
        if old is not None:
            if self._lived(old) >= STABLE_AFTER:
                self._backoff.reset()
            self._leave(old)
        if s.trial:
            self._choice.tried(True, self.now())
        self._arm_trial()
        if s.context != self.context:
            s.refresh(context=True)
        self.stats.streams += 1

    def _leave(self, s: Stream) -> None:
        s.leave()
        self._leaving.append(s)
        if len(self._leaving) > MOST_LEAVING:
            self._leaving.pop(0).let_go(STOPPED)

    def _arm_trial(self) -> None:
        pause = self._choice.next_trial(self.now())
        if pause is None:
            self._trial.stop()
        else:
            self._trial.set(pause)

    def _arm_trial_later(self) -> None:
        if self.live is not None and self._choice.next_trial(self.now()) is not None:
            self._trial.set(SOON)

    # Replacing.

    def goaway(self, s: Stream, within: float) -> None:
        """Sets the moment of the next stream. C 6.1, 7.4"""
        if s is not self.live or s.away or self._closing:
            return
        s.away = True
        if self._opening is not None:
            return  # a trial: it will do
        delay = self._backoff.within(within)
        if not within and self._lived(s) < STABLE_AFTER:
            delay = self._backoff.next()  # else a server that says so each time would be asked without a pause
        self._reopen.set(delay)

    def successor(self, s: Stream) -> None:
        """The stream has a new token or context, and no way to hand it over. C 9.2"""
        if s is self.live and self._opening is None and not self._closing:
            s.away = True
            self._reopen.set(0.0)

    # Ends.

    def ended(self, s: Stream, end: End) -> None:
        """Decides what follows a stream's end."""
        opening = s is self._opening
        if opening:
            self._opening = None
        elif s is self.live:
            self.live = None
            self._trial.stop()
        else:  # it was replaced: whatever ended it, superseded too, is of no interest. C 6.3
            if s in self._leaving:
                self._leaving.remove(s)
            return
        log.debug("stream %s: transport %s, %s", "not opened" if opening else "ended", s.transport, end)
        if self._closing or self.final.done():
            return
        if end.by is By.SILENCE:
            self.stats.silences += 1
        if end.reason == "superseded" and (s.succeeded or self.now() < self._unclear_until):
            end = End(By.NETWORK, detail="superseded by an opening of this device's own")
        step = follows(end, opening, self.tokens.has_callback)
        if step is Next.FINAL:
            self.final.set_result(end)
            return
        if step is Next.TOKEN:
            self.tokens.refuse(s.token_in_use())
            self.listeners.token()
        self._learn(s, end, opening)
        self._after(s, end, opening)

    def _learn(self, s: Stream, end: End, opening: bool) -> None:
        """What the end says of the network, of the transport, and of openings that nobody answered."""
        now = self.now()
        lived = self._lived(s)
        if lived >= STABLE_AFTER:
            self._backoff.reset()
            self._choice.succeeded()
        if end.by is By.SILENCE and s.transport == "grpc" and not opening:
            self._deaths += 1
        if opening and s.trial:
            self._choice.tried(False, now)
        if opening and self.live is not None:
            self.live.succeeded = False
        if end.by is By.SERVER:
            self._choice.succeeded()
        if not counts_for_transport(end):
            return
        if (opening or s.transport == "poll") and end.reached:
            self._unclear_until = now + UNCLEAR_FOR
        if not s.trial and not s.away and lived < STABLE_AFTER and self._choice.failed(now):
            self.stats.fallbacks += 1

    def _after(self, s: Stream, end: End, opening: bool) -> None:
        if opening and self.live is not None and not self.live.away:
            self._arm_trial()  # a trial that failed
        elif self._opening is not None:
            self.listeners.state(StateChange(State.CONNECTING, self._opening.transport, cause=str(end)))
        elif self._reopen.is_set:
            self._waiting(self._reopen.left, str(end))
        else:
            self._pause(end, opening)

    def _pause(self, end: End, opening: bool) -> None:
        """Waits for the next opening. C 7"""
        if end.reason in MOVING and not opening and end.within:
            delay = self._backoff.within(end.within)
        else:
            delay = end.retry_after + self._backoff.next()
        if not self._network:
            self._held = True
            self._hold()
            return
        self._reopen.set(delay)
        self._waiting(delay, str(end))

    def _waiting(self, delay: float, cause: str) -> None:
        if self.live is None and self._opening is None:
            self.listeners.state(StateChange(State.WAITING, self._choice.current, delay, cause))

    def _lived(self, s: Stream) -> float:
        return 0.0 if s.live_since is None else self.now() - s.live_since
