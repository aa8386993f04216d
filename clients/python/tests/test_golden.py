"""The golden vectors of protocol/testdata, which every client reads."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Dict, List

import pytest

from ramen_client.message import Context, Message, Priority
from ramen_client.publish import protobackend
from ramen_client.wire import jsonframes, protoframes
from ramen_client.wire.frames import FrameError, GoAwayFrame, HeartbeatFrame, HelloFrame, Opening, PushFrame, ServerFrame
from ramen_client.wire.protobuf import decode
from ramen_client.wire.sse import Event, EventParser

PROTOCOL = Path(__file__).parents[3] / "protocol"


def load(name: str) -> List[Dict[str, Any]]:
    vectors: List[Dict[str, Any]] = json.loads((PROTOCOL / "testdata" / name).read_text("utf-8"))
    return vectors


FRAMES = load("frames.json")
SERVER = [v for v in FRAMES if v.keys() & {"hello", "push", "goaway", "heartbeat_time_ms"} and "device" not in v]
DEVICE = [v for v in FRAMES if "device" in v]


def names(vectors: List[Dict[str, Any]]) -> List[str]:
    return [v["name"] for v in vectors]


def message(v: Dict[str, Any]) -> Message:
    keys = ("id", "type", "created_ms", "expires_ms", "collapse_key", "headers", "redelivered", "seq", "content_type")
    payload = bytes.fromhex(v["payload_hex"])
    return Message(**{k: v[k] for k in keys}, priority=Priority(v["priority"]), payload=payload)


def expected(v: Dict[str, Any]) -> ServerFrame:
    if "hello" in v:
        return HelloFrame(**v["hello"])
    if "push" in v:
        return PushFrame(message(v["push"]), v["push"]["cursor"])
    if "goaway" in v:
        return GoAwayFrame(**v["goaway"])
    return HeartbeatFrame(v["heartbeat_time_ms"])


@pytest.mark.parametrize("v", SERVER, ids=names(SERVER))
def test_server_frame_in_protobuf(v: Dict[str, Any]) -> None:
    assert protoframes.decode_frame(bytes.fromhex(v["proto_hex"])) == expected(v)


@pytest.mark.parametrize("v", SERVER, ids=names(SERVER))
def test_server_frame_in_json(v: Dict[str, Any]) -> None:
    want = expected(v)
    if isinstance(want, HeartbeatFrame):
        want = HeartbeatFrame()  # time_ms is not sent on text frames
    assert jsonframes.decode_text_frame(v["json"]) == want


@pytest.mark.parametrize("v", SERVER, ids=names(SERVER))
def test_server_frame_over_sse(v: Dict[str, Any]) -> None:
    events = EventParser().feed(v["sse"].encode())
    want = expected(v)
    if isinstance(want, HeartbeatFrame):
        assert events == []  # bytes, but no event
        return
    assert [jsonframes.decode_event(e.name, e.id, e.data) for e in events] == [want]
    assert events[0].retry_ms == v.get("retry_ms", 0)


@pytest.mark.parametrize("v", [v for v in FRAMES if "poll" in v], ids=lambda v: v["name"])
def test_poll(v: Dict[str, Any]) -> None:
    answer, want = jsonframes.decode_poll(v["json"]), v["poll"]
    assert (answer.resumed, answer.stream, answer.expired, answer.cursor) == tuple(
        want[k] for k in ("resumed", "stream", "expired", "cursor")
    )
    assert answer.messages == [message(m) for m in want["messages"]]
    assert answer.goaway == (GoAwayFrame(**want["goaway"]) if want["goaway"] else None)


@pytest.mark.parametrize("v", [v for v in FRAMES if "error" in v], ids=lambda v: v["name"])
def test_error(v: Dict[str, Any]) -> None:
    assert jsonframes.decode_error(v["json"].encode()) == (v["error"]["code"], v["error"]["message"])


def context(v: Dict[str, Any]) -> Context:
    return Context(**v)


@pytest.mark.parametrize("v", DEVICE, ids=names(DEVICE))
def test_device_frame(v: Dict[str, Any]) -> None:
    d = dict(v["device"])
    kind = d.pop("kind")
    proto, text = bytes.fromhex(v["proto_hex"]), v.get("json")
    if kind == "ack":
        seq, cursor = d.get("seq", 0), d.get("cursor", "")
        assert (protoframes.encode_ack(seq, cursor), jsonframes.encode_ack(seq, cursor)) == (proto, text)
    elif kind == "heartbeat":
        assert protoframes.encode_heartbeat(d.get("time_ms", 0)) == proto
    elif kind == "refresh":
        c = context(d["context"]) if "context" in d else None
        token = d.get("token", "")
        assert (protoframes.encode_refresh(token, c), jsonframes.encode_refresh(token, c)) == (proto, text)
    elif "stream" not in d["open"]:  # this client has no use for a cursor's first form
        o = d["open"]
        if "context" in o:
            o["context"] = context(o["context"])
        assert protoframes.encode_open(Opening(**o)) == proto


SSE = load("sse.json")


@pytest.mark.parametrize("v", SSE, ids=names(SSE))
def test_event_stream_however_it_is_cut(v: Dict[str, Any]) -> None:
    raw = v["stream"].encode()
    want = [Event(e["event"], e["id"], e["data"], e["retry_ms"]) for e in v["events"]]
    for at in range(len(raw) + 1):
        parser = EventParser()
        assert parser.feed(raw[:at]) + parser.feed(raw[at:]) == want, f"cut at {at}"
    parser = EventParser()
    assert [e for i in range(len(raw)) for e in parser.feed(raw[i : i + 1])] == want


def test_event_over_the_limit_ends_the_stream() -> None:
    parser = EventParser(limit=100)
    assert len(parser.feed(b"data: " + b"x" * 80 + b"\n\n")) == 1
    with pytest.raises(FrameError):
        parser.feed(b"data: " + b"x" * 60 + b"\ndata: " + b"x" * 60)


BAD = [v for v in load("device.json") if v["answer"] == "contract" and "proto_hex" in v]


@pytest.mark.parametrize("v", BAD, ids=names(BAD))
def test_what_is_no_protobuf(v: Dict[str, Any]) -> None:
    with pytest.raises(FrameError):
        decode(protoframes.DEVICE_FRAME, bytes.fromhex(v["proto_hex"]))


def test_payload_nested_10000_deep() -> None:
    payload = "[" * 10_000 + "]" * 10_000
    frame = jsonframes.decode_text_frame('{"push":{"seq":1,"id":"m","payload":' + payload + ',"cursor":"k1"}}')
    assert isinstance(frame, PushFrame)
    assert frame.message.payload == payload.encode()


@pytest.mark.parametrize(
    "text",
    ["{", "[]", "7", "null", '{"push":{}}', '{"push":[]}', '{"push":{"id":"m","payload":{"a":1]}}', '{"hello":{"seq":-1}}',
     '{"hello":{"resumed":1}}', '{"push":{"id":7}}', '{"hello":{}}x', '{"push":{"id":"m","payload_b64":"?"}}', '{"goaway":7}'],
)  # fmt: skip
def test_what_is_no_frame(text: str) -> None:
    with pytest.raises(FrameError):
        jsonframes.decode_text_frame(text)


@pytest.mark.parametrize("text", ["{}", '{"later":{"x":[1]}}', ' {"v":2} '])
def test_unknown_frames_are_ignored(text: str) -> None:
    assert jsonframes.decode_text_frame(text) is None


TABLES = {
    "Open": protoframes.OPEN, "DeviceContext": protoframes.CONTEXT, "Ack": protoframes.ACK, "Heartbeat": protoframes.HEARTBEAT,
    "Refresh": protoframes.REFRESH, "Hello": protoframes.HELLO, "Push": protoframes.PUSH, "GoAway": protoframes.GOAWAY,
    "Message": protoframes.MESSAGE, "ServerFrame": protoframes.SERVER_FRAME, "DeviceFrame": protoframes.DEVICE_FRAME,
    **protobackend.TABLES,
}  # fmt: skip
KINDS = {"string": "text", "bytes": "bytes", "bool": "bool", "map<string, string>": "map"}
KINDS.update(dict.fromkeys(("uint64", "uint32", "int64", "Priority", "Status"), "uint"))


def test_tables_are_those_of_the_proto_file() -> None:
    text = re.sub(r"//.*", "", (PROTOCOL / "ramenpb" / "ramen.proto").read_text("utf-8"))
    text = re.sub(r"enum \w+ \{[^}]*\}", "", text)
    text = re.sub(r"oneof \w+ \{([^}]*)\}", r"\1", text)
    found = {}
    for name, body in re.findall(r"message (\w+) \{([^}]*)\}", text):
        fields = re.findall(r"(repeated )?(map<string, string>|\w+) (\w+) = (\d+);", body)
        found[name] = {f: (int(n), KINDS.get(kind, "message"), bool(rep)) for rep, kind, f, n in fields}
    have = {name: {f: (x.number, x.kind, x.repeated) for f, x in table.items()} for name, table in TABLES.items()}
    assert have == found
