"""What an app may catch. All of them are RamenError."""

from __future__ import annotations

from typing import Any, Dict, Sequence, Type


class RamenError(Exception):
    """The base of this package's errors."""


class SettingError(RamenError, ValueError):
    """A setting is wrong; the text names it, what was given and what would be right. C 13.3"""

    def __init__(self, name: str, given: object, right: str) -> None:
        super().__init__(f"{name} is {given!r}: {right}")
        self.name = name


class Ended(RamenError):
    """The server ended the device for good. Starting it again is the app's decision. C 6.2"""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail


class Superseded(Ended):
    """A newer stream of this device was opened elsewhere."""


class Disconnected(Ended):
    """A backend disconnected the device."""


class Unauthenticated(Ended):
    """The server does not take the credentials, and there is no callback to ask for others."""


class PermissionDenied(Ended):
    """The credentials are for another user or device, and there is no callback to ask for others."""


class InvalidArgument(Ended):
    """The server does not take the device's parameters."""


_ENDS: Dict[str, Type[Ended]] = {
    "superseded": Superseded,
    "disconnected": Disconnected,
    "unauthenticated": Unauthenticated,
    "permission_denied": PermissionDenied,
    "invalid_argument": InvalidArgument,
}


def ended(reason: str, detail: str) -> Ended:
    """The error of a final end."""
    return _ENDS.get(reason, Ended)(reason, detail)


class PublishError(RamenError):
    """The server refused a publish or another call. code is one of SPEC 4.4, `unavailable`, say."""

    def __init__(self, code: str, message: str, retry_after: float = 0.0) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.retry_after = retry_after
        """When to try again at the earliest, in s; 0: the server did not say."""


class UnknownOutcome(RamenError, TimeoutError):
    """Time ran out: the messages of these ids may or may not be stored. Publish them again under the same ids. C 14.6"""

    def __init__(self, ids: Sequence[str], cause: str, results: Sequence[Any] = ()) -> None:
        super().__init__(f"no answer in time for {len(ids)} message(s), among them {ids[0] if ids else '-'}: {cause}")
        self.ids = list(ids)
        self.results = list(results)
        """The Results of all messages of the call, those of ids among them."""


class Closed(RamenError):
    """The publisher or device was closed."""
