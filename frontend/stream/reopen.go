package stream

import (
	"context"
	"errors"
	"sync"

	"ramen/link"
	"ramen/protocol"
)

// reconnect is what a stream needs whose gateway was lost, until it has another.
type reconnect struct {
	lostMS  int64  // when it was detached
	retryMS int64  // when to look for the owner again; 0: a re-open is queued or under way
	lateAck string // a cursor that came meanwhile and is not in the ring
}

var reconnects = sync.Pool{New: func() any { return new(reconnect) }}

func (s *Stream) ensureReconnectLocked() *reconnect {
	if s.reconnect == nil {
		s.reconnect = reconnects.Get().(*reconnect)
	}
	return s.reconnect
}

func (s *Stream) releaseReconnectLocked() {
	if r := s.reconnect; r != nil {
		s.reconnect = nil
		*r = reconnect{}
		reconnects.Put(r)
	}
}

// retryDueLocked reports whether the owner is to be looked for again now. Who is told so queues the stream.
func (s *Stream) retryDueLocked(now int64) bool {
	r := s.reconnect
	if s.state != detached || r.retryMS == 0 || r.retryMS > now {
		return false
	}
	r.retryMS = 0
	return true
}

// abandonLocked is when a detached stream has looked for an owner for too long.
func (s *Stream) abandonLocked() int64 {
	lost := s.reconnect.lostMS
	return lost + s.set.cfg.DetachedTime.Milliseconds() + s.PausedMS(lost)
}

// reopener finds the new owner for streams that lost theirs: a bounded number at once, in the order in which they were lost.
// Goroutines: up to limit while there is work, none otherwise.
type reopener struct {
	ctx   context.Context
	limit int
	wg    sync.WaitGroup

	mu      sync.Mutex
	closed  bool
	workers int
	queue   []*Stream
}

// add queues s. A stream is queued once at a time: by whoever made it detached, found its retry due, or has an owner for it.
func (r *reopener) add(s *Stream) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return
	}
	r.queue = append(r.queue, s)
	if r.workers < r.limit {
		r.workers++
		r.wg.Go(r.work)
	}
}

func (r *reopener) work() {
	for {
		r.mu.Lock()
		if len(r.queue) == 0 || r.closed {
			r.workers--
			r.mu.Unlock()
			return
		}
		s := r.queue[0]
		r.queue[0] = nil
		if r.queue = r.queue[1:]; len(r.queue) == 0 {
			r.queue = nil
		}
		r.mu.Unlock()
		s.reopen(r.ctx)
	}
}

// close waits for the workers; the context is over by then.
func (r *reopener) close() {
	r.mu.Lock()
	r.closed, r.queue = true, nil
	r.mu.Unlock()
	r.wg.Wait()
}

// reopen asks the owner for the stream as it stands, and goes on there.
func (s *Stream) reopen(ctx context.Context) {
	s.mu.Lock()
	if s.state != detached {
		s.mu.Unlock()
		return
	}
	s.lost = notDetached
	o := link.Open{
		Generation: link.Generation(s.opens), User: s.User(), Device: s.Device(), Transport: s.transport, Context: s.context, Window: int(s.window),
		Route:  link.Route{Epoch: s.shard().least()}, // the Opener asks nobody below
		Number: s.number, Seq: s.sent, Acked: s.acked, Sent: s.ring.sent(s.ackedLocked()),
	}
	told := asked{acked: s.ackedLocked(), context: s.context}
	s.mu.Unlock()

	lk, opened, err := s.set.opener.Open(ctx, s.set.cfg.DetachedTime, o, s)
	if err != nil {
		s.reopenFailed(ctx, err)
		return
	}
	s.reattach(lk, opened, told)
}

// The pause before a re-open that found no owner is tried again, in ms: the least, and what chance adds.
const (
	reopenPauseMS  = 100
	reopenJitterMS = 400
)

// reopenFailed tries again a little later, or ends the stream where that is of no use.
func (s *Stream) reopenFailed(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return // the server closes, and ends the stream itself
	}
	reason, detail := EndOf(err)
	s.set.metrics.reopens[failLabel(reason)].Inc()
	retry := int64(0)
	s.mu.Lock()
	if s.state == detached && reason == protocol.ReasonUnavailable {
		now := s.set.clock.now()
		if now < s.abandonLocked() {
			retry = now + reopenPauseMS + s.set.draw(reopenJitterMS)
			s.reconnect.retryMS = retry
		}
	}
	s.mu.Unlock()
	if retry == 0 {
		s.Finish(reason, detail)
		return
	}
	s.timers().reschedule(s, retry)
}

func failLabel(r protocol.Reason) string {
	switch r {
	case protocol.ReasonUnavailable, protocol.ReasonSuperseded:
		return r.String()
	}
	return "refused"
}

// EndOf is what an open's error means to its stream.
func EndOf(err error) (protocol.Reason, string) {
	var e *protocol.Error
	switch {
	case errors.As(err, &e):
		return protocol.ReasonOf(e.Code), e.Message
	case errors.Is(err, link.ErrSuperseded):
		return protocol.ReasonSuperseded, "a newer stream of the device is open"
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, link.ErrLost), errors.Is(err, link.ErrNotOwner):
		return protocol.ReasonUnavailable, "no owner of the user answered in time"
	}
	return protocol.ReasonInternal, "the stream could not be opened"
}
