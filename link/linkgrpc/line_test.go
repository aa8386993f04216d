package linkgrpc

import (
	"context"
	"errors"
	"io"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"ramen/link/linkgrpc/frame"
)

// wire is a grpc stream of which the test decides what comes and what goes.
type wire struct {
	ctx   context.Context
	takes chan struct{} // nil: everything is taken at once

	mu    sync.Mutex
	began time.Time
	sent  []time.Duration // when batches went out
}

func (w *wire) SendMsg(m any) error {
	if w.takes != nil {
		select {
		case <-w.takes:
		case <-w.ctx.Done():
			return w.ctx.Err()
		}
	}
	w.mu.Lock()
	w.sent = append(w.sent, time.Since(w.began))
	w.mu.Unlock()
	m.(*batch).Put(nil)
	return nil
}

func (w *wire) RecvMsg(any) error { <-w.ctx.Done(); return io.EOF }

// lineIn starts a line over w, and answers it with when and why it ended.
func lineIn(w *wire) (l *line, ended func() (time.Duration, error)) {
	cfg := Default()
	ctx, cancel := context.WithCancelCause(context.Background())
	w.ctx, w.began = ctx, time.Now()
	l = newLine(ctx, cancel, &cfg, w, newMetrics(frontendSide, held{}))
	var all sync.WaitGroup
	all.Go(func() { _ = l.send() })
	all.Go(l.watch)
	return l, func() (time.Duration, error) {
		<-l.ctx.Done()
		after := time.Since(w.began)
		all.Wait()
		return after, context.Cause(l.ctx)
	}
}

// TestSilenceIsFound: within 2.5 s, and not before 2 s, though heartbeats go out all the time.
func TestSilenceIsFound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := new(wire)
		_, ended := lineIn(w)
		after, err := ended()
		if !errors.Is(err, errSilent) || after < 2*time.Second || after > 2500*time.Millisecond {
			t.Errorf("ended after %v by %v", after, err)
		}
		if len(w.sent) == 0 {
			t.Error("no heartbeat went out")
		}
	})
}

// TestHeartbeatsKeepALinkAlive: two ends that have nothing to say stay together, and each says so every 1.25 s at most.
func TestHeartbeatsKeepALinkAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := new(wire)
		l, ended := lineIn(w)
		for range 60 {
			time.Sleep(1250 * time.Millisecond) // as late as a heartbeat may be
			l.heard.Store(true)
		}
		if l.ctx.Err() != nil {
			t.Fatalf("the link has ended by %v", context.Cause(l.ctx))
		}
		w.mu.Lock()
		last := time.Duration(0)
		for _, at := range append(w.sent, time.Since(w.began)) {
			if at-last > 1250*time.Millisecond {
				t.Errorf("nothing was said from %v to %v", last, at)
			}
			last = at
		}
		w.mu.Unlock()
		l.cancel(errClosed)
		ended()
	})
}

// TestStallIsFound: a peer that speaks and takes nothing.
func TestStallIsFound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &wire{takes: make(chan struct{})}
		l, ended := lineIn(w)
		l.out.put(frame.AppendHeartbeat)
		speaking, stop := context.WithCancel(context.Background())
		var peer sync.WaitGroup
		peer.Go(func() {
			for speaking.Err() == nil {
				time.Sleep(100 * time.Millisecond)
				l.heard.Store(true)
			}
		})
		after, err := ended()
		if !errors.Is(err, errStalled) || after < 2*time.Second || after > 2500*time.Millisecond {
			t.Errorf("ended after %v by %v", after, err)
		}
		stop()
		peer.Wait()
	})
}

// TestSlowIsNotStalled: a peer that takes a batch every two seconds is slow.
func TestSlowIsNotStalled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &wire{takes: make(chan struct{})}
		l, ended := lineIn(w)
		for range 20 {
			l.out.put(frame.AppendHeartbeat)
			time.Sleep(1900 * time.Millisecond)
			l.heard.Store(true)
			w.takes <- struct{}{}
			synctest.Wait()
		}
		if l.ctx.Err() != nil {
			t.Errorf("the link has ended by %v", context.Cause(l.ctx))
		}
		l.cancel(errClosed)
		ended()
	})
}

// TestFramesShareABatch: what is put while a batch is on its way is the next one, in order, and what is put beyond a batch's size is
// the one after.
func TestFramesShareABatch(t *testing.T) {
	o := newOutbox(64<<20, func() { t.Error("the outbox is full") })
	credit := func(n int) { o.put(func(b []byte) []byte { return frame.AppendCredit(b, 1, n) }) }
	credit(1)
	first := o.next(t.Context())
	for i := 2; i <= 1000; i++ {
		credit(i)
	}
	want := uint64(1)
	read := func(b *batch) (n int) {
		r, f := frame.Read(b.bytes), frame.Frame{}
		for ; r.Next(&f); n++ {
			if f.Value != want {
				t.Fatalf("frame %d comes where %d was next", f.Value, want)
			}
			want++
		}
		return n
	}
	if n := read(first); n != 1 {
		t.Errorf("%d frames in the first batch", n)
	}
	if n := read(o.next(t.Context())); n != 999 {
		t.Errorf("%d frames in the second", n)
	}
	for i := 1001; i <= 21000; i++ {
		credit(i)
	}
	for want <= 21000 {
		b := o.next(t.Context())
		if read(b); len(b.bytes) > batchBytes+100 {
			t.Errorf("a batch of %d bytes", len(b.bytes))
		}
	}
}
