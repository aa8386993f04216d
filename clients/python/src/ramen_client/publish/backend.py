"""The server, over one of its two ports."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Protocol, Sequence

from ..errors import RamenError
from ..message import Message
from .publication import KnownDevice


class NoAnswer(RamenError):
    """What became of a request is unknown. SPEC 9.1.3"""


class Backend(Protocol):
    """Methods raise PublishError where the server refused, and NoAnswer."""

    def encode(self, values: Mapping[str, Any], users: Sequence[str]) -> bytes:
        """A message, ready to go."""

    async def exchange(self, encoded: Sequence[bytes], timeout: float) -> List[Dict[str, Any]]:
        """Sends messages as one request; all their results, in order, in the shape of SPEC 8.3.3."""

    async def recall(self, user: str, message_id: str, timeout: float) -> bool: ...

    async def disconnect(self, user: str, device: str, detail: str, timeout: float) -> int: ...

    async def devices(self, user: str, timeout: float) -> List[KnownDevice]: ...

    async def messages(self, user: str, timeout: float) -> List[Message]: ...

    async def close(self) -> None: ...
