"""RAMEN's client for Python: a Device that gets messages, and Publishers that send them.

What a client does on each event is clients/SPEC.md, whose rules are cited as C 3.4; what goes over the wire is protocol/SPEC.md, cited as
SPEC 2.8.
"""

from __future__ import annotations

from ._version import VERSION
from .cursors import CursorStore, FileCursor, MemoryCursor
from .device import Device
from .errors import (
    Closed,
    Disconnected,
    Ended,
    InvalidArgument,
    PermissionDenied,
    PublishError,
    RamenError,
    SettingError,
    Superseded,
    Unauthenticated,
    UnknownOutcome,
)
from .message import Context, Hello, Message, Priority
from .publish.backend import NoAnswer
from .publish.publication import KnownDevice, Publication, Result, Status
from .publish.publisher import Publisher
from .publish.sync import SyncPublisher
from .state import State, StateChange, Stats

__version__ = VERSION

__all__ = [
    "Closed",
    "Context",
    "CursorStore",
    "Device",
    "Disconnected",
    "Ended",
    "FileCursor",
    "Hello",
    "InvalidArgument",
    "KnownDevice",
    "MemoryCursor",
    "Message",
    "NoAnswer",
    "PermissionDenied",
    "Priority",
    "Publication",
    "PublishError",
    "Publisher",
    "RamenError",
    "Result",
    "SettingError",
    "State",
    "StateChange",
    "Stats",
    "Status",
    "Superseded",
    "SyncPublisher",
    "Unauthenticated",
    "UnknownOutcome",
]
