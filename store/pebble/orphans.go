package pebble

import (
	"sync"

	"ramen/protocol"
	"ramen/store"
)

// maxOrphans bounds what is remembered; the oldest go first. The worst then is that a message which was replaced after
// its retry comes back from its first try.
const maxOrphans = 1 << 16

type orphanKey struct {
	shard protocol.ShardID
	user  protocol.UserID
	id    protocol.MessageID
}

// orphans is the rows of appends whose outcome their callers never learned. The publisher tries again, under the same id
// at a new position: that append takes the old row along. Otherwise the row would outlive a kill of the new one.
type orphans struct {
	mu    sync.Mutex
	rows  map[orphanKey][]store.Ref
	order []orphanKey
}

// orphan is one of the rows.
type orphan struct {
	key orphanKey
	ref store.Ref
}

// add remembers the entries of a.
func (o *orphans) add(a *store.Append) {
	rows := make([]orphan, len(a.Entries))
	for i := range a.Entries {
		e := &a.Entries[i]
		ref := store.Ref{Priority: e.Message.Priority, Position: e.Position}
		rows[i] = orphan{orphanKey{a.Shard, a.User, e.Message.ID}, ref}
	}
	o.putBack(rows)
}

// putBack remembers rows again that were taken for a write that failed, or may have.
func (o *orphans) putBack(rows []orphan) {
	if len(rows) == 0 {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.rows == nil {
		o.rows = make(map[orphanKey][]store.Ref)
	}
	for _, r := range rows {
		o.rows[r.key] = append(o.rows[r.key], r.ref)
		o.order = append(o.order, r.key)
	}
	for len(o.order) > maxOrphans {
		delete(o.rows, o.order[0])
		o.order = o.order[1:]
	}
}

// take answers the rows of k, and keeps them no longer.
func (o *orphans) take(k orphanKey) []store.Ref {
	o.mu.Lock()
	defer o.mu.Unlock()
	refs, ok := o.rows[k]
	if ok {
		delete(o.rows, k)
	}
	return refs
}
