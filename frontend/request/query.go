package request

import (
	"errors"
	"net/url"
	"strconv"
	"strings"

	"ramen/frontend/stream"
	"ramen/protocol"
)

// The bounds of the parameters of SPEC 4 and 5.
const (
	maxWait     = 60 // s
	defaultWait = 25 // s
)

// query is what a device asks for in a request's query, checked but for who it is.
type query struct {
	token, user, device, cursor, stream string
	seq                                 uint64
	hasSeq, heartbeatEvents             bool
	window                              int // 0: none was asked for
	heartbeatMS                         int32
	waitS                               int
	context                             *protocol.DeviceContext
}

// parameters are the known names, each with what its value does. Unknown ones are ignored.
var parameters = []struct {
	name string
	set  func(q *query, v string) error
}{
	{"token", func(q *query, v string) error { q.token = v; return nil }},
	{"user", func(q *query, v string) error { q.user = v; return nil }},
	{"device", func(q *query, v string) error { q.device = v; return nil }},
	{"cursor", setCursor},
	{"seq", setSeq},
	{"stream", setStream},
	{"window", setWindow},
	{"heartbeat_ms", setHeartbeat},
	{"heartbeat", setHeartbeatEvents},
	{"wait", setWait},
	{"app", func(q *query, v string) error { q.ctx().App = v; return nil }},
	{"app_version", func(q *query, v string) error { q.ctx().AppVersion = v; return nil }},
	{"os", func(q *query, v string) error { q.ctx().OS = v; return nil }},
	{"os_version", func(q *query, v string) error { q.ctx().OSVersion = v; return nil }},
	{"model", func(q *query, v string) error { q.ctx().Model = v; return nil }},
	{"locale", func(q *query, v string) error { q.ctx().Locale = v; return nil }},
}

const labelPrefix = "label."

// parseQuery reads a request's raw query. Its error is a *protocol.Error. The strings in q share raw's memory.
func parseQuery(raw string) (q query, err error) {
	q.waitS = defaultWait
	seen := uint32(0)
	for raw != "" {
		var pair string
		pair, raw, _ = strings.Cut(raw, "&")
		key, value, _ := strings.Cut(pair, "=")
		if key, err = unescape(key); err != nil {
			return q, err
		}
		if label, is := strings.CutPrefix(key, labelPrefix); is {
			if err = q.label(label, value); err != nil {
				return q, err
			}
			continue
		}
		for i := range parameters {
			if parameters[i].name != key {
				continue
			}
			if seen&(1<<i) != 0 {
				return q, protocol.Invalidf("parameter %s is given more than once: give it once", key)
			}
			seen |= 1 << i
			if value, err = unescape(value); err != nil {
				return q, err
			}
			if err = parameters[i].set(&q, value); err != nil {
				return q, err
			}
			break
		}
	}
	return q, protocol.CheckContext(q.context)
}

func unescape(s string) (string, error) {
	if strings.IndexByte(s, '%') < 0 && strings.IndexByte(s, '+') < 0 {
		return s, nil
	}
	u, err := url.QueryUnescape(s)
	if err != nil {
		return "", protocol.Invalidf("the query has a bad percent escape: write %% as %%25, and other bytes as %% and two hexadecimal digits")
	}
	return u, nil
}

func (q *query) ctx() *protocol.DeviceContext {
	if q.context == nil {
		q.context = new(protocol.DeviceContext)
	}
	return q.context
}

func (q *query) label(name, value string) error {
	value, err := unescape(value)
	if err != nil {
		return err
	}
	if name == "" {
		return protocol.Invalidf("parameter label. has no name: write label.NAME=value")
	}
	c := q.ctx()
	if _, twice := c.Labels[name]; twice {
		return protocol.Invalidf("parameter label.%s is given more than once: give it once", name)
	}
	if len(c.Labels) == protocol.MaxLabels {
		return protocol.Invalidf("more than %d labels: give fewer", protocol.MaxLabels)
	}
	if c.Labels == nil {
		c.Labels = make(map[string]string, 1)
	}
	c.Labels[name] = value
	return nil
}

// checkCursor is nil where v is empty, which is none, or has the shape of a cursor. SPEC 2.4.
func checkCursor(what, v string) error {
	if v != "" && !protocol.ValidCursor(v) {
		return protocol.Invalidf("%s is not a cursor: use one that a push carried, up to %d bytes of A-Z a-z 0-9 . _ -", what, protocol.MaxCursor)
	}
	return nil
}

func setCursor(q *query, v string) error {
	q.cursor = v
	return checkCursor("parameter cursor", v)
}

func setSeq(q *query, v string) error {
	n, err := strconv.ParseUint(v, 10, 64)
	if err != nil {
		return protocol.Invalidf("parameter seq is not a number: use the seq of a push, 0 or more")
	}
	q.seq, q.hasSeq = n, true
	return nil
}

func setStream(q *query, v string) error {
	q.stream = v
	return checkStream("parameter stream", v)
}

func checkStream(what, v string) error {
	if v != "" && (len(v) > protocol.MaxStreamName || !protocol.ValidCursor(v)) {
		return protocol.Invalidf("%s is not a stream name: use the stream of hello, up to %d bytes of A-Z a-z 0-9 . _ -", what, protocol.MaxStreamName)
	}
	return nil
}

func setWindow(q *query, v string) error {
	n, err := strconv.ParseUint(v, 10, 31)
	if err != nil && !errors.Is(err, strconv.ErrRange) { // more is cut to the most
		return protocol.Invalidf("parameter window is not a number: give the most unacked pushes, 1 or more")
	}
	if n == 0 {
		return protocol.Invalidf("parameter window is 0: use 1 or more, or omit it")
	}
	q.window = int(n)
	return nil
}

func setHeartbeat(q *query, v string) error {
	n, err := strconv.ParseUint(v, 10, 31)
	if err != nil {
		n = 0
	}
	q.heartbeatMS = int32(n)
	return checkHeartbeat("parameter heartbeat_ms", uint32(n))
}

func checkHeartbeat(what string, ms uint32) error {
	if ms < uint32(stream.MinHeartbeat.Milliseconds()) || ms > uint32(stream.MaxHeartbeat.Milliseconds()) {
		return protocol.Invalidf("%s is out of range: use milliseconds from %d to %d", what, stream.MinHeartbeat.Milliseconds(), stream.MaxHeartbeat.Milliseconds())
	}
	return nil
}

func setHeartbeatEvents(q *query, v string) error {
	if v != "event" {
		return protocol.Invalidf("unknown value for parameter heartbeat: use \"event\" or omit it")
	}
	q.heartbeatEvents = true
	return nil
}

func setWait(q *query, v string) error {
	n, err := strconv.ParseUint(v, 10, 31)
	if err != nil || n > maxWait {
		return protocol.Invalidf("parameter wait is out of range: use seconds from 0 to %d", maxWait)
	}
	q.waitS = int(n)
	return nil
}
