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
	_ store.Store    = (*Store)(nil)
	_ store.Lapser   = (*Store)(nil)
	_ store.Admitter = (*Store)(nil)
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

// Claim implements store.Store.
func (s *Store) Claim(ctx context.Context, shards []protocol.ShardID, epoch protocol.Epoch) error {
	err := s.step(ctx, Op{Kind: OpClaim}, func(d *Disk) error {
		for _, shard := range shards {
			if at := d.epochs[shard]; at > epoch {
				return fmt.Errorf("shard %d is claimed at %d: %w", shard, at, store.ErrFenced)
			}
		}
		for _, shard := range shards {
			d.epochs[shard] = epoch
			d.last = max(d.last, epoch)
		}
		return nil
	})
	return wrap("claim", err)
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

// Append implements store.Store. The script is asked for each element.
func (s *Store) Append(ctx context.Context, batch []store.Append) []error {
	errs := make([]error, len(batch))
	for i := range batch {
		a := &batch[i]
		err := s.step(ctx, Op{Kind: OpAppend, Owner: a.Owner, User: a.User, Append: a}, func(d *Disk) error {
			if err := check(a); err != nil {
				return err
			}
			if err := d.checkLocked(a.Owner); err != nil {
				return err
			}
			d.boxLocked(a.Shard, a.User).append(a)
			return nil
		})
		errs[i] = wrap("append user "+string(a.User), err)
	}
	return errs
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

// SaveDevices implements store.Store. All or none.
func (s *Store) SaveDevices(ctx context.Context, batch []store.DeviceSave, durable bool) error {
	op := Op{Kind: OpSaveDevices, Durable: durable}
	if len(batch) > 0 {
		op.Owner, op.User = batch[0].Owner, batch[0].User
	}
	return wrap("save devices", s.step(ctx, op, func(d *Disk) error {
		for i := range batch {
			if err := d.checkLocked(batch[i].Owner); err != nil {
				return err
			}
		}
		for i := range batch {
			d.boxLocked(batch[i].Shard, batch[i].User).save(&batch[i])
		}
		return nil
	}))
}

// Forget implements store.Store. All or none.
func (s *Store) Forget(ctx context.Context, batch []store.Forget) error {
	op := Op{Kind: OpForget}
	if len(batch) > 0 {
		op.Owner, op.User = batch[0].Owner, batch[0].User
	}
	return wrap("forget", s.step(ctx, op, func(d *Disk) error {
		for i := range batch {
			if err := d.checkLocked(batch[i].Owner); err != nil {
				return err
			}
		}
		for i := range batch {
			b := d.boxLocked(batch[i].Shard, batch[i].User)
			for _, ref := range batch[i].Refs {
				delete(b.entries, ref)
			}
		}
		return nil
	}))
}

// Lapsed implements store.Lapser.
func (s *Store) Lapsed(ctx context.Context, at store.Owner, after protocol.UserID, beforeMS, unseenMS int64, limit int) ([]protocol.UserID, error) {
	var users []protocol.UserID
	err := s.step(ctx, Op{Kind: OpLapsed, Owner: at, User: after}, func(d *Disk) error {
		if err := d.checkLocked(at); err != nil {
			return err
		}
		for k, b := range d.boxes {
			if k.shard == at.Shard && k.user > after && b.lapsed(beforeMS, unseenMS) {
				users = append(users, k.user)
			}
		}
		return nil
	})
	slices.Sort(users)
	return users[:min(limit, len(users))], wrap("find lapsed users", err)
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
	if f.Lost || f.Err != nil && !errors.Is(f.Err, store.ErrUnknown) {
		return f.Err
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

func wrap(verb string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("store/memory: %s: %w", verb, err)
}
