// Package etcd is a registry in etcd: one that controllers carry, or one that is there.
//
// Goroutines: those of etcd's client, until Close.
package etcd

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"

	"ramen/topology/registry"
)

// Config is where the etcd is.
type Config struct {
	Endpoints []string    // host:port, or URLs
	TLS       *tls.Config // nil: none
	User      string      // with Password; empty: none
	Password  string
	Prefix    string // of all keys; it ends with a /
}

// Registry is one in etcd.
type Registry struct {
	c        *clientv3.Client
	prefix   string
	renewals *renewals
}

var _ registry.Backend = (*Registry)(nil)

// The times of the client.
const (
	dialTimeout = time.Second
	authTimeout = 10 * time.Second // of Open, where there is a user
	keepalive   = time.Second
	aliveEvery  = 2 * time.Second // how often a watcher asks whether the registry is the same
	askTimeout  = 1500 * time.Millisecond
)

// Open makes one. It does not wait until etcd is reached, unless there is a user: then etcd has 10 s to accept the password.
func Open(cfg Config) (*Registry, error) {
	if len(cfg.Endpoints) == 0 {
		return nil, errors.New("etcd: no endpoint is given: at least one host:port is needed")
	}
	if !strings.HasSuffix(cfg.Prefix, "/") {
		return nil, fmt.Errorf("etcd: prefix %q must end with a /", cfg.Prefix)
	}
	pause := backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: time.Second}
	c, err := clientv3.New(clientv3.Config{
		Endpoints: cfg.Endpoints, TLS: cfg.TLS, Username: cfg.User, Password: cfg.Password,
		DialTimeout: authTimeout, DialKeepAliveTime: keepalive, DialKeepAliveTimeout: keepalive, PermitWithoutStream: true,
		RejectOldCluster: false, Logger: zap.NewNop(),
		DialOptions: []grpc.DialOption{grpc.WithConnectParams(grpc.ConnectParams{Backoff: pause, MinConnectTimeout: dialTimeout})},
	})
	if err != nil {
		return nil, fmt.Errorf("etcd: %w", err)
	}
	return &Registry{c: c, prefix: cfg.Prefix, renewals: newRenewals(c)}, nil
}

// Close ends the connections.
func (r *Registry) Close() error { return r.c.Close() }

// Client is etcd's own, for what is asked of etcd itself: who its members are.
func (r *Registry) Client() *clientv3.Client { return r.c }

// fault is what is said of an error.
func fault(what string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, rpctypes.ErrLeaseNotFound), errors.Is(err, rpctypes.ErrLeaseTTLTooLarge):
		return fmt.Errorf("etcd: %s: %w", what, registry.ErrLeaseEnded)
	}
	return fmt.Errorf("etcd: %s: %w", what, err)
}

// All implements registry.Backend.
func (r *Registry) All(ctx context.Context) (registry.Snapshot, error) {
	a, err := r.c.Get(ctx, r.prefix, clientv3.WithPrefix())
	if err != nil {
		return registry.Snapshot{}, fault("read all keys", err)
	}
	s := registry.Snapshot{Entries: make(map[string]registry.Entry, len(a.Kvs)), At: registry.Revision(a.Header.Revision)}
	for _, kv := range a.Kvs {
		s.Entries[r.key(kv)] = entry(kv)
	}
	return s, nil
}

func (r *Registry) key(kv *mvccpb.KeyValue) string {
	return strings.TrimPrefix(string(kv.Key), r.prefix)
}

func entry(kv *mvccpb.KeyValue) registry.Entry {
	value := kv.Value
	if value == nil {
		value = []byte{}
	}
	return registry.Entry{Value: value, Created: registry.Revision(kv.CreateRevision), Modified: registry.Revision(kv.ModRevision), Lease: registry.Lease(kv.Lease)}
}

// errReplaced is why a watch ends whose etcd is another than before, or has gone back.
var errReplaced = errors.New("etcd: it is another, or has gone back to an earlier state")

// Watch implements registry.Backend. An etcd that was replaced by an empty one would leave a watcher waiting for a revision that is far off: so
// it is asked every 2 s whether it is the same, and where it stands.
func (r *Registry) Watch(ctx context.Context, from registry.Snapshot, alive func(), each func(registry.Changes)) error {
	ctx, cancel := context.WithCancelCause(clientv3.WithRequireLeader(ctx))
	o := overseer{r: r, made: from.Entries[registry.ShardsKey], alive: make(chan struct{}), done: make(chan error, 1)}
	o.seen.Store(int64(from.At))
	go func() { o.done <- o.run(ctx) }()
	defer func() {
		cancel(nil)
		<-o.done
	}()
	changes := r.c.Watch(ctx, r.prefix, clientv3.WithPrefix(), clientv3.WithRev(int64(from.At)+1))
	for {
		select {
		case a, more := <-changes:
			if err := a.Err(); err != nil {
				return fault("watch", err)
			}
			if !more {
				return fault("watch", cmp.Or(context.Cause(ctx), errors.New("etcd has ended it")))
			}
			alive()
			for _, c := range r.group(a.Events) {
				each(c)
				o.seen.Store(int64(c.At))
			}
		case <-o.alive:
			alive()
		case err := <-o.done:
			o.done <- err
			return err
		}
	}
}

