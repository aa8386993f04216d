package transfer

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"ramen/protocol"
	"ramen/store"
)

// Config is what to copy, and how.
type Config struct {
	From, To  store.Store
	Shards    int           // of users, in both
	Retention time.Duration // how long ids of accepted messages are remembered, in both
	Mix       bool          // go on where the target has other data
	Workers   int           // users that are copied at a time; 0: 32
	Count     *Count        // is kept up to date; nil: nobody wants to know
	Now       func() time.Time
}

// Count is how far a copy has come.
type Count struct {
	Phase atomic.Pointer[string] // what is being done
	Users atomic.Int64           // of this phase
	Of    atomic.Int64           // users in all; 0: not known yet
}

// Result is what was copied, and is in the target now.
type Result struct {
	Users    int64 `json:"users"`
	Messages int64 `json:"messages"`
	Devices  int64 `json:"devices"`
	IDs      int64 `json:"ids"`
	// Written is how many users were not yet as they had to be.
	Written int64 `json:"users_written"`
	// Expired is how many messages have expired, and are not in the target.
	Expired int64          `json:"expired"`
	Epoch   protocol.Epoch `json:"epoch"`
	// Cursors stay good: the target has the source's identity.
	Cursors bool `json:"cursors_stay_good"`
}

const (
	pageOfUsers = 1000
	someWorkers = 32
	attempts    = 5 // of a user whose outcome is unknown, or that a store could not answer for
	ownerPrefix = "ramen store copy "
)

// Errors of targets and sources.
var (
	ErrOtherData = errors.New("the target has other data")
	ErrSameStore = errors.New("source and target are one store")
	ErrNoSource  = errors.New("there is nothing to copy: the source was never used")
)

// copier is one Copy.
type copier struct {
	Config
	names     store.Enumerator
	owner     string
	epoch     protocol.Epoch
	same      bool // the target has the source's identity: it is to be as the source is
	resumed   bool // it has what an earlier copy left
	users     atomic.Int64
	messages  atomic.Int64
	devices   atomic.Int64
	ids       atomic.Int64
	written   atomic.Int64
	expired   atomic.Int64
	different differences
}

// Copy copies all users of cfg.From to cfg.To, and compares both. Both stores are open, and stay open. When it fails, or ctx ends, it
// can be done again.
func Copy(ctx context.Context, cfg Config) (Result, error) {
	c := &copier{Config: cfg, owner: fmt.Sprintf("%s%08x", ownerPrefix, rand.Uint32())}
	if c.Workers == 0 {
		c.Workers = someWorkers
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Count == nil {
		c.Count = new(Count)
	}
	err := c.copy(ctx)
	if err != nil {
		err = fmt.Errorf("transfer: %w", err)
	}
	return Result{
		Users: c.users.Load(), Messages: c.messages.Load(), Devices: c.devices.Load(), IDs: c.ids.Load(),
		Written: c.written.Load(), Expired: c.expired.Load(), Epoch: c.epoch, Cursors: c.same,
	}, err
}

func (c *copier) copy(ctx context.Context) error {
	var ok bool
	if c.names, ok = c.From.(store.Enumerator); !ok {
		return errors.New("the source cannot list its users")
	}
	if err := c.take(ctx); err != nil {
		return err
	}
	ctx, release, err := c.keep(ctx)
	if err != nil {
		return err
	}
	err = c.copyAll(ctx)
	if lost := release(); lost != nil {
		err = lost
	}
	if err != nil || !c.same {
		return err
	}
	if r, ok := c.From.(store.Retirer); ok {
		return r.Retire(context.WithoutCancel(ctx))
	}
	return nil
}

// copyAll counts, copies and compares.
func (c *copier) copyAll(ctx context.Context) error {
	c.phase("counting", 0)
	var all int64
	if err := c.each(ctx, c.names, func(context.Context, store.ShardUser) error { atomic.AddInt64(&all, 1); return nil }); err != nil {
		return fmt.Errorf("list the source's users: %w", err)
	}
	c.phase("copying", all)
	if err := c.each(ctx, c.names, c.copyUser); err != nil {
		return err
	}
	if names, ok := c.To.(store.Enumerator); ok && c.same && c.resumed { // users that the source has no more
		c.phase("clearing", 0)
		if err := c.each(ctx, names, c.copyUser); err != nil {
			return err
		}
	}
	c.phase("comparing", all)
	if err := c.each(ctx, c.names, c.compareUser); err != nil {
		return err
	}
	return c.different.err()
}

func (c *copier) phase(what string, of int64) {
	c.Count.Users.Store(0)
	c.Count.Of.Store(of)
	c.Count.Phase.Store(&what)
}

// each calls do for every user that names has, once a user if the store names each once, from several goroutines.
func (c *copier) each(ctx context.Context, names store.Enumerator, do func(context.Context, store.ShardUser) error) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(c.Workers + 1)
	g.Go(func() error {
		for page, first := "", true; first || page != ""; first = false {
			users, next, err := names.Users(ctx, page, pageOfUsers)
			if err != nil {
				return err
			}
			page = next
			for _, u := range users {
				if err := ctx.Err(); err != nil {
					return context.Cause(ctx)
				}
				g.Go(func() error {
					defer c.Count.Users.Add(1)
					if err := do(ctx, u); err != nil {
						return fmt.Errorf("user %q of shard %d: %w", u.User, u.Shard, err)
					}
					return nil
				})
			}
		}
		return nil
	})
	return g.Wait()
}

