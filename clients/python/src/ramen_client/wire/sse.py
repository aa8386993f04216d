"""A parser of Server-Sent Events, by the rules of the HTML standard (9.2.6), for bytes as they come."""

from __future__ import annotations

from typing import List, NamedTuple

from .frames import MAX_FRAME, FrameError


class Event(NamedTuple):
    name: str
    """Empty: the default type, message."""
    id: str
    """The last id of the stream, this event's or an earlier one's."""
    data: str
    retry_ms: int
    """The last retry: of the stream; 0: none came yet."""


class EventParser:
    """Feed it what was read; it answers the events that are complete. After an error it is not to be used again."""

    def __init__(self, limit: int = MAX_FRAME) -> None:
        self._limit = limit
        self._line = bytearray()  # the begin of a line whose end has not come
        self._data: List[bytes] = []
        self._size = 0  # of _data
        self._name = ""
        self._id = ""
        self._retry_ms = 0
        self._begun = False  # the byte order mark, if any, is behind
        self._after_cr = False  # an LF that comes next ends no further line

    def feed(self, chunk: bytes) -> List[Event]:
        if self._after_cr and chunk:
            self._after_cr = False
            if chunk[:1] == b"\n":
                chunk = chunk[1:]
        if not chunk:
            return []
        self._after_cr = chunk.endswith(b"\r")
        lines = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        rest = lines.pop()
        events: List[Event] = []
        for line in lines:
            self._room(len(line))
            if self._line:
                line = bytes(self._line + line)
                self._line.clear()
            self._end_line(line, events)
        self._room(len(rest))
        self._line += rest
        return events

    def _room(self, n: int) -> None:
        if len(self._line) + self._size + n > self._limit:
            raise FrameError(f"an event is over {self._limit} bytes")

    def _end_line(self, line: bytes, events: List[Event]) -> None:
        if not self._begun:
            self._begun = True
            if line.startswith(b"\xef\xbb\xbf"):
                line = line[3:]
        if line:
            self._field(line)
            return
        name, self._name = self._name, ""
        if self._data:
            data = b"\n".join(self._data).decode("utf-8", "replace")
            events.append(Event(name, self._id, data, self._retry_ms))
            self._data.clear()
            self._size = 0

    def _field(self, line: bytes) -> None:
        name, _, value = line.partition(b":")
        if value.startswith(b" "):
            value = value[1:]
        if name == b"data":
            self._data.append(value)
            self._size += len(value) + 1
        elif name == b"event":
            self._name = value.decode("utf-8", "replace")
        elif name == b"id":
            if b"\0" not in value:
                self._id = value.decode("utf-8", "replace")
        elif name == b"retry" and value.isdigit() and int(value[:12]) < 1 << 31:
            self._retry_ms = int(value[:12])
