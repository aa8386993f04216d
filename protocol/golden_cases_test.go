package protocol

import "strings"

// The inputs of testdata/frames.json. What stands here is written there as plain values, beside what the encoders make
// of it.

const goldenCursor = "k3.1.1.0.0.x9"

func goldenPush(seq Seq, m Message) *Push {
	if m.Priority == PriorityUnspecified {
		m.Priority = PriorityMedium
	}
	if m.ContentType == "" {
		m.ContentType = ContentTypeJSON
	}
	if m.ID == "" {
		m.ID = "0198f3c2-7a10-7cc3-9a51-0c2f5a3b9d10"
	}
	m.CreatedMS, m.ExpiresMS = 1763762400000, 1763762430000
	return &Push{Seq: seq, Cursor: goldenCursor, Message: &m}
}

func redelivered(p *Push) *Push { p.Redelivered = true; return p }

func goldenHellos() map[string]*Hello {
	return map[string]*Hello{
		"first":   {Stream: "s7Qk2", HeartbeatMS: 4000, TimeoutMS: 7000, AckMS: 30000, TimeMS: 1763762400000, Cursor: "k3.0.0.0.0.p1"},
		"resumed": {Resumed: true, Stream: "a.b_c-d", Seq: 41, HeartbeatMS: 4000, TimeoutMS: 7000, AckMS: 100, TimeMS: 1763762400123, Expired: 3, Cursor: "k3.41.7.3.4.x2"},
		// A server of before, which has no cursor in hello.
		"without-cursor": {Resumed: true, Stream: "s7Qk2", Seq: 41, HeartbeatMS: 4000, TimeoutMS: 7000, AckMS: 100, TimeMS: 1763762400123},
		"largest":        {Resumed: true, Stream: "abcdefghijklmnopqrstuvwxyz012345", Seq: MaxSeq, HeartbeatMS: 60000, TimeoutMS: 105000, AckMS: 100, TimeMS: 253402300799999, Expired: 1<<32 - 1, Cursor: strings.Repeat("k", MaxCursor)},
	}
}

func goldenPushes() map[string]*Push {
	json := func(s string) []byte { return []byte(s) }
	all := map[string]*Push{
		"json":            goldenPush(1, Message{Type: "trip.offer", Priority: PriorityHigh, Payload: json(`{"fare":12}`)}),
		"json-empty":      goldenPush(2, Message{Type: "ping", Priority: PriorityLow}),
		"json-no-type":    goldenPush(3, Message{Payload: json(`null`)}),
		"json-scalar":     goldenPush(4, Message{Type: "n", Payload: json(`"text"`)}),
		"json-numbers":    goldenPush(5, Message{Type: "n", Payload: json(`[1e3,1.0,-0,12345678901234567890,0.10]`)}),
		"json-escapes":    goldenPush(6, Message{Type: "n", Payload: json(`{"a":"\u0041\/\n\"","\u00e9":"é","":"😀"}`)}),
		"json-lax":        goldenPush(17, Message{Type: "n", Payload: json(`{"a":"\ud800","a":1}`)}),
		"unicode":         goldenPush(7, Message{ID: "поїздка-1", Type: "Ω", Payload: json(`"日本語 and 😀"`)}),
		"escaped-names":   goldenPush(8, Message{ID: `a"b\c`, Type: "<&>'/", CollapseKey: "�", Payload: json(`{}`)}),
		"collapse":        goldenPush(9, Message{Type: "eta", CollapseKey: "trip-17", Payload: json(`{"eta":4}`)}),
		"headers":         goldenPush(10, Message{Type: "t", Headers: map[string]string{"trace": "00-4bf9", "b": "", "a": "1", "é\n": "tab\tquote\"\u0001\u2028"}, Payload: json(`[]`)}),
		"redelivered":     redelivered(goldenPush(11, Message{Type: "t", Payload: json(`true`)})),
		"base64":          goldenPush(12, Message{Type: "t", ContentType: "application/octet-stream", Payload: []byte{0, 1, 2, 0xfe, 0xff}}),
		"base64-empty":    goldenPush(13, Message{Type: "t", ContentType: "application/octet-stream"}),
		"base64-of-text":  goldenPush(14, Message{Type: "t", ContentType: "text/plain; charset=utf-8", Payload: []byte("two\nlines")}),
		"base64-of-json":  goldenPush(15, Message{Type: "t", ContentType: "application/json; charset=utf-8", Payload: json(`{"a": 1}`)}),
		"seq-of-three":    goldenPush(300, Message{Type: "t", Payload: json(`0`)}),
		"largest-numbers": goldenPush(MaxSeq, Message{Type: "t", Payload: json(`0`)}),
		"all": redelivered(goldenPush(16, Message{ID: "m-16", Type: "all", Priority: PriorityHigh, ContentType: "image/png", CollapseKey: "k",
			Headers: map[string]string{"h": "v"}, Payload: []byte("\x89PNG")})),
	}
	all["largest-numbers"].Message.ExpiresMS = 253402300799999
	return all
}

