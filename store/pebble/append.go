package pebble

import (
	"context"
	"errors"
	"fmt"

	"ramen/protocol"
	"ramen/store"
)

// Append implements store.Store. Where an element's error is ErrFull or ErrStalled, nothing of it was done.
func (s *Store) Append(ctx context.Context, batch []store.Append) []error {
	errs := make([]error, len(batch))
	todo, bytes := 0, 0
	for i := range batch {
		n := 0
		if n, errs[i] = s.acceptable(&batch[i], bytes); errs[i] == nil {
			todo++
			bytes += n
		}
	}
	if todo == 0 {
		return errs
	}
	written := 0
	var taken []orphan
	g, err := s.commits.join(ctx, durable, func(o *ops) bool {
		written, taken = s.appendOps(o, batch, errs)
		return written > 0
	})
	if err == nil && written > 0 {
		err = s.commits.wait(ctx, g)
	}
	if err != nil {
		s.orphans.putBack(taken) // where their rows went all the same, it does no harm
		s.failRest(batch, errs, err)
	}
	return errs
}

// failRest gives err to every element that has no error of its own.
func (s *Store) failRest(batch []store.Append, errs []error, err error) {
	unknown := errors.Is(err, store.ErrUnknown)
	for i := range batch {
		if errs[i] != nil {
			continue
		}
		errs[i] = fmt.Errorf("store/pebble: append user %q: %w", batch[i].User, err)
		if unknown {
			s.orphans.add(&batch[i])
		}
	}
}

// acceptable refuses what must not be written before anything is. It answers a's bytes, which come on top of before. What
// is in one step with a higher priority goes with it: low messages whose first write was unsure do not hold up high ones.
func (s *Store) acceptable(a *store.Append, before int) (bytes int, err error) {
	if err := checkAppend(a); err != nil {
		return 0, fmt.Errorf("store/pebble: append: %w", err)
	}
	if len(a.Entries) == 0 {
		err = s.space.admitRest()
	} else {
		highest := protocol.PriorityLow
		for i := range a.Entries {
			m := a.Entries[i].Message
			bytes += m.Size()
			highest = min(highest, m.Priority)
		}
		err = s.space.admit(highest, before+bytes)
	}
	if err != nil {
		return 0, fmt.Errorf("store/pebble: append user %q: %w", a.User, err)
	}
	return bytes, nil
}

func checkAppend(a *store.Append) error {
	if err := checkUser(a.User); err != nil {
		return err
	}
	for i := range a.Entries {
		m := a.Entries[i].Message
		if m == nil || !validPriority(m.Priority) {
			return fmt.Errorf("user %q: entry %d needs a message of high, medium or low priority", a.User, i)
		}
	}
	for i, k := range a.Kills {
		if !validPriority(k.Priority) {
			return fmt.Errorf("user %q: kill %d needs high, medium or low priority", a.User, i)
		}
	}
	return nil
}

// appendOps runs with the queue held. It answers for how many elements there are ops in o, and the orphans that go with them.
func (s *Store) appendOps(o *ops, batch []store.Append, errs []error) (written int, taken []orphan) {
	for i := range batch {
		a := &batch[i]
		if errs[i] != nil {
			continue
		}
		if err := s.epochs.check(a.Owner); err != nil {
			errs[i] = fmt.Errorf("store/pebble: append user %q: %w", a.User, err)
			continue
		}
		written++
		o.mailbox(a.Shard, a.User)
		for j := range a.Entries {
			e := &a.Entries[j]
			key := orphanKey{a.Shard, a.User, e.Message.ID}
			for _, ref := range s.orphans.take(key) {
				o.drop(ref)
				taken = append(taken, orphan{key, ref})
			}
			o.message(e)
		}
		for _, k := range a.Kills { // behind the entries: it may be one of them
			o.drop(k)
		}
	}
	return written, taken
}
