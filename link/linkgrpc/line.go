package linkgrpc

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"ramen/link/linkgrpc/frame"
)

// Why a link ends by its own decision.
var (
	errSilent  = errors.New("linkgrpc: the peer has been silent for too long")
	errStalled = errors.New("linkgrpc: the peer has taken nothing for too long")
	errClosed  = errors.New("linkgrpc: this end was closed")
)

// conn is a grpc stream, of either end.
type conn interface {
	SendMsg(m any) error
	RecvMsg(m any) error
}

// line is what both ends of a link have: a sender, a reader, and a watch over both.
//
// Goroutines: send and watch end with ctx; read ends once the grpc stream has.
type line struct {
	// immutable
	cfg     *Config
	conn    conn
	out     *outbox
	ctx     context.Context
	cancel  context.CancelCauseFunc // with why the link ends; the first counts
	metrics *metrics
	refill  func() // called after each batch that was sent; nil: nothing is to be done
	onTick  func() // called by watch, four times a KeepAlive; nil: nothing is to be done

	heard   atomic.Bool   // something came since watch looked last
	sending atomic.Bool   // a batch is on its way
	sent    atomic.Uint64 // batches
}

// newLine is a line over c until ctx ends, which cancel ends.
func newLine(ctx context.Context, cancel context.CancelCauseFunc, cfg *Config, c conn, m *metrics) *line {
	l := &line{ctx: ctx, cancel: cancel, cfg: cfg, conn: c, metrics: m}
	l.out = newOutbox(cfg.LinkBytes, func() { l.cancel(errOverflow) })
	return l
}

// send sends what is put into the outbox, until the link ends or the outbox is closed and empty. One batch is on its way at a time:
// what is put meanwhile is the next.
func (l *line) send() error {
	for {
		b := l.out.next(l.ctx)
		if b == nil {
			return context.Cause(l.ctx)
		}
		l.sending.Store(true)
		if err := l.conn.SendMsg(b); err != nil {
			return err
		}
		select {
		case <-b.sent:
		case <-l.ctx.Done(): // the batch stays grpc's
			return context.Cause(l.ctx)
		}
		l.metrics.sent(len(b.bytes), b.frames)
		l.sent.Add(1)
		l.sending.Store(false)
		l.out.done(b)
		if l.refill != nil {
			l.refill()
		}
	}
}

// read gives every frame that comes to handle, until the grpc stream ends.
func (l *line) read(handle func(f *frame.Frame) error) error {
	var (
		in received
		f  frame.Frame
	)
	for {
		if err := l.conn.RecvMsg(&in); err != nil {
			return err
		}
		l.heard.Store(true)
		r, n := frame.Read(in.bytes()), 0
		var err error
		for err == nil && r.Next(&f) {
			n++
			err = handle(&f)
		}
		l.metrics.received(len(in.bytes()), n)
		in.free()
		if err == nil {
			err = r.Err()
		}
		if err != nil {
			return err
		}
	}
}

// watch sends a heartbeat where nothing else is said, and ends the link when the peer is silent or takes nothing. Time in which this
// process did not run counts as a tick or two: what the peer has said meanwhile is still to be read.
func (l *line) watch() {
	tick := l.cfg.tick()
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	var quiet, silent, stalled time.Duration
	said, sent, last := l.out.said(), l.sent.Load(), time.Now()
	for {
		select {
		case <-ticker.C:
		case <-l.ctx.Done():
			return
		}
		if l.onTick != nil {
			l.onTick()
		}
		now := time.Now()
		passed := min(now.Sub(last), 2*tick)
		last = now
		quiet, silent, stalled = quiet+passed, silent+passed, stalled+passed

		if l.heard.Swap(false) {
			silent = 0
		}
		if n := l.sent.Load(); n != sent || !l.sending.Load() {
			sent, stalled = n, 0
		}
		if n := l.out.said(); n != said {
			said, quiet = n, 0
		}
		switch {
		case silent > l.cfg.silence():
			l.cancel(errSilent)
		case stalled > l.cfg.silence():
			l.cancel(errStalled)
		case quiet >= l.cfg.KeepAlive-tick/2:
			l.out.put(frame.AppendHeartbeat)
		}
	}
}