func goldenGoAways() map[string]*GoAway {
	all := map[string]*GoAway{
		"drain-all":   {Reason: ReasonDrain, ReconnectMS: 5000, Detail: "the server restarts"},
		"escapes":     {Reason: ReasonInvalidArgument, Detail: "seq \"9\" is beyond 8\n\\ é 😀"},
		"age-of-30-m": {Reason: ReasonRebalance, ReconnectMS: 60000},
	}
	for r := ReasonDrain; r <= ReasonInternal; r++ {
		all[r.String()] = &GoAway{Reason: r}
	}
	return all
}

func goldenPolls() map[string]*PollAnswer {
	p := goldenPushes()
	bare := func(names ...string) (all []Push) {
		for _, n := range names {
			push := *p[n]
			push.Cursor = ""
			all = append(all, push)
		}
		return all
	}
	return map[string]*PollAnswer{
		"nothing":    {Resumed: true, Stream: "s1", Cursor: "k3.7.3.4.0.x2"},
		"one":        {Stream: "s1", Cursor: goldenCursor, Messages: bare("json")},
		"three":      {Resumed: true, Stream: "s1", Expired: 2, Cursor: goldenCursor, Messages: bare("headers", "base64", "redelivered")},
		"superseded": {Resumed: true, Stream: "s1", Cursor: goldenCursor, GoAway: &GoAway{Reason: ReasonSuperseded, Detail: "a newer stream is open"}},
	}
}

func goldenErrors() map[string]*Error {
	return map[string]*Error{
		"invalid":   Invalidf("cursor %q is no cursor", "a b"),
		"not-found": Errorf(CodeNotFound, "stream is not the device's latest"),
		"unicode":   Errorf(CodeInternal, "é \u2028 \x7f"),
	}
}

func goldenContext() *DeviceContext {
	return &DeviceContext{App: "rider", AppVersion: "5.1.0", OS: "android", OSVersion: "16", Model: "Pixel \"9\"", Locale: "uk-UA",
		Labels: map[string]string{"zone": "Київ", "": "no name", "a": ""}}
}

func goldenDevices() map[string]*DeviceFrame {
	return map[string]*DeviceFrame{
		"ack/seq":             {Kind: FrameAck, Seq: 7},
		"ack/seq-zero":        {Kind: FrameAck},
		"ack/seq-largest":     {Kind: FrameAck, Seq: MaxSeq},
		"ack/cursor":          {Kind: FrameAck, Cursor: goldenCursor},
		"heartbeat/echo":      {Kind: FrameHeartbeat, TimeMS: 1763762400000},
		"heartbeat/zero":      {Kind: FrameHeartbeat},
		"refresh/token":       {Kind: FrameRefresh, Token: "eyJhbGciOiJFUzI1NiJ9.e30.c2ln"},
		"refresh/context":     {Kind: FrameRefresh, Context: goldenContext()},
		"refresh/both":        {Kind: FrameRefresh, Token: "t", Context: &DeviceContext{Locale: "de"}},
		"refresh/nothing-new": {Kind: FrameRefresh, Context: &DeviceContext{}},
		"open/first":          {Kind: FrameOpen, Open: OpenFrame{User: "u1", Device: "d1"}},
		"open/cursor":         {Kind: FrameOpen, Open: OpenFrame{Device: "d1", Cursor: goldenCursor, Token: "t", Window: 16, HeartbeatMS: 10000}},
		"open/seq":            {Kind: FrameOpen, Open: OpenFrame{User: "u1", Device: "d1", HasSeq: true, Seq: 41, Stream: "s7Qk2"}},
		"open/seq-zero":       {Kind: FrameOpen, Open: OpenFrame{User: "u1", Device: "d1", HasSeq: true, Stream: "s7Qk2"}},
		"open/context":        {Kind: FrameOpen, Open: OpenFrame{User: "Оля", Device: "d1", Context: goldenContext()}},
	}
}