// overseer asks etcd now and then whether it is the same as before.
type overseer struct {
	r     *Registry
	made  registry.Entry // of the cluster
	seen  atomic.Int64   // the last revision that a change was seen of
	last  header         // of the last answer; zero: there was none
	alive chan struct{}  // told each time
	done  chan error     // of capacity 1: why it has ended
}

// run ends with ctx, or where etcd is another than at first.
func (o *overseer) run(ctx context.Context) error {
	tick := time.NewTicker(aliveEvery)
	defer tick.Stop()
	for {
		seen := o.seen.Load()
		ask, cancel := context.WithTimeout(ctx, askTimeout)
		a, err := o.r.c.Get(ask, o.r.prefix+registry.ShardsKey)
		cancel()
		switch {
		case err != nil && ctx.Err() != nil:
			return fault("watch", context.Cause(ctx))
		case err != nil: // it does not answer: the watch finds that out, or it comes back
		default:
			var now registry.Entry
			if len(a.Kvs) > 0 {
				now = entry(a.Kvs[0])
			}
			at := header{a.Header.ClusterId, a.Header.RaftTerm}
			if a.Header.Revision < seen || !at.follows(o.last) || o.made.Created != 0 && (now.Created != o.made.Created || !bytes.Equal(now.Value, o.made.Value)) {
				return errReplaced
			}
			o.made, o.last = now, at
			select {
			case o.alive <- struct{}{}:
			case <-ctx.Done():
				return fault("watch", context.Cause(ctx))
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fault("watch", context.Cause(ctx))
		}
	}
}

// header is which etcd has answered, and its term, which only grows: but for one that was restored from a backup, where it begins anew. Revisions
// alone do not tell that: they may be beyond those that were seen by the time that it is asked.
type header struct{ cluster, term uint64 }

// follows reports whether h may be of the same etcd as an earlier answer. Whoever answers has applied an entry of the leader's term.
func (h header) follows(last header) bool {
	return last.cluster == 0 || h.cluster == last.cluster && h.term >= last.term
}

// group is events by their revision.
func (r *Registry) group(events []*clientv3.Event) []registry.Changes {
	var all []registry.Changes
	for _, e := range events {
		at := registry.Revision(e.Kv.ModRevision)
		if len(all) == 0 || all[len(all)-1].At != at {
			all = append(all, registry.Changes{At: at})
		}
		c := &all[len(all)-1]
		if e.Type == clientv3.EventTypeDelete {
			c.Changes = append(c.Changes, registry.Change{Key: r.key(e.Kv), Gone: true})
		} else {
			c.Changes = append(c.Changes, registry.Change{Key: r.key(e.Kv), Entry: entry(e.Kv)})
		}
	}
	return all
}

// Commit implements registry.Backend.
func (r *Registry) Commit(ctx context.Context, conditions []registry.Condition, puts []registry.Put) (bool, registry.Revision, error) {
	var cmps []clientv3.Cmp
	for _, c := range conditions {
		if c.Created != 0 {
			cmps = append(cmps, clientv3.Compare(clientv3.CreateRevision(r.prefix+c.Key), "=", int64(c.Created)))
		} else {
			cmps = append(cmps, clientv3.Compare(clientv3.ModRevision(r.prefix+c.Key), "=", int64(c.Modified)))
		}
	}
	var ops []clientv3.Op
	for _, p := range puts {
		switch {
		case p.Value == nil:
			ops = append(ops, clientv3.OpDelete(r.prefix+p.Key))
		case p.Lease != registry.NoLease:
			ops = append(ops, clientv3.OpPut(r.prefix+p.Key, string(p.Value), clientv3.WithLease(clientv3.LeaseID(p.Lease))))
		default:
			ops = append(ops, clientv3.OpPut(r.prefix+p.Key, string(p.Value)))
		}
	}
	a, err := r.c.Txn(ctx).If(cmps...).Then(ops...).Commit()
	if err != nil {
		return false, 0, fault("commit", err)
	}
	return a.Succeeded, registry.Revision(a.Header.Revision), nil
}

// Grant implements registry.Backend.
func (r *Registry) Grant(ctx context.Context, length time.Duration) (registry.Lease, error) {
	a, err := r.c.Grant(ctx, int64((length+time.Second-1)/time.Second))
	if err != nil {
		return 0, fault("give a lease", err)
	}
	return registry.Lease(a.ID), nil
}

// Renew implements registry.Backend.
func (r *Registry) Renew(ctx context.Context, l registry.Lease) error {
	ttl, err := r.renewals.renew(ctx, clientv3.LeaseID(l))
	if err != nil {
		return fault("renew the lease", err)
	}
	if ttl <= 0 {
		return fault("renew the lease", rpctypes.ErrLeaseNotFound)
	}
	return nil
}

// Revoke implements registry.Backend.
func (r *Registry) Revoke(ctx context.Context, l registry.Lease) error {
	_, err := r.c.Revoke(ctx, clientv3.LeaseID(l))
	if errors.Is(err, rpctypes.ErrLeaseNotFound) {
		return nil
	}
	return fault("end the lease", err)
}
