package gateway

import (
	"sync"
	"time"

	"ramen/protocol"
)

// ackDeadlines are the streams whose window is full, each with the time at which it ends unless something is acked.
type ackDeadlines struct {
	looked time.Time // when over was last called; owned by the sweeper

	mu sync.Mutex
	at map[*stream]time.Time // guarded by mu
}

// longSleep is how long the sweeper must not have looked for the process not to have run: it was stopped, or frozen with its
// container. Its sleeps are a quarter of it.
const longSleep = time.Second

func (t *ackDeadlines) init() { t.at = make(map[*stream]time.Time) }

func (t *ackDeadlines) add(s *stream, at time.Time) {
	t.mu.Lock()
	t.at[s] = at
	t.mu.Unlock()
}

func (t *ackDeadlines) remove(s *stream) {
	t.mu.Lock()
	delete(t.at, s)
	t.mu.Unlock()
}

// over is the streams whose time has come. Time in which the process did not run is no time that they had: acks that came
// meanwhile are yet to be read.
func (t *ackDeadlines) over(now time.Time) (over []*stream) {
	paused := now.Sub(t.looked)
	if t.looked.IsZero() || paused < longSleep {
		paused = 0
	}
	t.looked = now
	t.mu.Lock()
	defer t.mu.Unlock()
	for s, at := range t.at {
		if paused > 0 {
			at = at.Add(paused)
			t.at[s] = at
		}
		if !now.Before(at) {
			over = append(over, s)
		}
	}
	return over
}

// endStalled ends the streams that acked nothing for too long with a full window. SPEC 2.9.
func (g *Gateway) endStalled() {
	for _, s := range g.ackDeadlines.over(time.Now()) {
		s.box.lock()
		if s.timed && !s.detached() {
			s.endIfFull()
		}
		s.box.unlock()
		s.deliver()
	}
}

// endIfFull ends the stream whose time to ack is over, unless there is room in its window after all. With box.mu held.
func (s *stream) endIfFull() {
	g := s.box.g
	if s.StillFull(g.nowMS()) {
		limit := g.cfg.ackTimeout(s.Device().Transport())
		s.close(protocol.ReasonAckTimeout, "the window is full and nothing was acked for "+limit.String()+"; ack pushes once they are processed")
		return
	}
	s.timed = false
	g.ackDeadlines.remove(s)
}
