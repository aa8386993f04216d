package pebble

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	engine "github.com/cockroachdb/pebble/v2"

	"ramen/protocol"
	"ramen/store"
)

// rows writes rows into a group's batch. Its buffers are used with the queue held only.
type rows struct {
	key, value, head []byte
}

func (r *rows) entry(b *engine.Batch, a *store.Append, e *store.Entry, bucket int64) {
	m := e.Message
	r.key = appendMessageKey(r.key[:0], a.Shard, a.User, store.Ref{Priority: m.Priority, Position: e.Position})
	r.value, r.head = appendEntry(r.value[:0], e, r.head)
	_ = b.Set(r.key, r.value, nil) // a batch in memory does not fail, here and below
	r.key = append(appendIDPrefix(r.key[:0], bucket, a.Shard, a.User), m.ID...)
	r.value = binary.BigEndian.AppendUint64(r.value[:0], uint64(m.CreatedMS))
	_ = b.Set(r.key, r.value, nil)
}

func (r *rows) drop(b *engine.Batch, shard protocol.ShardID, user protocol.UserID, ref store.Ref) {
	r.key = appendMessageKey(r.key[:0], shard, user, ref)
	_ = b.Delete(r.key, nil)
}

func (r *rows) device(b *engine.Batch, d *store.DeviceSave) {
	r.key = appendDeviceKey(r.key[:0], d.Shard, d.User, d.Device.ID)
	if d.Remove {
		_ = b.Delete(r.key, nil)
		return
	}
	r.value = appendDevice(r.value[:0], &d.Device)
	_ = b.Set(r.key, r.value, nil)
}

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
	g, err := s.commits.join(ctx, true, func(b *engine.Batch) { written = s.appendRows(b, batch, errs) })
	if err == nil && written > 0 {
		err = s.commits.wait(ctx, g)
	}
	if err != nil {
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

// appendRows runs with the queue held. It answers for how many elements there are rows in b.
func (s *Store) appendRows(b *engine.Batch, batch []store.Append, errs []error) (written int) {
	bucket := s.buckets.at(s.nowMS())
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
		for j := range a.Entries {
			e := &a.Entries[j]
			for _, ref := range s.orphans.take(orphanKey{a.Shard, a.User, e.Message.ID}) {
				s.rows.drop(b, a.Shard, a.User, ref)
			}
			s.rows.entry(b, a, e, bucket)
		}
		for _, k := range a.Kills { // behind the entries: it may be one of them
			s.rows.drop(b, a.Shard, a.User, k)
		}
	}
	return written
}
