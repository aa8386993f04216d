package memory

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"ramen/protocol"
	"ramen/store"
	"ramen/store/presence"
)

// Shared is a Store as one that several processes may open, and that may lose what it has answered: whoever has the Disk promotes a
// Replica of it.
type Shared struct{ *Store }

var (
	_ store.Store    = Shared{}
	_ store.Shared   = Shared{}
	_ store.Replacer = Shared{}
)

// OpenShared is a new Shared on d.
func (d *Disk) OpenShared() Shared { return Shared{d.Open()} }

// Renew implements store.Shared.
func (s Shared) Renew(ctx context.Context, owner string, ttl time.Duration) error {
	return wrap("renew", s.step(ctx, Op{Kind: OpRenew, Name: owner}, func(d *Disk) error {
		d.present[owner] = d.cfg.Now().Add(ttl)
		return nil
	}))
}

// Claims implements store.Shared. The script is asked for each shard, for all at the same time, and for each owner.
func (s Shared) Claims(ctx context.Context, shards []protocol.ShardID) ([]store.Claimed, []error) {
	all, errs := make([]store.Claimed, len(shards)), make([]error, len(shards))
	present := presence.New(func(owner string) (is bool, err error) {
		err = s.step(ctx, Op{Kind: OpPresence, Name: owner}, func(d *Disk) error {
			is = d.cfg.Now().Before(d.present[owner])
			return nil
		})
		return is, err
	})
	var reading sync.WaitGroup
	for i, shard := range shards {
		read := func() {
			if all[i], errs[i] = s.claimOf(ctx, shard); errs[i] == nil {
				present.Ask(all[i])
			}
		}
		if s.script.Load() == nil {
			read()
		} else {
			reading.Go(read)
		}
	}
	reading.Wait()
	present.Fill(all)
	if !slices.ContainsFunc(errs, func(err error) bool { return err != nil }) {
		return all, nil
	}
	return all, errs
}

func (s Shared) claimOf(ctx context.Context, shard protocol.ShardID) (c store.Claimed, err error) {
	err = s.step(ctx, Op{Kind: OpClaims, Owner: store.Owner{Shard: shard}}, func(d *Disk) error {
		at := d.claims[shard]
		c = store.Claimed{Epoch: at.Epoch, Owner: at.Owner, History: d.historyLocked(shard)}
		if at.Epoch > 0 && d.takenBy[shard] != c.History {
			c.Above = at.Epoch + lostEpochs
		}
		return nil
	})
	if err != nil {
		return store.Claimed{}, wrap("read claims", err)
	}
	return c, nil
}

// lostEpochs is more than may be claimed between two promotions of a Replica, in tests.
const lostEpochs = 1000

func (d *Disk) historyLocked(shard protocol.ShardID) string {
	return fmt.Sprintf("copy-%d.%d", d.copied, d.copies[shard])
}

// Fences implements store.Shared.
func (s Shared) Fences() bool { return !s.disk.cfg.Unfenced }

// Replace implements store.Replacer.
func (s Shared) Replace(ctx context.Context, at store.Owner, user protocol.UserID, last protocol.Position, m store.Mailbox) error {
	op := Op{Kind: OpReplace, Owner: at, User: user}
	return wrap("replace user "+string(user), s.step(ctx, op, func(d *Disk) error {
		if err := d.checkLocked(at); err != nil {
			return err
		}
		b := d.boxLocked(at.Shard, user)
		if b.last != last && b.last != m.Last {
			return &store.LastError{Last: b.last}
		}
		d.boxes[boxKey{at.Shard, user}] = restored(&m)
		return nil
	}))
}

// restored is a mailbox that has what m says, and nothing else.
func restored(m *store.Mailbox) *box {
	b := newBox()
	b.last = m.Last
	for _, id := range m.Seen {
		b.seen[id.ID] = id.AcceptedMS
	}
	for i := range m.Entries {
		b.put(cloneEntry(&m.Entries[i]))
	}
	for i := range m.Devices {
		b.devices[m.Devices[i].ID] = cloneDevice(&m.Devices[i])
	}
	return b
}
