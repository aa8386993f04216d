package system

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"ramen/protocol"
)

// place is what a device says when it opens a stream. SPEC 4.
type place struct {
	user, device, token string
	cursor              string
	seq                 uint64 // with stream, or where hasSeq
	hasSeq              bool
	stream              string
	window, heartbeatMS int
	context             map[string]string // app, os, label.x …

	beatEvent bool // sse
	wait      int  // poll, s; 0: the most
	origin    string
	more      url.Values // parameters besides
}

func (p place) query() url.Values {
	q := url.Values{}
	set := func(k, v string) {
		if v != "" {
			q.Set(k, v)
		}
	}
	set("user", p.user)
	set("device", p.device)
	set("token", p.token)
	set("cursor", p.cursor)
	set("stream", p.stream)
	if p.hasSeq || p.stream != "" {
		q.Set("seq", strconv.FormatUint(p.seq, 10))
	}
	if p.window != 0 {
		q.Set("window", strconv.Itoa(p.window))
	}
	if p.heartbeatMS != 0 {
		q.Set("heartbeat_ms", strconv.Itoa(p.heartbeatMS))
	}
	if p.beatEvent {
		q.Set("heartbeat", "event")
	}
	for k, v := range p.context {
		q.Set(k, v)
	}
	for k, v := range p.more {
		q[k] = v
	}
	return q
}

// device is one stream of a device over some transport.
type device interface {
	// next is the next frame of the server. An error is the end: an *ending.
	next() (protocol.ServerFrame, error)
	// ack says that all up to seq is processed.
	ack(seq protocol.Seq) error
	// echo answers a heartbeat, where there is a way back.
	echo(f protocol.ServerFrame)
	// send sends a frame of the device, where there is a way back.
	send(f protocol.DeviceFrame) error
	// close drops the connection without a word.
	close()
}

// ending is how a stream ended, as its transport said it.
type ending struct {
	goaway *protocol.GoAway
	status int         // HTTP, of a refusal
	body   errorBody   // of it
	retry  string      // Retry-After
	close  int         // WebSocket close code
	text   string      // of close or status
	code   *codes.Code // gRPC
	err    error       // of the network
}

func (e *ending) Error() string {
	var b strings.Builder
	b.WriteString("the stream ended:")
	if e.goaway != nil {
		fmt.Fprintf(&b, " goaway %v (%d ms, %s)", e.goaway.Reason, e.goaway.ReconnectMS, e.goaway.Detail)
	}
	if e.status != 0 {
		fmt.Fprintf(&b, " %d %+v", e.status, e.body)
	}
	if e.close != 0 {
		fmt.Fprintf(&b, " close %d %q", e.close, e.text)
	}
	if e.code != nil {
		fmt.Fprintf(&b, " status %v %q", *e.code, e.text)
	}
	if e.err != nil {
		fmt.Fprintf(&b, " %v", e.err)
	}
	return b.String()
}

// conn is a stream with its hello read.
type conn struct {
	t         testing.TB
	transport string
	at        place
	hello     protocol.Hello
	device
	last protocol.Push // the latest push
	mute bool          // echoes nothing
}

// transports are the ways that SPEC has to a device.
var transports = []string{"sse", "ws-json", "ws-proto", "grpc", "poll"}

// streaming are those with a stream that stays.
var streaming = transports[:4]

// twoWay are those with a way back.
var twoWay = transports[1:4]

// open opens a stream, which must succeed.
func (s *server) open(t testing.TB, transport string, p place) *conn {
	t.Helper()
	c, err := s.dial(t, transport, p)
	if err != nil {
		t.Fatalf("open %s of %s/%s: %v", transport, p.user, p.device, err)
	}
	return c
}

// refused opens a stream, which must fail.
func (s *server) refused(t testing.TB, transport string, p place) *ending {
	t.Helper()
	c, err := s.dial(t, transport, p)
	if err == nil {
		t.Fatalf("open %s of %+v: it was not refused, hello is %+v", transport, p, c.hello)
	}
	var e *ending
	if !errors.As(err, &e) {
		t.Fatalf("open %s of %+v: %v", transport, p, err)
	}
	return e
}

