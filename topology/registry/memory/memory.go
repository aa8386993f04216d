// Package memory is a registry in memory, for tests: in virtual time too. Each member of a test has a Client, which a test cuts off.
//
// Goroutines: none but timers. Locks: Registry.mu.
package memory

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"ramen/topology/registry"
)

// Registry is one for all its clients.
type Registry struct {
	mu       sync.Mutex
	at       registry.Revision
	entries  map[string]registry.Entry
	leases   map[registry.Lease]*lease
	last     registry.Lease
	watchers map[*watcher]bool
	down     bool // nobody is answered
}

type lease struct {
	length time.Duration
	end    *time.Timer
	keys   map[string]bool
}

type watcher struct {
	changes []registry.Changes // not yet told
	lost    bool
	wake    chan struct{} // of capacity 1
}

// New is an empty registry.
func New() *Registry {
	r := &Registry{watchers: make(map[*watcher]bool)}
	r.emptyLocked()
	return r
}

func (r *Registry) emptyLocked() {
	for _, l := range r.leases {
		l.end.Stop()
	}
	r.entries, r.leases, r.at = make(map[string]registry.Entry), make(map[registry.Lease]*lease), 1
}

// Wipe empties it, as one that is replaced by a new one: its revisions begin again, leases are gone.
func (r *Registry) Wipe() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.emptyLocked()
	for w := range r.watchers {
		w.lost = true
		w.tell()
	}
}

// Save saves it as it is. What is answered restores that, as an etcd that is started from a backup: its revisions go on from there, and the leases
// that there were begin anew.
func (r *Registry) Save() (restore func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	at, entries, lengths := r.at, maps.Clone(r.entries), make(map[registry.Lease]time.Duration)
	for id, l := range r.leases {
		lengths[id] = l.length
	}
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.emptyLocked()
		r.at, r.entries = at, maps.Clone(entries)
		for id, length := range lengths {
			r.grantLocked(id, length)
		}
		for key, e := range r.entries {
			if l := r.leases[e.Lease]; l != nil {
				l.keys[key] = true
			}
		}
		for w := range r.watchers {
			w.lost = true
			w.tell()
		}
	}
}

// SetDown has it answer nobody, or again. Leases go on to end meanwhile, as where nobody can reach it.
func (r *Registry) SetDown(down bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.down = down
	for w := range r.watchers {
		w.lost = w.lost || down
		w.tell()
	}
}

func (w *watcher) tell() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

func (r *Registry) changedLocked(changes []registry.Change) {
	if len(changes) == 0 {
		return
	}
	for w := range r.watchers {
		w.changes = append(w.changes, registry.Changes{At: r.at, Changes: changes})
		w.tell()
	}
}

func (r *Registry) endLocked(id registry.Lease) {
	l := r.leases[id]
	if l == nil {
		return
	}
	l.end.Stop()
	delete(r.leases, id)
	r.at++
	var gone []registry.Change
	for _, key := range slices.Sorted(maps.Keys(l.keys)) {
		delete(r.entries, key)
		gone = append(gone, registry.Change{Key: key, Gone: true})
	}
	r.changedLocked(gone)
}

// Client is the registry as one member sees it.
type Client struct {
	r      *Registry
	mu     sync.Mutex
	cut    bool          // guarded by mu
	broken chan struct{} // guarded by mu: closed when the cut begins
}

var _ registry.Backend = (*Client)(nil)

// Client makes one.
func (r *Registry) Client() *Client { return &Client{r: r, broken: make(chan struct{})} }

// Cut cuts the client off, or ends that: its calls answer when their context ends.
func (c *Client) Cut(cut bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cut == cut {
		return
	}
	if c.cut = cut; cut {
		close(c.broken)
	} else {
		c.broken = make(chan struct{})
	}
}

var errCut = errors.New("memory: the registry does not answer")

// do runs f with the registry's lock held, where it is reached. Where it is not, the answer comes when ctx ends.
func (c *Client) do(ctx context.Context, f func(r *Registry) error) error {
	err := c.try(ctx, f)
	if errors.Is(err, errCut) {
		<-ctx.Done()
		return fmt.Errorf("%w: %w", err, ctx.Err())
	}
	return err
}

