package conformance

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"ramen/protocol"
)

// streamVerbs are what a section of a stream may have; true: a time stands at the end.
var streamVerbs = map[string]bool{
	// before the stream is one
	"opens": false, "refuse": false, "html": false, "portal": false, "reset": false, "hang": false, "soon": false, "after": true,
	// what the server says
	"hello": false, "push": false, "part": false, "trickle": true, "heartbeat": false, "unknown": false, "goaway": false,
	"cut": false, "end": false, "ends": false, "bare": false, "silent": false, "buffered": false,
	// what the device is to do
	"acked": false, "unacked": false, "echoed": false, "refreshed": false, "left": false, "until": false, "quiet": true,
}

// Times of a hello, shorter than a real server's, so that a suite is quick. SPEC 2.8, 2.9.
const (
	heartbeatMS = 2000
	timeoutMS   = 3500
	ackMS       = 100
	sseAckMS    = 2000
)

// portalPage is what a captive portal answers with: 100 KiB, in which stand, for who reads it in spite of its type, a hello and a push.
var portalPage = "<!doctype html><html><body><form>Accept the terms to go online<input type=submit></form>\n\n" +
	string(protocol.AppendSSEHello(nil, &protocol.Hello{Resumed: true, Stream: "portal", HeartbeatMS: heartbeatMS, TimeoutMS: timeoutMS, AckMS: ackMS, Cursor: "portal"}, 0)) +
	string(protocol.AppendSSEPush(nil, &protocol.Push{Seq: 1, Cursor: "portal", Message: &protocol.Message{ID: "of-the-portal", Type: "test", Priority: protocol.PriorityMedium, Payload: []byte("1"), ContentType: protocol.ContentTypeJSON, CreatedMS: 1, ExpiresMS: 1 << 42}})) +
	strings.Repeat("<p>free wifi</p>\n\n", 6000) + "</body></html>"

// play does a section's steps. Until the first step that is of a stream, the request is not answered.
func (r *run) play(at int, s *Section, w http.ResponseWriter, req *http.Request) {
	var p *peer
	defer func() {
		if p != nil {
			p.hold()
		}
	}()
	o, kind := r.before(req)
	if kind != "grpc" {
		r.opened(&o)
		if !o.is(s.Kind) {
			r.failf("stream %d is to be opened over %s, and the device came over %s", at+1, s.Kind, o.kind)
			return
		}
	}
	for _, step := range s.Steps {
		if p == nil && kind != "grpc" && !isOfStream(step) && !refusedAfterUpgrade(kind, step) {
			if err := r.early(at, step, &o, w); err != nil {
				r.stepFailed(step, err)
				return
			}
			continue
		}
		if p == nil {
			var err error
			if p, err = r.newPeer(kind, w, req); err != nil {
				r.notef("server", "%v", err)
				return
			}
			if kind == "grpc" {
				r.opened(&p.open)
				if !p.open.is(s.Kind) {
					r.failf("stream %d is to be opened over %s, and the device came over grpc", at+1, s.Kind)
					return
				}
			}
			o = p.open
			defer p.beat(r)()
		}
		r.notef("server", "%s", step)
		if !isOfStream(step) {
			if err := r.earlyOfPeer(at, step, p); err != nil {
				r.stepFailed(step, err)
				return
			}
			continue
		}
		if err := p.step(at, step); err != nil {
			r.stepFailed(step, err)
			return
		}
	}
	r.mu.Lock()
	r.done[at] = true
	r.mu.Unlock()
	r.changed()
}

func (r *run) stepFailed(step Step, err error) {
	if r.ctx.Err() == nil {
		r.failf("line %d, %s: %v", step.Line, step, err)
	}
}

// before reads what is known of an opening before it is answered.
func (r *run) before(req *http.Request) (opening, string) {
	switch req.URL.Path {
	case "/ramen/receive":
		o := openingOf("sse", req)
		if req.URL.Query().Get("heartbeat") == "event" {
			o.kind = "eventsource"
		}
		return o, "sse"
	case "/ramen/poll":
		return openingOf("poll", req), "poll"
	case "/ramen/ws":
		o := openingOf("ws-json", req)
		if strings.Contains(req.Header.Get("Sec-WebSocket-Protocol"), "ramen.v1.proto") {
			o.kind = "ws-proto"
		}
		return o, "ws"
	}
	return opening{kind: "grpc"}, "grpc"
}

