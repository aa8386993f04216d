"""What a device tells its app: C 2, C 13."""

from __future__ import annotations

import enum
import logging
from dataclasses import dataclass
from typing import Any, Callable, Optional

from .message import Hello

log = logging.getLogger("ramen_client")


class State(str, enum.Enum):
    """Where a device is. One that is online and opens its next stream beside is online."""

    STOPPED = "stopped"
    CONNECTING = "connecting"
    ONLINE = "online"
    WAITING = "waiting"
    OFFLINE = "offline"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True)
class StateChange:
    state: State
    transport: str = ""
    """Of the stream; empty while stopped or offline."""
    delay: float = 0.0
    """Waiting: until the next opening, in s."""
    cause: str = ""
    """Why, in words; empty where nothing went wrong."""


@dataclass
class Stats:
    """Counters since the device was made. C 13.2"""

    attempts: int = 0
    streams: int = 0
    resumed: int = 0
    expired: int = 0
    pushes: int = 0
    redelivered: int = 0
    duplicates: int = 0
    handled: int = 0
    handler_errors: int = 0
    acks: int = 0
    heartbeats: int = 0
    goaways: int = 0
    silences: int = 0
    gaps: int = 0
    fallbacks: int = 0


@dataclass
class Listeners:
    """The app's listeners, and the calls of them. One that throws changes nothing. C 2.7"""

    on_state: Optional[Callable[[StateChange], Any]] = None
    on_hello: Optional[Callable[[Hello], Any]] = None
    on_reload: Optional[Callable[[int], Any]] = None
    on_token: Optional[Callable[[], Any]] = None
    on_error: Optional[Callable[[str, BaseException], Any]] = None
    on_closed: Optional[Callable[[str], Any]] = None
    current: StateChange = StateChange(State.STOPPED)

    def state(self, change: StateChange) -> None:
        """Tells a change, unless it names the state and cause of the last one. C 2.6"""
        last, self.current = self.current, change
        if (last.state, last.cause) != (change.state, change.cause):
            self._tell(self.on_state, change)

    def hello(self, hello: Hello) -> None:
        self._tell(self.on_hello, hello)

    def reload(self, expired: int) -> None:
        self._tell(self.on_reload, expired)

    def token(self) -> None:
        self._tell(self.on_token)

    def error(self, of: str, error: BaseException) -> None:
        log.debug("%s failed: %s", of, type(error).__name__)
        self._tell(self.on_error, of, error)

    def closed(self, reason: str) -> None:
        self._tell(self.on_closed, reason)

    def _tell(self, listener: Optional[Callable[..., Any]], *args: Any) -> None:
        if listener is None:
            return
        try:
            listener(*args)
        except Exception as e:
            if listener is self.on_error:
                log.exception("the listener of errors failed")
            else:
                self.error("listener", e)