// try is do, but answers at once.
func (c *Client) try(ctx context.Context, f func(r *Registry) error) error {
	c.mu.Lock()
	cut := c.cut
	c.mu.Unlock()
	c.r.mu.Lock()
	defer c.r.mu.Unlock()
	if cut || c.r.down {
		return errCut
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return f(c.r)
}

// All implements registry.Backend.
func (c *Client) All(ctx context.Context) (s registry.Snapshot, err error) {
	err = c.do(ctx, func(r *Registry) error {
		s = registry.Snapshot{Entries: maps.Clone(r.entries), At: r.at}
		return nil
	})
	return s, err
}

// Watch implements registry.Backend.
func (c *Client) Watch(ctx context.Context, from registry.Snapshot, alive func(), each func(registry.Changes)) error {
	w := &watcher{wake: make(chan struct{}, 1)}
	err := c.try(ctx, func(r *Registry) error { // its ctx has no deadline: one that waited for that would not begin when the registry is back
		if from.At != r.at {
			return fmt.Errorf("memory: revision %d is not the last, %d", from.At, r.at)
		}
		r.watchers[w] = true
		return nil
	})
	if err != nil {
		return err
	}
	defer func() {
		c.r.mu.Lock()
		delete(c.r.watchers, w)
		c.r.mu.Unlock()
	}()
	c.mu.Lock()
	broken := c.broken
	c.mu.Unlock()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-broken:
			return errCut
		case <-tick.C:
			alive()
		case <-w.wake:
		}
		c.r.mu.Lock()
		changes, lost := w.changes, w.lost
		w.changes = nil
		c.r.mu.Unlock()
		if lost {
			return errCut
		}
		for _, x := range changes {
			each(x)
		}
	}
}

// Commit implements registry.Backend.
func (c *Client) Commit(ctx context.Context, conditions []registry.Condition, puts []registry.Put) (done bool, at registry.Revision, err error) {
	err = c.do(ctx, func(r *Registry) error {
		for _, x := range conditions {
			e, is := r.entries[x.Key]
			switch {
			case x.Created != 0 && (!is || e.Created != x.Created), x.Created == 0 && e.Modified != x.Modified:
				at = r.at
				return nil
			}
		}
		for _, p := range puts {
			if p.Lease != registry.NoLease && r.leases[p.Lease] == nil {
				return registry.ErrLeaseEnded
			}
		}
		done = true
		at = r.putLocked(puts)
		return nil
	})
	return done, at, err
}

func (r *Registry) putLocked(puts []registry.Put) registry.Revision {
	var changes []registry.Change
	r.at++
	for _, p := range puts {
		old, was := r.entries[p.Key]
		for _, l := range r.leases {
			delete(l.keys, p.Key)
		}
		if p.Value == nil {
			if was {
				delete(r.entries, p.Key)
				changes = append(changes, registry.Change{Key: p.Key, Gone: true})
			}
			continue
		}
		e := registry.Entry{Value: p.Value, Created: r.at, Modified: r.at, Lease: p.Lease}
		if was {
			e.Created = old.Created
		}
		r.entries[p.Key] = e
		if l := r.leases[p.Lease]; l != nil {
			l.keys[p.Key] = true
		}
		changes = append(changes, registry.Change{Key: p.Key, Entry: e})
	}
	if len(changes) == 0 {
		r.at--
	}
	r.changedLocked(changes)
	return r.at
}

// Grant implements registry.Backend.
func (c *Client) Grant(ctx context.Context, length time.Duration) (id registry.Lease, err error) {
	err = c.do(ctx, func(r *Registry) error {
		r.last++
		id = r.last
		r.grantLocked(id, length)
		return nil
	})
	return id, err
}

func (r *Registry) grantLocked(id registry.Lease, length time.Duration) {
	l := &lease{length: length, keys: make(map[string]bool)}
	l.end = time.AfterFunc(length, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.leases[id] == l {
			r.endLocked(id)
		}
	})
	r.leases[id] = l
}

// Renew implements registry.Backend.
func (c *Client) Renew(ctx context.Context, id registry.Lease) error {
	return c.do(ctx, func(r *Registry) error {
		l := r.leases[id]
		if l == nil || !l.end.Stop() {
			return registry.ErrLeaseEnded
		}
		l.end.Reset(l.length)
		return nil
	})
}

// Revoke implements registry.Backend.
func (c *Client) Revoke(ctx context.Context, id registry.Lease) error {
	return c.do(ctx, func(r *Registry) error { r.endLocked(id); return nil })
}
