package gateway

import (
	"context"
	"errors"

	"ramen/gateway/mailbox"
	"ramen/link"
	"ramen/store"
)

// step is what one write does to one mailbox.
type step struct {
	mailbox.Step
	box *box

	// owned by who runs the job
	job     *job // that makes and writes it
	asked   []*op
	making  bool        // it has begun, and is not the store's yet
	call    *appendCall // nil: there is nothing to write
	err     error       // the store's answer
	refused error       // why the shard takes no write; set with box.mu held
	alone   bool        // it probes, and writes nothing
	probe   probe
	// replaces: it probes alone a mailbox whose last position does not tell of all that the store may have lost
	replaces bool

	waiting []*op // for the next step of the mailbox; guarded by box.mu
}

// begin makes s the step of b that j makes. With b.mu held.
func (s *step) begin(b *box, j *job) {
	s.box, s.job, s.making = b, j, true
	if s.refused = b.beginWrite(); s.refused == nil {
		s.Begin(&b.Mailbox)
	}
}

// isEmpty reports that there is nothing to write.
func (s *step) isEmpty() bool { return s.refused != nil || s.IsEmpty() }

// add takes one op into the step, or answers it without, and reports whether it is to be written. With s.box.mu held.
func (s *step) add(o *op, now mailbox.Instant) (taken bool) {
	s.asked = append(s.asked, o)
	g := s.box.g
	switch {
	case s.refused != nil:
		o.Reject(s.refused)
	case !s.box.live(): // given up since the step began
		o.Reject(s.box.refusal())
	case o.Message != nil:
		if !s.IsNew(&o.Op, now.MS) {
			return false
		}
		if err := g.admit(o.Message.Priority); err != nil {
			o.Reject(err)
			return false
		}
		s.Publish(&o.Op, now)
		return o.Err == nil
	case o.Recall != "":
		s.Recall(&o.Op, now.MS)
		return true
	case o.probe.asked:
		s.Probe()
		s.probe = s.probe.and(o.probe)
		return true
	}
	return false
}

// submit is before the step is written: nothing is added any more. It reports whether there is something to write.
func (s *step) submit() bool {
	s.making = false
	if s.isEmpty() {
		return false
	}
	if s.alone = s.ProbesAlone(); s.alone {
		s.box.lock()
		tells := s.box.Marked() && s.box.Last().Micros < s.probe.since
		s.replaces = s.box.g.mender.replacer != nil && !tells
		s.box.unlock()
	}
	return true
}

// finish puts the step into effect once the store has answered, or takes it back, or keeps it in doubt. The streams that may have
// something to push are added to all; next is the mailbox's next step, for its job to make, where something waits for it.
func (s *step) finish(all *[]*stream) (next *step) {
	b := s.box
	if s.refused == nil {
		defer b.endWrite() // once b is unlocked
	}
	b.lock()
	defer b.unlock()
	s.applyOutcome(s.err)
	s.tellProbes()
	for st := b.streams; st != nil; st = st.next {
		*all = append(*all, st)
	}
	if len(s.waiting) > 0 {
		next = s.job.spares.step()
		next.box, next.job = b, s.waiting[0].job
		next.waiting, s.waiting = s.waiting, next.waiting
	}
	b.step = next
	return next
}

// applyOutcome applies the outcome of the step to the mailbox, with s.box.mu held. What the store has of a step whose shard was lost meanwhile is the next owner's
// to see.
func (s *step) applyOutcome(err error) {
	b := s.box
	var told error
	if err != nil {
		told = b.storeAnswer("append", err)
	}
	switch {
	case s.call == nil: // nothing was written
	case !b.holds():
		if !errors.Is(err, store.ErrFenced) {
			told = link.ErrLost
		}
		s.Abandon(told)
	case err == nil:
		if s.Apply(b.g.nowMS()) {
			b.inDoubtBytes.Store(0)
			b.g.release(b)
		}
	case unknown(err):
		if s.KeepInDoubt(told) {
			b.g.pin(b)
		}
		if b.InDoubt() {
			b.inDoubtBytes.Store(int32(b.InDoubtBytes()))
			b.sweepAgain(b.g.nowMS() + 1000)
		}
	default:
		s.Undo(told)
	}
}

// errNotProbed is the outcome of a probe that came with a write: what the write does not tell of is to be asked for.
var errNotProbed = errors.New("gateway: the mailbox was written, and not probed")

// tellProbes gives the outcome of those who asked whether the store has what it has answered.
func (s *step) tellProbes() {
	for _, o := range s.asked {
		switch {
		case !o.probe.asked || o.Err != nil:
		case s.err != nil:
			o.Err = s.err
			if err := s.box.gate(); err != nil {
				o.Err = err
			}
		case !s.alone:
			o.Err = errNotProbed
		}
	}
}

// unknown reports whether a write that was answered err may have happened.
func unknown(err error) bool {
	return errors.Is(err, store.ErrUnknown) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
}
