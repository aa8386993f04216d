package memory

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	"ramen/protocol"
	"ramen/store"
)

// Store is one opening of a Disk.
type Store struct {
	disk   *Disk
	script atomic.Pointer[Script]
	closed atomic.Bool
}

var (
	_ store.Store         = (*Store)(nil)
	_ store.ExpiryScanner = (*Store)(nil)
	_ store.Admitter      = (*Store)(nil)
	_ store.Enumerator    = (*Store)(nil)
	_ store.Adopter       = (*Store)(nil)
)

// New is a Store on a Disk of its own.
func New() *Store { return NewDisk(Config{}).Open() }

// Identity implements store.Store.
func (s *Store) Identity() store.Identity { return s.disk.identity }

// LastEpoch implements store.Store.
func (s *Store) LastEpoch(context.Context) (protocol.Epoch, error) {
	if s.closed.Load() {
		return 0, store.ErrClosed
	}
	s.disk.mu.Lock()
	defer s.disk.mu.Unlock()
	return s.disk.last, nil
}

// Claim implements store.Store. The script is asked for each shard.
func (s *Store) Claim(ctx context.Context, shards []protocol.ShardID, epoch protocol.Epoch, owner string) []error {
	return each(shards, func(shard protocol.ShardID) error {
		op := Op{Kind: OpClaim, Owner: store.Owner{Shard: shard, Epoch: epoch}}
		return wrap("claim", s.step(ctx, op, func(d *Disk) error { return d.claimLocked(shard, epoch, owner) }))
	})
}

// each calls do for all, and answers as the contract says: nil where there was no error.
func each[T any](all []T, do func(T) error) (errs []error) {
	for i := range all {
		err := do(all[i])
		if err != nil && errs == nil {
			errs = make([]error, len(all))
		}
		if errs != nil {
			errs[i] = err
		}
	}
	return errs
}

// Load implements store.Store.
func (s *Store) Load(ctx context.Context, at store.Owner, user protocol.UserID) (store.Mailbox, error) {
	var m store.Mailbox
	err := s.step(ctx, Op{Kind: OpLoad, Owner: at, User: user}, func(d *Disk) error {
		if err := d.checkLocked(at); err != nil {
			return err
		}
		if b := d.boxes[boxKey{at.Shard, user}]; b != nil {
			m = b.mailbox(d.cfg.Now().Add(-d.cfg.IDRetention).UnixMilli())
		}
		return nil
	})
	if err != nil {
		return store.Mailbox{}, wrap("load user "+string(user), err)
	}
	return m, nil
}

// Append implements store.Store. The script is asked for each element, and each is answered when the script lets it.
func (s *Store) Append(ctx context.Context, batch []store.Append, answer func(i int, err error)) {
	for i := range batch {
		a := &batch[i]
		if s.script.Load() == nil {
			answer(i, s.append(ctx, a))
		} else {
			go func() { answer(i, s.append(ctx, a)) }()
		}
	}
}

func (s *Store) append(ctx context.Context, a *store.Append) error {
	op := Op{Kind: OpAppend, Owner: a.Owner, User: a.User, Append: a}
	err := s.step(ctx, op, func(d *Disk) error { return d.appendLocked(a) })
	return wrap("append user "+string(a.User), err)
}

func (d *Disk) appendLocked(a *store.Append) error {
	if err := check(a); err != nil {
		return err
	}
	if err := d.checkLocked(a.Owner); err != nil {
		return err
	}
	b := d.boxLocked(a.Shard, a.User)
	if zero := (protocol.Position{}); d.cfg.CheckLast && a.Last != zero && a.Last != b.last {
		return &store.LastError{Last: b.last}
	}
	b.append(a, d.cfg.Now().UnixMilli())
	return nil
}

// arriveLocked is an append that is late. One of which something was appended since, or behind which something was, changes nothing.
func (d *Disk) arriveLocked(a *store.Append) {
	if n := len(a.Entries); n > 0 && !d.boxLocked(a.Shard, a.User).last.Less(a.Entries[n-1].Position) {
		return
	}
	_ = d.appendLocked(a)
}

