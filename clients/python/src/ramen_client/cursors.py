"""Where a device keeps its place across restarts: C 8."""

from __future__ import annotations

import os
import tempfile
from typing import Any, Awaitable, Optional, Protocol, Union

from .wire.frames import valid_cursor


class CursorStore(Protocol):
    """Keeps one device's place: the cursor of the last push that it has processed, or of a hello before one.

    One that was lost, or is older than the last, costs duplicates and never a message: keep it as cheaply as you like. A plain
    method is called in a thread, a coroutine is awaited.
    """

    def load(self) -> Union[Optional[str], Awaitable[Optional[str]]]:
        """The cursor that was saved last; None or empty: there is none."""

    def save(self, cursor: str) -> Union[None, Awaitable[Any]]:
        """Called when nothing is left to process, and at the latest every 64 messages and every 5 s."""


class MemoryCursor:
    """A CursorStore that lives as long as the process: for a Device that is made anew, and for tests."""

    def __init__(self, cursor: str = "") -> None:
        self.cursor = cursor

    async def load(self) -> Optional[str]:
        return self.cursor

    async def save(self, cursor: str) -> None:
        self.cursor = cursor


class FileCursor:
    """A CursorStore in a file of its own. The file is replaced whole; it is not synced, see CursorStore."""

    def __init__(self, path: Union[str, "os.PathLike[str]"]) -> None:
        self.path = os.fspath(path)

    def load(self) -> Optional[str]:
        """Raises ValueError where the file holds something else than a cursor, since it is somebody else's."""
        try:
            with open(self.path, "rb") as f:
                raw = f.read(1025)
        except FileNotFoundError:
            return None
        text = raw.decode("ascii", "replace").strip(" \t\r\n\0")  # a power cut may leave zeros
        if len(raw) > 1024 or (text and not valid_cursor(text)):
            raise ValueError(f"{self.path} holds no cursor: remove it, or name another file")
        return text or None

    def save(self, cursor: str) -> None:
        folder, name = os.path.split(os.path.abspath(self.path))
        handle, temporary = tempfile.mkstemp(prefix=name + ".", dir=folder)
        try:
            with os.fdopen(handle, "w", encoding="ascii") as f:
                f.write(cursor + "\n")
            os.replace(temporary, self.path)
        except BaseException:
            os.unlink(temporary)
            raise
