package registry

import (
	"context"
	"errors"
	"time"
)

// Lease is a time that its owner renews. What was put under it goes when it ends.
type Lease int64

// NoLease is that of what stays.
const NoLease Lease = 0

// Revision counts the changes of a registry.
type Revision int64

// Entry is one key as it is.
type Entry struct {
	Value    []byte
	Created  Revision // with which it was put where there was none
	Modified Revision // of its last put
	Lease    Lease    // under which it was put; NoLease: it stays
}

// Snapshot is all keys at one revision.
type Snapshot struct {
	Entries map[string]Entry
	At      Revision
}

// Change is a key that was put, or that went.
type Change struct {
	Key   string
	Entry Entry // where it was put
	Gone  bool
}

// Changes are those of one revision.
type Changes struct {
	At      Revision
	Changes []Change
}

// Condition is of one key, which must be as it says for a commit to be made.
type Condition struct {
	Key      string
	Created  Revision // not 0: it was put first with this revision
	Modified Revision // where Created is 0: that of its last put; 0: there is no such key
}

// Put is one key to be put.
type Put struct {
	Key   string
	Value []byte // nil: the key is to go
	Lease Lease
}

// ErrLeaseEnded is the answer of a renewal or a put whose lease has ended, or was never given.
var ErrLeaseEnded = errors.New("registry: lease has ended")

// Backend is the little of etcd that a cluster needs. It is safe for concurrent use. Every call is linearizable.
type Backend interface {
	// All is all keys.
	All(ctx context.Context) (Snapshot, error)
	// Watch calls each, in order, with the changes after from, until ctx ends, each fails, or it cannot go on: then what
	// came in between is unknown, and All says what there is. It calls alive now and then while it can go on. One that begins during an outage
	// fails, or goes on once that is over.
	Watch(ctx context.Context, from Snapshot, alive func(), each func(Changes)) error
	// Commit puts all where every condition holds, and answers whether it did, and the revision.
	Commit(ctx context.Context, conditions []Condition, puts []Put) (bool, Revision, error)
	// Grant gives a lease that lasts at least that time, in whole seconds, from the sending of the call.
	Grant(ctx context.Context, length time.Duration) (Lease, error)
	// Renew has a lease last for its whole time again, from the sending of the call at the earliest.
	Renew(ctx context.Context, l Lease) error
	// Revoke ends a lease now, and takes away what was put under it. One that has ended is no error.
	Revoke(ctx context.Context, l Lease) error
}