func (r *run) newPeer(kind string, w http.ResponseWriter, req *http.Request) (p *peer, err error) {
	switch kind {
	case "sse":
		p, err = r.newSSE(w, req)
	case "ws":
		p, err = r.newWS(w, req)
	case "grpc":
		p, err = r.newGRPC(w, req)
	default:
		if p, err = r.newPoll(w, req); err == nil {
			r.mu.Lock()
			r.polling = p
			r.mu.Unlock()
		}
	}
	return p, err
}

// refusedAfterUpgrade reports whether a WebSocket is refused by a close code, since a browser reads no status. SPEC 4.4
func refusedAfterUpgrade(kind string, s Step) bool {
	return kind == "ws" && s.Verb == "refuse" && s.word(0) != "unavailable"
}

// isOfStream reports whether a step needs a stream.
func isOfStream(s Step) bool {
	switch s.Verb {
	case "opens", "soon", "after", "refuse", "html", "portal", "reset", "hang":
		return false
	}
	return true
}

// early does a step on a request that is not answered yet.
func (r *run) early(at int, s Step, o *opening, w http.ResponseWriter) error {
	r.notef("server", "%s", s)
	switch s.Verb {
	case "opens":
		return o.check(s)
	case "soon":
		return r.soon(at, o)
	case "after":
		return r.notBefore(at, o, s.duration())
	case "refuse", "html", "portal":
		r.mu.Lock()
		r.refusal = s
		r.mu.Unlock()
	}
	switch s.Verb {
	case "refuse":
		return r.refuse(s, o, w)
	case "html":
		status, _ := strconv.Atoi(s.word(0))
		return raw(w, func(c net.Conn) {
			answer(c, status, "text/html", "", "<html><head><title>"+s.word(0)+"</title></head><body><h1>"+http.StatusText(status)+"</h1><hr>nginx</body></html>")
		})
	case "portal":
		return raw(w, func(c net.Conn) {
			answer(c, http.StatusOK, "text/html; charset=utf-8", "Set-Cookie: portal=1\r\n", portalPage)
		})
	case "reset":
		return raw(w, func(c net.Conn) {
			_ = c.(*net.TCPConn).SetLinger(0)
			_ = c.Close()
		})
	}
	return r.hang(w) // the device gives up
}

func (r *run) hang(w http.ResponseWriter) error {
	conn, in, err := hijack(w)
	if err != nil {
		return err
	}
	defer conn.Close()
	stop := closeWith(r, conn)
	defer stop()
	_, _ = io.Copy(io.Discard, in)
	r.notef("server", "the device gave up")
	return nil
}

// earlyOfPeer is early where the stream is made already: over gRPC, whose first frame has been read, and for a WebSocket that is refused
// after its handshake.
func (r *run) earlyOfPeer(at int, s Step, p *peer) error {
	switch s.Verb {
	case "opens":
		return p.open.check(s)
	case "soon":
		return r.soon(at, &p.open)
	case "after":
		return r.notBefore(at, &p.open, s.duration())
	case "refuse":
		return r.refuseBare(s, p)
	case "reset":
		p.cut()
		return nil
	case "hang":
		<-either(p.gone, r.ctx.Done())
		return nil
	}
	return fmt.Errorf("over gRPC there is no %s: leave it out of the scenario's transports", s.Verb)
}

func raw(w http.ResponseWriter, do func(net.Conn)) error {
	conn, _, err := hijack(w)
	if err != nil {
		return err
	}
	do(conn)
	return nil
}

// closeWith closes c when the run is over.
func closeWith(r *run, c net.Conn) func() {
	done := make(chan struct{})
	go func() {
		select {
		case <-r.ctx.Done():
			_ = c.Close()
		case <-done:
		}
	}()
	return func() { close(done) }
}

