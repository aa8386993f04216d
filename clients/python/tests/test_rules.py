"""What has no I/O: pauses, the choice of a transport, the table of ends, ids, tokens, settings."""

from __future__ import annotations

import base64
import json
import random
from pathlib import Path
from typing import Any, Dict

import pytest

from ramen_client import Context, Device, FileCursor, Message, SettingError
from ramen_client.backoff import Backoff, draw
from ramen_client.choice import Choice
from ramen_client.ends import (
    By,
    End,
    Next,
    counts_for_transport,
    follows,
    of_close_code,
    of_grpc_status,
    of_http_error,
    read_retry_after,
    said,
)
from ramen_client.seen import SEEN, Seen
from ramen_client.settings import own_labels
from ramen_client.tokens import expiry, lead
from ramen_client.watchdog import patience, silence_of


def test_bound_doubles_to_30_s() -> None:
    """C 7.1"""
    backoff = Backoff(lambda bound: bound)
    assert [backoff.next() for _ in range(8)] == [1, 2, 4, 8, 16, 30, 30, 30]
    backoff.reset()
    assert backoff.next() == 1


def test_pauses_are_drawn_evenly_and_anew() -> None:
    """C 7.1"""
    random.seed(1)
    drawn = [draw(1.0) for _ in range(2000)]
    assert all(0 <= d <= 1 for d in drawn)
    assert len(set(drawn)) > 1990
    tenths = [sum(1 for d in drawn if i <= d * 10 < i + 1) for i in range(10)]
    assert min(tenths) > 140


def test_two_failures_make_the_next_turn_and_after_the_last_the_first() -> None:
    """C 11.2"""
    choice = Choice(["ws", "sse", "poll"], 2, 300)
    turns = []
    for _ in range(6):
        choice.failed(0)
        turns.append(choice.current)
    assert turns == ["ws", "sse", "sse", "poll", "poll", "ws"]


def test_trial_that_fails_doubles_the_time_to_1_h() -> None:
    """C 11.3"""
    choice = Choice(["ws", "sse"], 1, 300)
    assert choice.next_trial(0) is None
    choice.failed(0)
    pauses = []
    for _ in range(6):
        pauses.append(choice.next_trial(0))
        choice.tried(False, 0)
    assert pauses == [300, 600, 1200, 2400, 3600, 3600]
    choice.tried(True, 0)
    assert choice.current == "ws"


def test_success_forgets_failures() -> None:
    choice = Choice(["ws", "sse"], 2, 300)
    choice.failed(0)
    choice.succeeded()
    choice.failed(0)
    assert choice.current == "ws"


FINAL, PAUSE, TOKEN = Next.FINAL, Next.PAUSE, Next.TOKEN


@pytest.mark.parametrize(
    ("end", "opening", "live", "counts"),
    [
        (said("superseded"), FINAL, FINAL, False),
        (of_close_code(4409, ""), FINAL, FINAL, False),
        (of_grpc_status("ABORTED", "superseded: x"), FINAL, FINAL, False),
        (said("disconnected"), FINAL, FINAL, False),
        (of_close_code(4404, ""), FINAL, FINAL, False),
        (said("unauthenticated"), TOKEN, TOKEN, False),
        (of_close_code(4401, ""), TOKEN, TOKEN, False),
        (of_grpc_status("UNAUTHENTICATED", ""), TOKEN, TOKEN, False),
        (of_http_error(401, "", "", 0), TOKEN, TOKEN, False),
        (of_close_code(4403, ""), TOKEN, TOKEN, False),
        (of_grpc_status("PERMISSION_DENIED", ""), TOKEN, TOKEN, False),
        (of_http_error(403, "permission_denied", "", 0), TOKEN, TOKEN, False),
        (of_http_error(403, "", "", 0), PAUSE, PAUSE, True),
        (of_grpc_status("PERMISSION_DENIED", "Received http2 header with status: 403"), PAUSE, PAUSE, True),
        (of_close_code(4400, ""), FINAL, PAUSE, False),
        (of_grpc_status("INVALID_ARGUMENT", ""), FINAL, PAUSE, False),
        (of_http_error(400, "invalid_argument", "", 0), FINAL, PAUSE, False),
        (of_http_error(400, "", "", 0), PAUSE, PAUSE, True),
        (of_close_code(4529, ""), PAUSE, PAUSE, False),
        (of_http_error(503, "unavailable", "", 3), PAUSE, PAUSE, False),
        (of_http_error(503, "", "", 3), PAUSE, PAUSE, True),
        (of_http_error(429, "resource_exhausted", "", 3), PAUSE, PAUSE, False),
        (of_http_error(502, "", "", 0), PAUSE, PAUSE, True),
        (of_close_code(4508, ""), PAUSE, PAUSE, False),
        (of_close_code(4513, ""), PAUSE, PAUSE, False),
        (of_http_error(500, "internal", "", 0), PAUSE, PAUSE, False),
        (of_http_error(404, "not_found", "", 0), PAUSE, PAUSE, True),
        (of_http_error(405, "invalid_argument", "", 0), PAUSE, PAUSE, True),
        (of_close_code(1001, ""), PAUSE, PAUSE, True),
        (of_close_code(1011, ""), PAUSE, PAUSE, True),
        (of_close_code(None, ""), PAUSE, PAUSE, True),
        (of_close_code(4499, ""), FINAL, FINAL, False),
        (of_close_code(4599, ""), PAUSE, PAUSE, False),
        (said("a reason of tomorrow"), PAUSE, PAUSE, True),
        (of_grpc_status("UNAVAILABLE", ""), PAUSE, PAUSE, True),
        (of_grpc_status("CANCELLED", ""), PAUSE, PAUSE, True),
        (End(By.SILENCE), PAUSE, PAUSE, True),
        (End(By.DEVICE), PAUSE, PAUSE, False),
        (End(By.TOKEN), PAUSE, PAUSE, False),
    ],
)
def test_table_of_ends(end: End, opening: Next, live: Next, counts: bool) -> None:
    """C 6.1, 6.4, SPEC 6.3.15"""
    assert (follows(end, True, True), follows(end, False, True)) == (opening, live)
    assert counts_for_transport(end) == counts
    if opening is TOKEN:
        assert follows(end, True, False) is FINAL