func check(a *store.Append) error {
	for i := range a.Entries {
		m := a.Entries[i].Message
		if m == nil || m.Priority < protocol.PriorityHigh || m.Priority > protocol.PriorityLow {
			return fmt.Errorf("entry %d needs a message of high, medium or low priority", i)
		}
	}
	return nil
}

// SaveDevices implements store.Store. The script is asked for each element.
func (s *Store) SaveDevices(ctx context.Context, batch []store.DeviceSave, durable bool) []error {
	return each(batch, func(save store.DeviceSave) error {
		op := Op{Kind: OpSaveDevices, Owner: save.Owner, User: save.User, Durable: durable}
		return wrap("save devices", s.step(ctx, op, func(d *Disk) error {
			if err := d.checkLocked(save.Owner); err != nil {
				return err
			}
			d.boxLocked(save.Shard, save.User).save(&save)
			return nil
		}))
	})
}

// Forget implements store.Store. The script is asked for each element.
func (s *Store) Forget(ctx context.Context, batch []store.Forget) []error {
	return each(batch, func(f store.Forget) error {
		op := Op{Kind: OpForget, Owner: f.Owner, User: f.User}
		return wrap("forget", s.step(ctx, op, func(d *Disk) error {
			if err := d.checkLocked(f.Owner); err != nil {
				return err
			}
			b := d.boxLocked(f.Shard, f.User)
			for _, ref := range f.Refs {
				delete(b.entries, ref)
			}
			for ref := range b.entries {
				if ref.Position.Less(f.Below[ref.Priority.Lane()]) {
					delete(b.entries, ref)
				}
			}
			return nil
		}))
	})
}

// ScanExpired implements store.ExpiryScanner.
func (s *Store) ScanExpired(ctx context.Context, at store.Owner, after protocol.UserID, beforeMS, unseenMS int64, limit int) ([]protocol.UserID, error) {
	var users []protocol.UserID
	err := s.step(ctx, Op{Kind: OpScanExpired, Owner: at, User: after}, func(d *Disk) error {
		if err := d.checkLocked(at); err != nil {
			return err
		}
		for k, b := range d.boxes {
			if k.shard == at.Shard && k.user > after && b.overdue(beforeMS, unseenMS) {
				users = append(users, k.user)
			}
		}
		return nil
	})
	slices.Sort(users)
	return users[:min(limit, len(users))], wrap("scan for expired messages", err)
}

// Admit implements store.Admitter: everything, unless the script has an error.
func (s *Store) Admit(p protocol.Priority) error {
	return wrap("admit", s.step(context.Background(), Op{Kind: OpAdmit, Priority: p}, func(*Disk) error { return nil }))
}

// Close implements store.Store. What was saved is on the Disk.
func (s *Store) Close() error {
	s.disk.mu.Lock() // a step that is under way ends first
	defer s.disk.mu.Unlock()
	s.closed.Store(true)
	return nil
}

// step asks the script, and then does what it says.
func (s *Store) step(ctx context.Context, op Op, do func(*Disk) error) error {
	var f Fault
	if script := s.script.Load(); script != nil {
		f = (*script)(ctx, op)
	} else if err := ctx.Err(); err != nil {
		return err
	}
	if f.Late != nil {
		s.delay(*op.Append, f.Late)
		return f.Err
	}
	if f.Lost || f.Err != nil && !errors.Is(f.Err, store.ErrUnknown) {
		return f.Err
	}
	if f.Answer != nil {
		defer f.Answer() // once the disk is unlocked
	}
	s.disk.mu.Lock()
	defer s.disk.mu.Unlock()
	if s.closed.Load() {
		return store.ErrClosed
	}
	if err := do(s.disk); err != nil {
		return err
	}
	return f.Err
}

// delay has a take effect at d.Arrive. Its slices are the caller's again by then, so it gets its own.
func (s *Store) delay(a store.Append, d *Delayed) {
	a.Entries, a.Kills = slices.Clone(a.Entries), slices.Clone(a.Kills)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.arrive = func() {
		s.disk.mu.Lock()
		defer s.disk.mu.Unlock()
		if !s.closed.Load() {
			s.disk.arriveLocked(&a)
		}
	}
}

func wrap(verb string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("store/memory: %s: %w", verb, err)
}
