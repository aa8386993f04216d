package gateway

import (
	"context"
	"errors"
	"fmt"

	"ramen/gateway/mailbox"
	"ramen/link"
	"ramen/store"
)

// step is what one write does to one mailbox.
type step struct {
	mailbox.Step
	box *box
}

// add takes one op into the step, or answers it at once. With s.box.mu held.
func (s *step) add(o *op, now mailbox.Instant) {
	g := s.box.g
	switch {
	case s.box.over.Load():
		o.Reject(errMoved)
	case o.Message != nil:
		if !s.IsNew(&o.Op, now.MS) {
			return
		}
		if err := g.admit(o.Message.Priority); err != nil {
			o.Reject(err)
			return
		}
		s.Publish(&o.Op, now)
	case o.Recall != "":
		s.Recall(&o.Op, now.MS)
	}
}

// finish puts the step into effect once the store has answered, or takes it back, or keeps it in doubt.
func (s *step) finish(err error) {
	b := s.box
	if err == nil && !b.g.holdsLease() {
		err = fmt.Errorf("%w: the lease ended while the store was writing", store.ErrUnknown)
	}
	b.lock()
	defer b.unlock()
	switch {
	case b.over.Load():
		told := link.ErrLost
		if errors.Is(err, store.ErrFenced) {
			told = link.ErrNotOwner
		}
		s.Abandon(told)
	case err == nil:
		if s.Apply() {
			b.inDoubtBytes.Store(0)
			b.g.release(b)
		}
	case unknown(err):
		if s.KeepInDoubt(b.g.storeAnswer(b.Owner, "append", err)) {
			b.g.pin(b)
		}
		if b.InDoubt() {
			b.inDoubtBytes.Store(int32(b.InDoubtBytes()))
			b.sweepAgain(b.g.nowMS() + 1000)
		}
	default:
		s.Undo(b.g.storeAnswer(b.Owner, "append", err))
	}
}

// unknown reports whether a write that was answered err may have happened.
func unknown(err error) bool {
	return errors.Is(err, store.ErrUnknown) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
}