func either(a, b <-chan struct{}) <-chan struct{} {
	c := make(chan struct{})
	go func() {
		defer close(c)
		select {
		case <-a:
		case <-b:
		}
	}()
	return c
}

// refuse answers an opening as SPEC 4.4 has it, in the way that the transport has.
func (r *run) refuse(s Step, o *opening, w http.ResponseWriter) error {
	reason, ok := protocol.ParseReason(s.word(0))
	if !ok {
		return fmt.Errorf("%s is no reason", s.word(0))
	}
	r.refuseToken(reason, o)
	later := s.Opts["retry"] // seconds
	conn, _, err := hijack(w)
	if err != nil {
		return err
	}
	busy := reason == protocol.ReasonUnavailable || reason == protocol.ReasonResourceExhausted
	if o.is("sse") && busy { // EventSource takes every status but 200 for final
		retryMS := s.number("retry", 2) * 1000
		b := protocol.AppendSSEGoAway(nil, &protocol.GoAway{Reason: reason, Detail: "the scenario says so"}, retryMS)
		answer(conn, http.StatusOK, "text/event-stream", "Cache-Control: no-cache\r\n", string(b))
		return nil
	}
	e := &protocol.Error{Code: codeOf(reason), Message: "the scenario says so"}
	extra := ""
	if later != "" {
		extra = "Retry-After: " + later + "\r\n"
	}
	answer(conn, e.Code.HTTPStatus(), "application/json", extra, string(protocol.AppendErrorJSON(nil, e)))
	return nil
}

// refuseBare refuses by a close code or a status.
func (r *run) refuseBare(s Step, p *peer) error {
	reason, ok := protocol.ParseReason(s.word(0))
	if !ok {
		return fmt.Errorf("%s is no reason", s.word(0))
	}
	r.refuseToken(reason, &p.open)
	p.bare(reason, "the scenario says so")
	p.finish()
	return nil
}

func (r *run) refuseToken(reason protocol.Reason, o *opening) {
	if reason == protocol.ReasonUnauthenticated && o.token != "" {
		r.mu.Lock()
		r.refused = append(r.refused, o.token)
		r.mu.Unlock()
	}
}

// codeOf is the error that is told with a reason.
func codeOf(reason protocol.Reason) protocol.Code { return protocol.Code(reason.String()) }

// check compares an opening with what it should be.
func (o *opening) check(s Step) error {
	switch s.word(0) {
	case "fresh":
		if o.cursor != "" {
			return fmt.Errorf("the device gave cursor %q, and has no place", o.cursor)
		}
	case "after":
		if want := "c-" + s.word(1); o.cursor != want {
			return fmt.Errorf("the device gave cursor %q, not %q", o.cursor, want)
		}
	case "at": // a hello's place
		if want := "h-" + s.word(1); o.cursor != want {
			return fmt.Errorf("the device gave cursor %q, not %q", o.cursor, want)
		}
	}
	for name, want := range s.Opts {
		got := map[string]string{"token": o.token, "window": strconv.Itoa(o.window), "heartbeat": strconv.Itoa(o.beat), "user": o.user, "device": o.device, "client": o.labels["client"]}[name]
		if want == "*" && got != "" { // whatever it is
			continue
		}
		if got != want {
			return fmt.Errorf("the device gave %s %q, not %q", name, got, want)
		}
	}
	return nil
}

// soon fails where the device took longer than a first pause. C 7.1
func (r *run) soon(at int, o *opening) error {
	if took, ok := r.since(at, o); ok && took > time.Second+r.slack {
		return fmt.Errorf("the device came %v after the last stream's end, and at most 1 s is right", took.Round(time.Millisecond))
	}
	return nil
}

func (r *run) notBefore(at int, o *opening, least time.Duration) error {
	if took, ok := r.since(at, o); ok && took < least-10*time.Millisecond {
		return fmt.Errorf("the device came %v after the last stream's end, and %v is the least", took.Round(time.Millisecond), least)
	}
	return nil
}

// since is how long after the end of the section before it an opening came.
func (r *run) since(at int, o *opening) (time.Duration, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if at == 0 || r.ends[at-1].IsZero() {
		return 0, false
	}
	return o.at.Sub(r.ends[at-1]), true
}
