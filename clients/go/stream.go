package ramen

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"ramen/clients/go/wire"
	"ramen/protocol"
)

// Why the device itself lets go of a stream.
var (
	errSilent   = errors.New("ramen: the stream has been silent for too long")
	errHandler  = errors.New("ramen: the handler did not process a message")
	errGap      = errors.New("ramen: a push is missing")
	errStopped  = errors.New("ramen: the device was stopped")
	errReplaced = errors.New("ramen: the stream was replaced")
	errNoHello  = errors.New("ramen: the server did not begin with hello")
)

// stream is one live connection, from its opening to its end:
//
//	opening ──hello──▶ live ──its successor's hello──▶ leaving ──▶ ended
//
// The keeper says which of them it is; the stream's own goroutine opens and reads.
type stream struct {
	// immutable
	dev       *Device
	transport Transport
	trial     bool // of the preferred transport, beside a live stream
	began     time.Time
	ctx       context.Context
	cancel    context.CancelCauseFunc
	events    chan<- event
	acker     *acker

	// owned by the keeper
	live     time.Time // when it said hello; zero: not yet
	away     bool      // it is to be replaced
	replaced bool      // its successor was begun

	dead atomic.Bool // its pushes no longer count

	// guarded by the inbox's mu
	waiting      int
	waitingBytes int

	// owned by the reader
	next protocol.Seq // that a push must have; 0: any
	dog  *watchdog

	greeting *time.Timer // ends an opening whose hello does not come, whatever else does

	place   string                  // that it was opened with; the keeper's from hello on
	context *protocol.DeviceContext // that it was opened with; the keeper's from hello on

	mu    sync.Mutex
	token string // guarded by mu
}

// event is what a stream tells the keeper.
type event struct {
	from  *stream
	kind  eventKind
	hello protocol.Hello
	seen  chan struct{} // hello: closed by the keeper once OnHello was told, so that no message is handled before
	wait  time.Duration // goaway: the next stream's moment lies within it
	err   error         // end
}

type eventKind uint8

const (
	eventHello  eventKind = iota
	eventGoAway           // drain or rebalance
	eventToken            // there is a new token, and no way to hand it over
	eventEnd
)

// run opens and reads the stream. It posts its end as its last event.
func (s *stream) run() {
	err := s.serve()
	if cause := context.Cause(s.ctx); cause != nil {
		err = cause
	}
	s.dead.Store(true)
	s.cancel(err)
	s.acker.wait()
	s.events <- event{from: s, kind: eventEnd, err: err}
}

func (s *stream) serve() error {
	d := s.dev
	token, err := d.tokens.next(s.ctx)
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.token = token
	s.mu.Unlock()
	s.dog = newWatchdog(d.cfg.ConnectTimeout, func() { s.cancel(errSilent) })
	defer s.dog.stop()
	s.greeting = time.AfterFunc(d.cfg.ConnectTimeout, func() { s.cancel(errSilent) })
	defer s.greeting.Stop()
	if s.transport == Poll { // whose hello is its answer: the bytes of one are signs of life, as dog knows
		s.greeting.Stop()
	}
	open := d.open(token)
	s.context, s.place = open.Context, open.Cursor
	conn, err := d.dialer.Dial(s.ctx, s.transport, open, s.dog.alive)
	if err != nil {
		return err
	}
	defer conn.Close()
	stop := context.AfterFunc(s.ctx, func() { _ = conn.Close() })
	defer stop()
	if s.transport != Poll { // whose first answer has the time of an opening
		s.allow(silenceFor(0, d.cfg.Heartbeat))
	}
	return s.read(conn)
}

func (s *stream) read(conn wire.Conn) error {
	greeted := false
	var f protocol.ServerFrame
	for {
		if err := conn.Next(&f); err != nil {
			return err
		}
		if f.Kind == protocol.ServerHello {
			s.hello(conn, &f.Hello, !greeted)
			greeted = true
			continue
		}
		if !greeted && f.Kind == protocol.ServerPush {
			return errNoHello
		}
		if err := s.frame(conn, &f, greeted); err != nil {
			return err
		}
	}
}

