"""Where the values of a JSON text begin and end.

A payload has to be handed on byte by byte (testdata/README.md), nested 10,000 deep if need be (SPEC 10.4.6). So frames are
cut into members here, without recursion, and only members other than payloads are parsed.
"""

from __future__ import annotations

import re
from typing import Iterator, List, Tuple

from .frames import FrameError

_SPACE = re.compile(r"[ \t\n\r]*")
_STRING = re.compile(r'"(?:[^"\\\x00-\x1f]+|\\.)*"')
_SCALAR = re.compile(r"[^\s,\]}\[{\":]+")
_DEEP = re.compile(r'[^"\[\]{}]+|"(?:[^"\\]+|\\.)*"|[\[{]|[\]}]')

Span = Tuple[int, int]


def space(text: str, at: int) -> int:
    """The place of the first character from at on that is no white space."""
    found = _SPACE.match(text, at)
    return found.end() if found else at


def value_end(text: str, at: int) -> int:
    """Where the value that begins at `at` ends."""
    head = text[at : at + 1]
    if head == '"':
        found = _STRING.match(text, at)
    elif head in ("{", "["):
        return _container_end(text, at)
    else:
        found = _SCALAR.match(text, at)
    if not found:
        raise FrameError(f"no JSON value at {at}")
    return found.end()


def _container_end(text: str, at: int) -> int:
    open_ones: List[str] = []
    while True:
        found = _DEEP.match(text, at)
        if not found:
            raise FrameError(f"JSON is cut off at {at}")
        head, at = text[at], found.end()
        if head in "{[":
            open_ones.append("}" if head == "{" else "]")
        elif head in "}]":
            if open_ones.pop() != head:
                raise FrameError(f"JSON has a {head} too many at {at}")
            if not open_ones:
                return at


def members(text: str, at: int = 0) -> Iterator[Tuple[str, Span]]:
    """The members of the object that begins at `at`: the name as it is written, and where its value is."""
    at = _begin(text, at, "{")
    if text[at : at + 1] == "}":
        return
    while True:
        end = value_end(text, at)
        if text[at] != '"':
            raise FrameError(f"JSON object without a name at {at}")
        name = text[at + 1 : end - 1]
        at = space(text, end)
        if text[at : at + 1] != ":":
            raise FrameError(f"JSON object without a colon at {at}")
        at = space(text, at + 1)
        end = value_end(text, at)
        yield name, (at, end)
        at = space(text, end)
        if text[at : at + 1] != ",":
            break
        at = space(text, at + 1)
    if text[at : at + 1] != "}":
        raise FrameError(f"JSON object without an end at {at}")


def elements(text: str, at: int = 0) -> Iterator[Span]:
    """Where the values of the array that begins at `at` are."""
    at = _begin(text, at, "[")
    if text[at : at + 1] == "]":
        return
    while True:
        end = value_end(text, at)
        yield at, end
        at = space(text, end)
        if text[at : at + 1] != ",":
            break
        at = space(text, at + 1)
    if text[at : at + 1] != "]":
        raise FrameError(f"JSON array without an end at {at}")


def _begin(text: str, at: int, bracket: str) -> int:
    at = space(text, at)
    if text[at : at + 1] != bracket:
        raise FrameError(f"no {bracket} at {at}")
    return space(text, at + 1)
