package linktest

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ramen/link"
	"ramen/protocol"
)

// Patience is how long a test waits for what must come.
const Patience = 10 * time.Second

// generations gives each recorder another, so that no two tests agree by chance.
var generations atomic.Uint32

// recorder is the frontend's end of a stream. It fails on a call that carries another generation than its own.
type recorder struct {
	t          *testing.T
	generation link.Generation             // for its Open
	within     func(batch []protocol.Push) // called in Push; may call the stream

	mu      sync.Mutex
	changed chan struct{} // closed and replaced with each change
	pushes  []protocol.Push
	acked   []protocol.Seq
	order   []string // of all calls
	reason  protocol.Reason
	detail  string
	loss    link.Loss
	over    bool // closed or lost
	closed  bool // the test has called Close
	spare   int  // calls that may still come then: the one that is under way, as the gateway sees it
	inside  bool
}

var _ link.Receiver = (*recorder)(nil)

func newRecorder(t *testing.T) *recorder {
	return &recorder{t: t, generation: link.Generation(generations.Add(1)), changed: make(chan struct{})}
}

func (r *recorder) call(name string, g link.Generation, f func()) {
	r.mu.Lock()
	if g != r.generation {
		r.t.Errorf("%s carries generation %d; the open had %d", name, g, r.generation)
	}
	if r.over || r.closed && r.spare == 0 {
		r.t.Errorf("%s after the last call", name)
	}
	if r.closed {
		r.spare--
	}
	if r.inside {
		r.t.Errorf("%s while another call is under way", name)
	}
	r.inside = true
	r.order = append(r.order, name)
	r.mu.Unlock()
	f()
	r.mu.Lock()
	r.inside = false
	close(r.changed)
	r.changed = make(chan struct{})
	r.mu.Unlock()
}

func (r *recorder) Push(g link.Generation, batch []protocol.Push, _ bool) {
	r.call("push", g, func() {
		r.mu.Lock()
		r.pushes = append(r.pushes, batch...)
		r.mu.Unlock()
		if r.within != nil {
			r.within(batch)
		}
	})
}

func (r *recorder) Acked(g link.Generation, seq protocol.Seq) {
	r.call("acked", g, func() { r.mu.Lock(); r.acked = append(r.acked, seq); r.mu.Unlock() })
}

func (r *recorder) Closed(g link.Generation, reason protocol.Reason, detail string) {
	r.call("closed", g, func() { r.mu.Lock(); r.reason, r.detail, r.over = reason, detail, true; r.mu.Unlock() })
}

func (r *recorder) Lost(g link.Generation, l link.Loss) {
	r.call("lost", g, func() { r.mu.Lock(); r.loss, r.over = l, true; r.mu.Unlock() })
}

// close closes the stream as a frontend does.
func (r *recorder) close(s link.Stream) {
	s.Close(protocol.ReasonGone)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	if !r.inside {
		r.spare = 1
	}
}

// wait waits until ok, which is asked with the lock held.
func (r *recorder) wait(what string, ok func() bool) {
	r.t.Helper()
	await(r.t, what, func() (bool, <-chan struct{}) {
		r.mu.Lock()
		defer r.mu.Unlock()
		return ok(), r.changed
	})
}

func (e *end) wait(t *testing.T, what string, ok func() bool) {
	t.Helper()
	await(t, what, func() (bool, <-chan struct{}) {
		e.mu.Lock()
		defer e.mu.Unlock()
		return ok(), e.changed
	})
}

func await(t *testing.T, what string, ask func() (bool, <-chan struct{})) {
	t.Helper()
	late := time.NewTimer(Patience)
	defer late.Stop()
	for {
		ok, changed := ask()
		if ok {
			return
		}
		select {
		case <-changed:
		case <-late.C:
			t.Fatalf("waited %v for %s", Patience, what)
		}
	}
}