// hello is the first frame; a poll says it again where there is something new in it.
func (s *stream) hello(conn wire.Conn, h *protocol.Hello, first bool) {
	if s.transport != Poll {
		s.next = h.Seq + 1
	}
	if first {
		s.greeting.Stop()
		s.allow(silenceFor(time.Duration(h.TimeoutMS)*time.Millisecond, s.dev.cfg.Heartbeat))
		s.acker.start(conn, time.Duration(h.AckMS)*time.Millisecond)
	}
	seen := make(chan struct{})
	s.events <- event{from: s, kind: eventHello, hello: *h, seen: seen}
	<-seen
	if protocol.ValidCursor(h.Cursor) {
		s.dev.inbox.putPlace(s, h)
	}
}

func (s *stream) frame(conn wire.Conn, f *protocol.ServerFrame, greeted bool) error {
	switch f.Kind {
	case protocol.ServerHeartbeat:
		s.dev.count.heartbeats.Add(1)
		_ = conn.Echo(f.TimeMS) // where it cannot be written, Next has the reason
		return nil
	case protocol.ServerPush:
		return s.push(f.Push)
	case protocol.ServerGoAway:
		return s.goAway(&f.GoAway, greeted)
	}
	return nil
}

func (s *stream) push(p protocol.Push) error {
	d := s.dev
	d.count.pushes.Add(1)
	if p.Redelivered {
		d.count.redelivered.Add(1)
	}
	if p.Message == nil {
		return fmt.Errorf("ramen: push %d has no message", p.Seq)
	}
	if s.next != 0 {
		if p.Seq != s.next {
			d.count.gaps.Add(1)
			return fmt.Errorf("%w: got seq %d, expected %d", errGap, p.Seq, s.next)
		}
		s.next++
	}
	d.trust()
	return d.inbox.put(item{from: s, push: p})
}

// goAway passes on the wish to be replaced; any other ends the stream, as does one before hello. SPEC 2.12.6
func (s *stream) goAway(g *protocol.GoAway, greeted bool) error {
	s.dev.count.goaways.Add(1)
	wait := min(time.Duration(g.ReconnectMS)*time.Millisecond, maxReconnect)
	moving := g.Reason == protocol.ReasonDrain || g.Reason == protocol.ReasonRebalance
	if moving && greeted && s.transport != Poll { // a poll that was answered has nothing left to read
		s.events <- event{from: s, kind: eventGoAway, wait: wait}
		return nil
	}
	return &goneAway{wire.EndError{Reason: g.Reason, Detail: g.Detail}, wait}
}

// maxReconnect bounds what a goaway may ask for.
const maxReconnect = 5 * time.Minute

// goneAway is an end by goaway.
type goneAway struct {
	wire.EndError
	within time.Duration
}

func (g *goneAway) Unwrap() error { return &g.EndError }

func (s *stream) allow(silence time.Duration) {
	switch {
	case s.transport == Poll: // each poll is bounded by itself
		s.dog.stop()
	case s.transport == GRPC: // an incomplete frame cannot be seen
		s.dog.allow(s.dev.patience(silence))
	default:
		s.dog.allow(silence)
	}
}

func (s *stream) currentToken() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.token
}

func (s *stream) setToken(token string) {
	s.mu.Lock()
	s.token = token
	s.mu.Unlock()
	s.acker.refresh(false)
}

// silenceFor is how long a stream may be silent: by hello, else by the interval that was asked for. SPEC 2.8.6
func silenceFor(hello, heartbeat time.Duration) time.Duration {
	if hello == 0 {
		hello = heartbeat * 7 / 4
	}
	if hello == 0 {
		return defaultSilence
	}
	return min(max(hello, minSilence), maxSilence)
}

// patience is silence, doubled for each death by it since the last push, up to 28 s. SPEC 2.8.4
func (d *Device) patience(silence time.Duration) time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	return min(silence<<min(d.doublings, 8), max(silence, mostPatience))
}

func (d *Device) doubt() {
	d.mu.Lock()
	d.doublings++
	d.mu.Unlock()
}

func (d *Device) trust() {
	d.mu.Lock()
	d.doublings = 0
	d.mu.Unlock()
}
