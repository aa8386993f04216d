package ramen

import (
	"context"
	"errors"
	"sync"
	"time"

	"ramen/clients/go/wire"
	"ramen/protocol"
)

// flushTimeout bounds the last ack of a device that stops.
const flushTimeout = 2 * time.Second

// finishTimeout is how long a server may take to end a stream that the device has finished.
const finishTimeout = 250 * time.Millisecond

// mostJoins bounds hello's ack_ms: SSE's. SPEC 2.9.2
const mostJoins = 30 * time.Second

// acker sends one stream's acks and refreshes from its own goroutine, so that neither handler nor reader waits for the
// network. Acks are cumulative, so what waits is one place, whatever was processed meanwhile.
type acker struct {
	// immutable
	s      *stream
	window int           // pushes
	room   int           // bytes
	wake   chan struct{} // one token

	tasks sync.WaitGroup // run and renew

	// immutable once started
	conn  wire.Conn
	joins time.Duration // acks that fall within it go as one

	sending sync.Mutex // one ack at a time; held across I/O, and taken before mu

	mu               sync.Mutex
	seq              protocol.Seq // guarded by mu: of the last push processed
	cursor           string       // guarded by mu
	pushes           int          // guarded by mu: processed and not acked
	bytes            int          // guarded by mu
	renewed, changed bool         // guarded by mu: token, context wait to be sent
}

func newAcker(s *stream) *acker {
	pushes, bytes := s.transport.Kind().Window()
	if w := s.dev.cfg.Window; w > 0 {
		pushes = min(pushes, w)
	}
	return &acker{s: s, wake: make(chan struct{}, 1), window: pushes, room: bytes}
}

// start is called by the stream's reader at hello.
func (a *acker) start(conn wire.Conn, joins time.Duration) {
	a.conn = conn
	a.joins = min(joins, mostJoins)
	if a.s.transport == SSE {
		a.joins = a.joins * 3 / 4 // ack_ms is the latest there, and the request takes its time. SPEC 2.9.2
	}
	if a.s.transport == Poll {
		a.joins = 0 // no request: it is what the next poll begins with
	}
	a.tasks.Go(a.run)
	a.tasks.Go(a.s.renew)
}

// wait is called by the stream's goroutine once its context has ended.
func (a *acker) wait() { a.tasks.Wait() }

// processed notes a push that the handler is done with.
func (a *acker) processed(p *protocol.Push) {
	a.mu.Lock()
	a.seq, a.cursor = p.Seq, p.Cursor
	a.pushes++
	a.bytes += len(p.Message.Payload)
	a.mu.Unlock()
	a.nudge()
}

// refresh sends the stream's token, and the device's context where that has changed.
func (a *acker) refresh(context bool) {
	a.mu.Lock()
	a.renewed, a.changed = true, a.changed || context
	a.mu.Unlock()
	a.nudge()
}

func (a *acker) nudge() {
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

func (a *acker) run() {
	ctx := a.s.ctx
	timer := time.NewTimer(time.Hour)
	timer.Stop()
	defer timer.Stop()
	waits := false  // the timer runs
	failed := false // until a pause after a failed ack is over
	retry := wire.Backoff{Rand: a.s.dev.rand}
	for {
		now := false
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
			waits, now, failed = false, true, false
		case <-a.wake:
		}
		a.sendRefresh()
		due, some := a.due()
		if !some || failed {
			continue
		}
		if !now && !due {
			if !waits {
				timer.Reset(a.joins)
				waits = true
			}
			continue
		}
		pause, ok := a.send(ctx, &retry)
		waits, failed = !ok, !ok
		if timer.Stop(); failed {
			timer.Reset(pause)
		}
	}
}

// due reports whether anything is to be acked, and whether it must not wait: half a window, or nothing to join with.
func (a *acker) due() (due, some bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.joins == 0 || a.pushes*2 >= a.window || a.bytes*2 >= a.room, a.pushes > 0
}

// send sends one ack. Where it fails it is due again, after a pause.
func (a *acker) send(ctx context.Context, retry *wire.Backoff) (pause time.Duration, ok bool) {
	a.sending.Lock()
	defer a.sending.Unlock()
	a.mu.Lock()
	seq, cursor, pushes, bytes := a.seq, a.cursor, a.pushes, a.bytes
	a.mu.Unlock()
	if cursor == "" && !a.s.transport.Kind().TwoWay() {
		return 0, true // within a poll's answer: its last push has the cursor
	}
	err := a.conn.Ack(ctx, seq, cursor)
	if err == nil {
		a.mu.Lock()
		a.pushes -= pushes
		a.bytes -= bytes
		rest := a.pushes
		a.mu.Unlock()
		if rest > 0 {
			a.nudge() // theirs may have been taken while a failed ack was waiting
		}
		a.s.dev.count.acks.Add(1)
		retry.Reset()
		return 0, true
	}
	var end *wire.EndError
	if errors.As(err, &end) {
		if end.Reason == protocol.ReasonInvalidArgument { // the server does not know the place: begin anew
			a.s.cancel(err)
		}
		pause = end.RetryAfter
	}
	return pause + retry.Next(), false
}

func (a *acker) sendRefresh() {
	a.mu.Lock()
	renewed, changed := a.renewed, a.changed
	a.renewed, a.changed = false, false
	a.mu.Unlock()
	if !renewed {
		return
	}
	var c *protocol.DeviceContext
	if changed {
		c = a.s.dev.latestContext()
	}
	if err := a.conn.Refresh(a.s.currentToken(), c); errors.Is(err, wire.ErrOneWay) {
		select {
		case a.s.events <- event{from: a.s, kind: eventToken}:
		case <-a.s.ctx.Done():
		}
	}
}

// last sends what is not acked yet, before the device stops. Called while the stream lives, from any goroutine.
func (a *acker) last() {
	ctx, cancel := context.WithTimeout(context.Background(), flushTimeout)
	defer cancel()
	if _, some := a.due(); !some || a.conn == nil {
		return
	}
	if _, ok := a.send(ctx, new(wire.Backoff)); !ok {
		return
	}
	if f, ok := a.conn.(wire.Finisher); ok && f.Finish() == nil {
		gone := time.NewTimer(finishTimeout)
		defer gone.Stop()
		select {
		case <-a.s.ctx.Done():
		case <-gone.C:
		}
	}
}