def test_retry_after_is_60_s_at_most() -> None:
    """C 7.3"""
    assert [read_retry_after(t) for t in ("3", " 7 ", "600", "", None, "-1", "Wed, 21 Oct 2015 07:28:00 GMT", "1e9", "²")] == [
        3, 7, 60, 0, 0, 0, 0, 0, 0,
    ]  # fmt: skip


def test_ids_of_the_last_2048_are_remembered() -> None:
    """C 5.2"""
    seen = Seen()
    for i in range(SEEN + 1):
        seen.add(f"m{i}")
        seen.add(f"m{i}")
    assert "m0" not in seen
    assert all(f"m{i}" in seen for i in range(1, SEEN + 1))


def jwt(claims: Dict[str, Any]) -> str:
    body = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    return f"e30.{body}.sig"


def test_expiry_is_read_where_there_is_one() -> None:
    assert expiry(jwt({"exp": 1763762400})) == 1763762400
    for token in ("", "a.b", "a.b.c", jwt({}), jwt({"exp": "soon"}), jwt({"exp": -1}), "a." + "A" * 5 + ".c"):
        assert expiry(token) is None


def test_lead_is_a_tenth_within_1_s_and_60_s() -> None:
    """C 9.2"""
    assert [lead(s) for s in (5, 100, 3600)] == [1, 10, 60]


def test_silence_is_hellos_or_7_4_of_the_interval() -> None:
    """C 4.4, 4.5"""
    assert (silence_of(7000, 0), silence_of(0, 10_000), silence_of(0, 0), silence_of(10**9, 0)) == (7, 17.5, 7, 105)
    assert [patience(7, n) for n in range(4)] == [7, 14, 28, 28]
    assert patience(105, 3) == 105


GOOD: Dict[str, Any] = {"url": "http://127.0.0.1:8080", "user": "u", "device": "d"}


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("url", {"url": ""}),
        ("url", {"url": "push.example.com"}),
        ("url", {"url": "http://x/?token=1"}),
        ("grpc", {"grpc": "push.example.com"}),
        ("user", {"user": ""}),
        ("user", {"user": "a b"}),
        ("user", {"user": "x" * 129}),
        ("device", {"device": ""}),
        ("device", {"device": "a\u200d"}),
        ("transports", {"transports": ["ws", "carrier pigeon"]}),
        ("transports", {"transports": ["grpc"]}),
        ("transports", {"transports": "ws"}),
        ("window", {"window": -1}),
        ("heartbeat", {"heartbeat": 0.5}),
        ("poll_wait", {"poll_wait": 61}),
        ("connect_timeout", {"connect_timeout": 0}),
        ("fallback_after", {"fallback_after": 0}),
        ("context", {"context": Context(app="x" * 1025)}),
        ("context", {"context": Context(labels={str(i): "" for i in range(17)})}),
    ],
)
def test_wrong_setting_is_named(name: str, settings: Dict[str, Any]) -> None:
    """C 13.3"""
    with pytest.raises(SettingError) as caught:
        Device(**{**GOOD, **settings})
    assert caught.value.name == name
    assert name in str(caught.value)


def test_client_says_who_it_is_unless_the_app_does() -> None:
    """C 13.4"""
    assert own_labels(Context()).labels["client"] == "python"
    assert own_labels(Context(labels={"client": "mine"})).labels["client"] == "mine"
    full = Context(labels={str(i): "" for i in range(16)})
    assert own_labels(full) == full


def test_default_transports() -> None:
    """C 11.1"""
    assert Device(**GOOD)._settings.transports == ["ws", "sse", "poll"]
    assert Device(**GOOD, grpc="127.0.0.1:8081")._settings.transports == ["grpc", "ws", "sse", "poll"]


def test_file_cursor(tmp_path: Path) -> None:
    store = FileCursor(tmp_path / "cursor")
    assert store.load() is None
    store.save("k1.2.3")
    assert store.load() == "k1.2.3"
    assert [p.name for p in tmp_path.iterdir()] == ["cursor"]
    (tmp_path / "cursor").write_text("Dear diary")
    with pytest.raises(ValueError, match="no cursor"):
        store.load()


def test_message_reads_its_payload() -> None:
    assert Message("m", payload=b'{"a":[1]}').json() == {"a": [1]}
    assert Message("m").json() is None
    assert Message("m", payload="é".encode()).text == "é"
