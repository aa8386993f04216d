package simulation

import (
	"context"
	"errors"
	"sync"
	"time"

	"ramen/topology/registry"
	registrymemory "ramen/topology/registry/memory"
)

var errNoAnswer = errors.New("simulation: no answer")

// backend is the registry as one process has it, over the bus.
type backend struct {
	b      *bus
	node   *node
	etcd   *node
	client *registrymemory.Client

	mu   sync.Mutex
	puts map[string]*int64 // of each key, when the last put arrives: a process writes it in order
}

var _ registry.Backend = (*backend)(nil)

func newBackend(w *world, n *node) *backend {
	return &backend{b: w.bus, node: n, etcd: w.etcd, client: w.registry.Client(), puts: make(map[string]*int64)}
}

type committed struct {
	done bool
	at   registry.Revision
	err  error
}

func (c *backend) message(what string, a uint64, text string) message {
	return message{from: c.node, to: c.etcd, what: what, a: a, text: text}
}

// ask makes one call, which the registry answers at once where it is up.
func ask[T any](ctx context.Context, c *backend, m message, do func(ctx context.Context) (T, error)) (T, error) {
	type result struct {
		v   T
		err error
	}
	r, ok := call(ctx, c.b, m, func() result {
		now, cancel := context.WithTimeout(context.Background(), time.Nanosecond) // where it is down it answers when the context ends
		defer cancel()
		v, err := do(now)
		return result{v, err}
	})
	if !ok {
		if err := ctx.Err(); err != nil {
			return r.v, err
		}
		return r.v, errNoAnswer
	}
	return r.v, r.err
}

// All implements registry.Backend.
func (c *backend) All(ctx context.Context) (registry.Snapshot, error) {
	return ask(ctx, c, c.message("all", 0, ""), c.client.All)
}

// Commit implements registry.Backend.
func (c *backend) Commit(ctx context.Context, conditions []registry.Condition, puts []registry.Put) (bool, registry.Revision, error) {
	m := c.message("put", uint64(len(puts[0].Value)), puts[0].Key)
	c.mu.Lock()
	if m.after = c.puts[puts[0].Key]; m.after == nil {
		m.after = new(int64)
		c.puts[puts[0].Key] = m.after
	}
	c.mu.Unlock()
	r, err := ask(ctx, c, m, func(ctx context.Context) (committed, error) {
		done, at, err := c.client.Commit(ctx, conditions, puts)
		return committed{done, at, err}, err
	})
	return r.done, r.at, err
}

// Grant implements registry.Backend.
func (c *backend) Grant(ctx context.Context, length time.Duration) (registry.Lease, error) {
	return ask(ctx, c, c.message("grant", 0, ""), func(ctx context.Context) (registry.Lease, error) { return c.client.Grant(ctx, length) })
}

// Renew implements registry.Backend.
func (c *backend) Renew(ctx context.Context, l registry.Lease) error {
	_, err := ask(ctx, c, c.message("renew", uint64(l), ""), func(ctx context.Context) (bool, error) { return true, c.client.Renew(ctx, l) })
	return err
}

// Revoke implements registry.Backend.
func (c *backend) Revoke(ctx context.Context, l registry.Lease) error {
	_, err := ask(ctx, c, c.message("revoke", uint64(l), ""), func(ctx context.Context) (bool, error) { return true, c.client.Revoke(ctx, l) })
	return err
}

// Watch implements registry.Backend. It begins where the process is: what it is told is under way for a while.
func (c *backend) Watch(ctx context.Context, from registry.Snapshot, alive func(), each func(registry.Changes)) error {
	var last int64
	come := make(chan func(), 1024)
	ended := make(chan error, 1)
	run, stop := context.WithCancel(ctx)
	defer stop()
	tell := func(what string, a uint64, f func()) {
		m := message{from: c.etcd, to: c.node, what: what, a: a, after: &last, quiet: what == "alive"}
		c.b.send(m, func() { come <- f })
	}
	go func() {
		ended <- c.client.Watch(run, from, func() { tell("alive", 0, alive) }, func(x registry.Changes) {
			tell("changes", uint64(x.At), func() { each(x) })
		})
	}()
	for {
		select {
		case f := <-come:
			f()
		case err := <-ended:
			return err
		case <-ctx.Done():
			<-ended
			return ctx.Err()
		}
	}
}
