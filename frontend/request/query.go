package request

import (
	"errors"
	"net/url"
	"slices"
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

// parameters are the known names. Unknown ones are ignored.
var parameters = [...]string{
	"token", "user", "device", "cursor", "seq", "stream", "window", "heartbeat_ms", "heartbeat", "wait",
	"app", "app_version", "os", "os_version", "model", "locale",
}

// set does what the value of a known parameter says.
func (q *query) set(name, v string) error {
	switch name {
	case "token":
		q.token = v
	case "user":
		q.user = v
	case "device":
		q.device = v
	case "cursor":
		q.cursor = v
		return checkCursor("parameter cursor", v)
	case "seq":
		return q.setSeq(v)
	case "stream":
		q.stream = v
		return checkStream("parameter stream", v)
	case "window":
		return q.setWindow(v)
	case "heartbeat_ms":
		return q.setHeartbeat(v)
	case "heartbeat":
		return q.setHeartbeatEvents(v)
	case "wait":
		return q.setWait(v)
	default:
		q.setContext(name, v)
	}
	return nil
}

func (q *query) setContext(name, v string) {
	c := q.ctx()
	switch name {
	case "app":
		c.App = v
	case "app_version":
		c.AppVersion = v
	case "os":
		c.OS = v
	case "os_version":
		c.OSVersion = v
	case "model":
		c.Model = v
	case "locale":
		c.Locale = v
	}
}

const labelPrefix = "label."

// parseQuery reads a request's raw query. It allocates nothing but what a device says of itself. Its error is a *protocol.Error. The strings in q share raw's memory.
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
		i := slices.Index(parameters[:], key)
		if i < 0 {
			continue
		}
		if seen&(1<<i) != 0 {
			return q, protocol.Invalidf("parameter %s is given more than once: give it once", key)
		}
		seen |= 1 << i
		if value, err = unescape(value); err != nil {
			return q, err
		}
		if err = q.set(key, value); err != nil {
			return q, err
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

func (q *query) setSeq(v string) error {
	n, err := strconv.ParseUint(v, 10, 64)
	if err != nil {
		return protocol.Invalidf("parameter seq is not a number: use the seq of a push, 0 or more")
	}
	q.seq, q.hasSeq = n, true
	return nil
}

func checkStream(what, v string) error {
	if v != "" && (len(v) > protocol.MaxStreamName || !protocol.ValidCursor(v)) {
		return protocol.Invalidf("%s is not a stream name: use the stream of hello, up to %d bytes of A-Z a-z 0-9 . _ -", what, protocol.MaxStreamName)
	}
	return nil
}

func (q *query) setWindow(v string) error {
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

func (q *query) setHeartbeat(v string) error {
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

func (q *query) setHeartbeatEvents(v string) error {
	if v != "event" {
		return protocol.Invalidf("unknown value for parameter heartbeat: use \"event\" or omit it")
	}
	q.heartbeatEvents = true
	return nil
}

func (q *query) setWait(v string) error {
	n, err := strconv.ParseUint(v, 10, 31)
	if err != nil || n > maxWait {
		return protocol.Invalidf("parameter wait is out of range: use seconds from 0 to %d", maxWait)
	}
	q.waitS = int(n)
	return nil
}