// take claims both stores, and says whether the target may be written to.
func (c *copier) take(ctx context.Context) error {
	from, err := c.From.LastEpoch(ctx)
	if err != nil {
		return err
	}
	to, err := c.To.LastEpoch(ctx)
	if err != nil {
		return err
	}
	if from == 0 {
		return ErrNoSource
	}
	c.epoch = max(from, to) + 1
	c.same = c.From.Identity() == c.To.Identity()
	c.resumed = to > 0
	if c.resumed && !c.same { // before the source's server is fenced
		if err := c.mayGoOn(ctx); err != nil {
			return err
		}
	}
	if err := c.claim(ctx, "source", c.From); err != nil {
		return err
	}
	if now, err := c.To.LastEpoch(ctx); err != nil || now >= c.epoch {
		return errors.Join(err, ErrSameStore)
	}
	if c.resumed && c.same {
		if err := c.mayGoOn(ctx); err != nil {
			return err
		}
	}
	if a, ok := c.To.(store.Adopter); ok && !c.same && !c.resumed {
		if err := a.Adopt(ctx, c.From.Identity()); err != nil {
			return err
		}
		c.same = true
	}
	if err := c.claim(ctx, "target", c.To); err != nil {
		return err
	}
	return c.revokeCache(ctx)
}

// revokeCache has no cached mailbox of the target be trusted, where there is a cache before it: the cache does not get what is copied.
func (c *copier) revokeCache(ctx context.Context) error {
	m, ok := c.To.(store.CacheMarker)
	if !ok {
		return nil
	}
	marks, err := m.CacheMarks(ctx, c.shards())
	if err != nil {
		return err
	}
	for shard, mark := range marks {
		if mark == (store.CacheMark{}) {
			continue
		}
		if err := m.SetCacheMark(ctx, store.Owner{Shard: protocol.ShardID(shard), Epoch: c.epoch}, store.CacheMark{}); err != nil {
			return err
		}
	}
	return nil
}

// mayGoOn says whether what the target has is of an earlier copy of this source alone: it has the source's identity, and no server had
// it since. If it is to be mixed, it is from then on another store.
func (c *copier) mayGoOn(ctx context.Context) error {
	why := "it is not of this source, or the source was copied to the end already"
	if c.same {
		served, err := c.served(ctx)
		if err != nil || !served {
			return err
		}
		why = "a server has used it since it was copied"
	}
	if !c.Mix {
		return fmt.Errorf("%w: %s; name an empty one, or have both mixed", ErrOtherData, why)
	}
	c.same = false
	return nil
}

// served reports whether somebody else than a copy was the last to claim a shard of the target. The claims that find it out are too old
// to be granted where there is one already.
func (c *copier) served(ctx context.Context) (bool, error) {
	for _, err := range c.To.Claim(ctx, c.shards(), 1, c.owner) {
		var fenced *store.FencedError
		switch {
		case err == nil:
		case !errors.As(err, &fenced):
			return false, err
		case fenced.Epoch > 0 && !strings.HasPrefix(fenced.Owner, ownerPrefix):
			return true, nil
		}
	}
	return false, nil
}

func (c *copier) claim(ctx context.Context, which string, s store.Store) error {
	for shard, err := range s.Claim(ctx, c.shards(), c.epoch, c.owner) {
		if err != nil {
			return fmt.Errorf("claim shard %d of the %s: %w", shard, which, err)
		}
	}
	return nil
}

func (c *copier) shards() []protocol.ShardID {
	all := make([]protocol.ShardID, c.Shards)
	for i := range all {
		all[i] = protocol.ShardID(i)
	}
	return all
}
