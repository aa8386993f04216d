package tiered

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"ramen/protocol"
	"ramen/store"
)

// errNotOpen is the answer of a cache that could not be opened yet.
var errNotOpen = errors.New("store/tiered: the cache could not be opened yet")

// reopening is a cache that may be away when the process starts: it is opened again until it is there.
type reopening struct {
	cache   atomic.Pointer[Cache]
	stop    context.CancelFunc
	running sync.WaitGroup
}

var _ Cache = (*reopening)(nil)

// Reopening opens a cache, and again in the background where that fails: until it is open, its calls fail, and nothing is done by
// them. Pauses are from retry to most, doubled each time.
func Reopening(ctx context.Context, open func(context.Context) (Cache, error), retry, most time.Duration, log *slog.Logger) Cache {
	r := &reopening{stop: func() {}}
	c, err := open(ctx)
	if err == nil {
		r.cache.Store(&c)
		return r
	}
	log.Warn("the cache could not be opened: mailboxes are loaded from the store behind it until it is", "error", err)
	ctx, r.stop = context.WithCancel(context.Background())
	r.running.Go(func() {
		for pause := retry; ; pause = min(2*pause, most) {
			select {
			case <-ctx.Done():
				return
			case <-time.After(pause):
			}
			attempt, cancel := context.WithTimeout(ctx, most)
			c, err := open(attempt)
			cancel()
			if err == nil {
				r.cache.Store(&c)
				log.Info("the cache is open")
				return
			}
			log.Debug("the cache could not be opened", "error", err)
		}
	})
	return r
}

// get is the cache; nil: it is not open.
func (r *reopening) get() Cache {
	if c := r.cache.Load(); c != nil {
		return *c
	}
	return nil
}

// Close implements store.Store.
func (r *reopening) Close() error {
	r.stop()
	r.running.Wait()
	if c := r.get(); c != nil {
		return c.Close()
	}
	return nil
}

func fill(n int, err error) []error {
	errs := make([]error, n)
	for i := range errs {
		errs[i] = err
	}
	return errs
}

// Identity implements store.Store.
func (r *reopening) Identity() (id store.Identity) {
	if c := r.get(); c != nil {
		return c.Identity()
	}
	return id
}

// LastEpoch implements store.Store.
func (r *reopening) LastEpoch(ctx context.Context) (protocol.Epoch, error) {
	if c := r.get(); c != nil {
		return c.LastEpoch(ctx)
	}
	return 0, errNotOpen
}

// Claim implements store.Store.
func (r *reopening) Claim(ctx context.Context, shards []protocol.ShardID, epoch protocol.Epoch, owner string) []error {
	if c := r.get(); c != nil {
		return c.Claim(ctx, shards, epoch, owner)
	}
	return fill(len(shards), errNotOpen)
}

// Load implements store.Store.
func (r *reopening) Load(ctx context.Context, at store.Owner, user protocol.UserID) (store.Mailbox, error) {
	if c := r.get(); c != nil {
		return c.Load(ctx, at, user)
	}
	return store.Mailbox{}, errNotOpen
}

// Append implements store.Store.
func (r *reopening) Append(ctx context.Context, batch []store.Append, answer func(i int, err error)) {
	if c := r.get(); c != nil {
		c.Append(ctx, batch, answer)
		return
	}
	for i := range batch {
		answer(i, errNotOpen)
	}
}

// SaveDevices implements store.Store.
func (r *reopening) SaveDevices(ctx context.Context, batch []store.DeviceSave, durable bool) []error {
	if c := r.get(); c != nil {
		return c.SaveDevices(ctx, batch, durable)
	}
	return fill(len(batch), errNotOpen)
}

// Forget implements store.Store.
func (r *reopening) Forget(ctx context.Context, batch []store.Forget) []error {
	if c := r.get(); c != nil {
		return c.Forget(ctx, batch)
	}
	return fill(len(batch), errNotOpen)
}

// Renew implements store.Shared.
func (r *reopening) Renew(ctx context.Context, owner string, ttl time.Duration) error {
	if c := r.get(); c != nil {
		return c.Renew(ctx, owner, ttl)
	}
	return errNotOpen
}

// Claims implements store.Shared.
func (r *reopening) Claims(ctx context.Context, shards []protocol.ShardID) ([]store.Claimed, []error) {
	if c := r.get(); c != nil {
		return c.Claims(ctx, shards)
	}
	return make([]store.Claimed, len(shards)), fill(len(shards), errNotOpen)
}

// Fences implements store.Shared. A cache that does not is refused when it is opened.
func (r *reopening) Fences() bool { return true }

// Replace implements store.Replacer.
func (r *reopening) Replace(ctx context.Context, at store.Owner, user protocol.UserID, last protocol.Position, m store.Mailbox) error {
	if c := r.get(); c != nil {
		return c.Replace(ctx, at, user, last, m)
	}
	return errNotOpen
}
