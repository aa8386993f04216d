package frontend

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"

	"ramen/link"
	"ramen/protocol"
)

// reopens finds the new owner for streams that lost theirs: a bounded number at once, in the order in which they were lost.
// Goroutines: up to limit while there is work, none otherwise.
type reopens struct {
	ctx   context.Context
	limit int
	wg    sync.WaitGroup

	mu      sync.Mutex
	closed  bool
	workers int
	queue   []*stream
}

// add queues s. A stream is queued once at a time: by whoever made it detached, or set its retry.
func (r *reopens) add(s *stream) {
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

func (r *reopens) work() {
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
func (r *reopens) close() {
	r.mu.Lock()
	r.closed, r.queue = true, nil
	r.mu.Unlock()
	r.wg.Wait()
}

// reopen asks the owner for the stream as it stands, and takes it up there.
func (s *stream) reopen(ctx context.Context) {
	s.mu.Lock()
	if s.state != detached {
		s.mu.Unlock()
		return
	}
	s.lost = false
	o := link.Open{
		User: s.user(), Device: s.device(), Transport: s.transport, Context: s.context, Window: int(s.window),
		Number: s.number, Seq: s.sent, Acked: s.acked, Sent: s.ring.sent(s.ackedLocked()),
	}
	asked := place{acked: s.ackedLocked(), context: s.context}
	s.mu.Unlock()

	lk, opened, err := s.srv.router.Open(ctx, o, s)
	if err != nil {
		s.reopenFailed(ctx, err)
		return
	}
	s.reattach(lk, opened, asked)
}

// place is what the owner was told with a re-open. What the device says while that is under way is told after it.
type place struct {
	acked   protocol.Seq
	context *protocol.DeviceContext
}

// reattach makes a detached stream live at its new owner.
func (s *stream) reattach(lk link.Stream, o link.Opened, asked place) {
	s.mu.Lock()
	if s.state != detached { // ended meanwhile
		s.mu.Unlock()
		lk.Close()
		return
	}
	if s.lost {
		s.mu.Unlock()
		s.srv.reopens.add(s)
		return
	}
	s.link, s.state, s.number = lk, live, o.Number
	s.rttMS = 0 // the new owner does not know it
	give := s.credit() - int(s.owed)
	s.due = int32(min(give, 0)) // one push beyond the credit may wait for the socket: it is owed before more is given
	acked, ackedSeq, sent, context := s.acked, s.ackedLocked(), s.sent, s.context
	x := s.strainLocked()
	late := x.lateAck
	x.lateAck = ""
	s.mu.Unlock()

	if o.Seq != sent {
		// Another place than this socket's: the store was wiped, say. Only a new hello can say so.
		s.finish(protocol.ReasonUnavailable, "the new owner of the user does not know this stream's place: open another")
		return
	}
	s.srv.metrics.reopens["ok"].Inc()
	if ackedSeq > asked.acked {
		lk.Ack(ackedSeq, acked)
	}
	if context != asked.context {
		lk.Refresh(context)
	}
	if late != "" {
		lk.Ack(0, late)
	}
	if give > 0 {
		lk.Credit(give)
	}
}

// retry pause of a re-open that found no owner, ms: the least, and what chance adds.
const (
	reopenPauseMS  = 100
	reopenJitterMS = 400
)

// reopenFailed tries again a little later, or ends the stream where that is of no use.
func (s *stream) reopenFailed(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return // the server closes, and ends the stream itself
	}
	reason, detail := endOf(err)
	s.srv.metrics.reopens[failLabel(reason)].Inc()
	now := s.srv.clock.now()
	s.mu.Lock()
	x := s.strainLocked()
	again := s.state == detached && reason == protocol.ReasonUnavailable && now-x.lostMS-s.srv.wheel.pauses.since(x.lostMS) < s.srv.cfg.DetachedTime.Milliseconds()
	if again {
		x.retryMS = now + reopenPauseMS + rand.Int64N(reopenJitterMS)
	}
	retry := x.retryMS
	s.mu.Unlock()
	if !again {
		s.finish(reason, detail)
		return
	}
	s.srv.wheel.sooner(s, retry)
}

func failLabel(r protocol.Reason) string {
	switch r {
	case protocol.ReasonUnavailable, protocol.ReasonSuperseded:
		return r.String()
	}
	return "refused"
}

// endOf is what an open's error means to its stream.
func endOf(err error) (protocol.Reason, string) {
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