func (s *server) dial(t testing.TB, transport string, p place) (*conn, error) {
	t.Helper()
	var d device
	var err error
	switch transport {
	case "sse":
		d, err = s.dialSSE(p)
	case "ws-json":
		d, err = s.dialWS(p, "ramen.v1.json")
	case "ws-proto":
		d, err = s.dialWS(p, "ramen.v1.proto")
	case "grpc":
		d, err = s.dialGRPC(p)
	case "poll":
		d, err = s.dialPoll(p)
	default:
		t.Fatalf("there is no transport %q", transport)
	}
	if err != nil {
		return nil, err
	}
	c := &conn{t: t, transport: transport, at: p, device: d}
	t.Cleanup(c.close)
	f, err := d.next()
	if err != nil {
		return nil, err
	}
	if f.Kind != protocol.ServerHello {
		var e ending
		if f.Kind == protocol.ServerGoAway {
			e.goaway = &f.GoAway
			return nil, c.rest(&e)
		}
		return nil, fmt.Errorf("the first frame is %+v, not hello", f)
	}
	c.hello = f.Hello
	return c, nil
}

// frame is the next frame that is no heartbeat; these are echoed.
func (c *conn) frame() (protocol.ServerFrame, error) {
	for end := time.Now().Add(patience); ; {
		if time.Now().After(end) {
			return protocol.ServerFrame{}, fmt.Errorf("nothing but heartbeats for %v", patience)
		}
		f, err := c.device.next()
		if err != nil {
			return f, err
		}
		switch f.Kind {
		case protocol.ServerHeartbeat:
			if !c.mute {
				c.echo(f)
			}
			continue
		case protocol.ServerHello:
			return f, errors.New("a second hello")
		case protocol.ServerPush:
			if err := c.checkSeq(&f.Push); err != nil {
				return f, err
			}
			c.last = f.Push
		}
		return f, nil
	}
}

// checkSeq: within a stream seq has no gaps, and it goes on from stream to stream. SPEC 1.2.8. Each poll is a stream (SPEC 2.11.3): what
// the gateway was pushing while the last one was answered has numbers that no answer has, and comes again under others. pollDevice
// checks that an answer has no gaps.
func (c *conn) checkSeq(p *protocol.Push) error {
	want := max(c.last.Seq, c.hello.Seq) + 1
	if c.transport == "poll" && p.Seq > want {
		return nil
	}
	if p.Seq != want {
		return fmt.Errorf("push %q has seq %d, want %d", p.Message.ID, p.Seq, want)
	}
	return nil
}

// push is the next frame, which must be a push.
func (c *conn) push() protocol.Push {
	c.t.Helper()
	f, err := c.frame()
	if err != nil {
		c.t.Fatalf("%s of %s/%s: wait for a push after seq %d: %v", c.transport, c.at.user, c.at.device, c.last.Seq, err)
	}
	if f.Kind != protocol.ServerPush {
		c.t.Fatalf("%s: wait for a push after seq %d: got %+v", c.transport, c.last.Seq, f)
	}
	return f.Push
}

// ids is the ids of the next n pushes.
func (c *conn) ids(n int) []string {
	c.t.Helper()
	ids := make([]string, 0, n)
	for range n {
		ids = append(ids, string(c.push().Message.ID))
	}
	return ids
}

// ackAll acks what came last.
func (c *conn) ackAll() {
	c.t.Helper()
	if err := c.ack(c.last.Seq); err != nil {
		c.t.Fatalf("%s: ack %d: %v", c.transport, c.last.Seq, err)
	}
}

// end reads to the end of the stream, pushes included.
func (c *conn) end() *ending {
	c.t.Helper()
	var e ending
	for {
		f, err := c.frame()
		if err != nil {
			var last *ending
			if !errors.As(err, &last) {
				c.t.Fatalf("%s: wait for the end: %v", c.transport, err)
			}
			last.goaway = e.goaway
			return last
		}
		if f.Kind == protocol.ServerGoAway {
			if e.goaway != nil && e.goaway.Reason == f.GoAway.Reason {
				c.t.Errorf("%s: a second goaway: %+v", c.transport, f.GoAway)
			}
			g := f.GoAway
			e.goaway = &g
		}
	}
}

// rest reads what follows a goaway that came instead of hello.
func (c *conn) rest(e *ending) error {
	_, err := c.device.next()
	var last *ending
	if !errors.As(err, &last) {
		return fmt.Errorf("after goaway %+v: %v", *e.goaway, err)
	}
	last.goaway = e.goaway
	return last
}

// watch runs cut unless the answer is called within patience.
func watch(cut func()) (stop func() bool) { return time.AfterFunc(patience, cut).Stop }
