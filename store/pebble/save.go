package pebble

import (
	"context"
	"fmt"

	"ramen/protocol"
	"ramen/store"
)

// Claim implements store.Store.
func (s *Store) Claim(ctx context.Context, shards []protocol.ShardID, epoch protocol.Epoch, owner string) []error {
	return s.write(ctx, durable, len(shards), "claim shard", func(o *ops, errs *failures) {
		taken := make([]protocol.ShardID, 0, len(shards))
		for i, shard := range shards {
			if err := s.epochs.claim(shard, epoch, owner); err != nil {
				errs.set(i, err)
			} else {
				taken = append(taken, shard)
			}
		}
		if len(taken) > 0 {
			o.claim(taken, epoch, owner)
		}
	})
}

// SaveDevices implements store.Store. An element with an error is as it was, but for ErrUnknown.
func (s *Store) SaveDevices(ctx context.Context, batch []store.DeviceSave, durably bool) []error {
	how := lazily
	if durably {
		how = shared
	}
	return s.write(ctx, how, len(batch), "save device", func(o *ops, errs *failures) {
		for i := range batch {
			d := &batch[i]
			if err := s.checkWrite(d.Owner, d.User); err != nil {
				errs.set(i, err)
				continue
			}
			o.mailbox(d.Shard, d.User)
			o.device(d)
		}
	})
}

// Forget implements store.Store. An element with an error is as it was, but for ErrUnknown.
func (s *Store) Forget(ctx context.Context, batch []store.Forget) []error {
	return s.write(ctx, lazily, len(batch), "forget", func(o *ops, errs *failures) {
		for i := range batch {
			f := &batch[i]
			err := s.checkWrite(f.Owner, f.User)
			if err == nil {
				err = checkRefs(f.Refs)
			}
			if err != nil {
				errs.set(i, err)
				continue
			}
			o.mailbox(f.Shard, f.User)
			for _, ref := range f.Refs {
				o.drop(ref)
			}
		}
	})
}

// checkWrite refuses what must not be written.
func (s *Store) checkWrite(at store.Owner, user protocol.UserID) error {
	err := checkUser(user)
	if err == nil {
		err = s.epochs.check(at)
	}
	if err != nil {
		return fmt.Errorf("user %q: %w", user, err)
	}
	return nil
}

// checkRefs refuses what could not be read again out of the journal.
func checkRefs(refs []store.Ref) error {
	for i, ref := range refs {
		if !validPriority(ref.Priority) {
			return fmt.Errorf("ref %d needs high, medium or low priority", i)
		}
	}
	return nil
}

// write has the ops written that add puts into a group, for all of n elements but those that it says have failed.
func (s *Store) write(ctx context.Context, how urgency, n int, what string, add func(*ops, *failures)) []error {
	if n == 0 {
		return nil
	}
	errs := failures{n: n}
	err := s.diskSpace.admitRest()
	if err == nil {
		err = s.commit(ctx, how, &errs, add)
	}
	return errs.fill(what, err)
}

// commit waits until what add has put into a group is written.
func (s *Store) commit(ctx context.Context, how urgency, errs *failures, add func(*ops, *failures)) error {
	g, err := s.commits.join(ctx, how, func(o *ops) bool {
		add(o, errs)
		return !errs.all()
	})
	if err != nil || errs.all() {
		return err
	}
	return s.commits.wait(ctx, g)
}

// failures is the errors of a call's elements: nearly always there are none.
type failures struct {
	n      int
	failed int
	errs   []error // by element; nil: none
}

func (f *failures) set(i int, err error) {
	if f.errs == nil {
		f.errs = make([]error, f.n)
	}
	f.errs[i] = err
	f.failed++
}

// has reports that element i has failed.
func (f *failures) has(i int) bool { return f.errs != nil && f.errs[i] != nil }

// all reports that every element has failed.
func (f *failures) all() bool { return f.failed == f.n }

// fill is the errors of all elements, err being that of those that have none of their own; nil where there is none.
func (f *failures) fill(what string, err error) []error {
	if err == nil && f.failed == 0 {
		return nil
	}
	all := make([]error, f.n)
	for i := range all {
		e := err
		if f.has(i) {
			e = f.errs[i]
		}
		if e != nil {
			all[i] = fmt.Errorf("store/pebble: %s: %w", what, e)
		}
	}
	return all
}
