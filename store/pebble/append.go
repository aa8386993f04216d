package pebble

import (
	"context"
	"fmt"

	"ramen/protocol"
	"ramen/store"
)

// Append implements store.Store: all of it is in one group, and is answered in the caller's goroutine before Append returns. Where an
// element's error is ErrFull or ErrStalled, nothing of it was done.
func (s *Store) Append(ctx context.Context, batch []store.Append, answer func(i int, err error)) {
	errs := failures{n: len(batch)}
	bytes := 0
	for i := range batch {
		n, err := s.acceptable(&batch[i], bytes)
		if err != nil {
			errs.set(i, err)
		}
		bytes += n
	}
	var err error
	if !errs.all() {
		err = s.commit(ctx, durable, &errs, func(o *ops, errs *failures) { s.appendOps(o, batch, errs) })
	}
	for i := range batch {
		e := err
		if errs.has(i) {
			e = errs.errs[i]
		}
		if e != nil {
			e = fmt.Errorf("store/pebble: append user %q: %w", batch[i].User, e)
		}
		answer(i, e)
	}
}

// acceptable refuses what must not be written before anything is. It answers a's bytes, which come on top of before. What
// is in one step with a higher priority goes with it: low messages whose first write was unsure do not hold up high ones.
func (s *Store) acceptable(a *store.Append, before int) (bytes int, err error) {
	if err := checkAppend(a); err != nil {
		return 0, err
	}
	if len(a.Entries) == 0 {
		err = s.diskSpace.admitRest()
	} else {
		highest := protocol.PriorityLow
		for i := range a.Entries {
			m := a.Entries[i].Message
			bytes += m.Size()
			highest = min(highest, m.Priority)
		}
		err = s.diskSpace.admit(highest, before+bytes)
	}
	if err != nil {
		return 0, err
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
			return fmt.Errorf("entry %d needs a message of high, medium or low priority", i)
		}
	}
	if err := checkRefs(a.Kills); err != nil {
		return fmt.Errorf("kills: %w", err)
	}
	return nil
}

// appendOps runs with the queue held. It writes what has not failed, and is not fenced.
func (s *Store) appendOps(o *ops, batch []store.Append, errs *failures) {
	for i := range batch {
		a := &batch[i]
		if errs.has(i) {
			continue
		}
		if err := s.epochs.check(a.Owner); err != nil {
			errs.set(i, err)
			continue
		}
		o.mailbox(a.Shard, a.User)
		for j := range a.Entries {
			o.message(&a.Entries[j])
		}
		for _, k := range a.Kills { // behind the entries: it may be one of them
			o.drop(k)
		}
	}
}
