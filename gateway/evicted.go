package gateway

import (
	"context"
	"errors"
	"sync"
	"time"

	"ramen/link"
	"ramen/protocol"
	"ramen/store"
)

// evicted is what is known of mailboxes that have left memory not long ago, on a store that may lose what it has answered. Of one that was
// idle it is the last position: at the next load a lower one tells that something is lost. Of one whose lease ended, as while the store
// did not answer, it is all that was in it, and is written again where nobody else has owned the shard since. Once somebody has, it is
// dropped: that one may have recalled what is in it.
//
// It is in two generations, each of evictedFor, and bounded: of what does not fit the last position alone is kept, or nothing.
type evicted struct {
	mu            sync.Mutex
	recent, older evictedUsers // guarded by mu
	bytes         int64        // guarded by mu: of what was in them
	atMS          int64        // guarded by mu: when recent was begun
}

// evictedUsers is one generation.
type evictedUsers struct {
	of map[protocol.ShardID]map[protocol.UserID]evictedMailbox
	n  int
}

type evictedMailbox struct {
	last     protocol.Position
	marked   bool           // last tells of all that was written
	contents *store.Mailbox // nil: not kept
	taken    bool           // contents were dropped since another owner has had the shard
	bytes    int64          // of contents in memory
}

// evictedFor is how long a mailbox is known at least after it has left memory; while no shard is served that time does not pass. mostEvicted
// bounds a generation: with ids as long as a UUID 8 MB. keptIdle is how long a mailbox stays in memory at least after it was touched: a
// promoted replica lacks what did not reach it, mostly a second's worth; a fail-over that the lease outlives takes up to 2.4 s, and is seen
// in the claims 0.8 s later.
const (
	evictedFor  = time.Minute
	mostEvicted = 1 << 16
	keptIdle    = 5 * time.Second
)

// keep notes a mailbox that leaves memory. What was in it is kept as far as most bytes allow for all.
func (e *evicted) keep(at protocol.ShardID, user protocol.UserID, m evictedMailbox, most int64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.takeLocked(at, user)
	if e.bytes+m.bytes > most {
		m.contents, m.bytes = nil, 0
	}
	if e.recent.n < mostEvicted {
		e.recent.put(at, user, m)
		e.bytes += m.bytes
	}
}

func (u *evictedUsers) put(at protocol.ShardID, user protocol.UserID, m evictedMailbox) {
	if u.of == nil {
		u.of = make(map[protocol.ShardID]map[protocol.UserID]evictedMailbox)
	}
	if u.of[at] == nil {
		u.of[at] = make(map[protocol.UserID]evictedMailbox)
	}
	u.of[at][user] = m
	u.n++
}

// take is what is known of a mailbox that comes back into memory.
func (e *evicted) take(at protocol.ShardID, user protocol.UserID) (evictedMailbox, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.takeLocked(at, user)
}

func (e *evicted) takeLocked(at protocol.ShardID, user protocol.UserID) (m evictedMailbox, ok bool) {
	for _, u := range []*evictedUsers{&e.recent, &e.older} {
		if m, ok = u.of[at][user]; ok {
			delete(u.of[at], user)
			u.n--
			e.bytes -= m.bytes
			return m, true
		}
	}
	return m, false
}

// turn forgets those of the generation before, once this one is over.
func (e *evicted) turn(nowMS int64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if nowMS < e.atMS+evictedFor.Milliseconds() {
		return
	}
	for _, users := range e.older.of {
		for _, m := range users {
			e.bytes -= m.bytes
		}
	}
	e.older, e.recent, e.atMS = e.recent, evictedUsers{}, nowMS
}

// withContents are the users of a shard of whom all is kept.
func (e *evicted) withContents(at protocol.ShardID) (list []protocol.UserID) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, u := range []*evictedUsers{&e.recent, &e.older} {
		for user, m := range u.of[at] {
			if m.contents != nil {
				list = append(list, user)
			}
		}
	}
	return list
}

// forgetContents forgets what was in the mailboxes of a shard: the store has it, or another owner has had the shard since (taken).
func (e *evicted) forgetContents(at protocol.ShardID, taken bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, u := range []*evictedUsers{&e.recent, &e.older} {
		for user, m := range u.of[at] {
			e.bytes -= m.bytes
			m.taken = m.taken || taken && m.contents != nil
			m.contents, m.bytes = nil, 0
			u.of[at][user] = m
		}
	}
}

// evict is before b leaves memory, with contents where it is to be written again.
func (b *box) evict(contents bool) {
	if b.g.mender.replacer == nil || !b.Filled() {
		return
	}
	m := evictedMailbox{last: b.Last(), marked: b.Marked()}
	if contents {
		all := b.Contents(b.g.nowMS())
		m.contents, m.bytes = &all, b.Held()
	}
	b.g.evicted.keep(b.Owner.Shard, b.User(), m, b.g.cfg.MemoryBytes/4)
}

// reconcile compares what was loaded with what is known of the mailbox from before. What is lost is written again where it can be.
func (b *box) reconcile(ctx context.Context, kept store.Mailbox) (store.Mailbox, error) {
	g := b.g
	if g.mender.replacer == nil {
		return kept, nil
	}
	was, known := g.evicted.take(b.Owner.Shard, b.User())
	switch {
	case !known || was.last.Less(kept.Last):
		return kept, nil
	case was.contents == nil:
		if kept.Last.Less(was.last) {
			g.noteLost(b, was, kept.Last)
		}
		return kept, nil
	case was.last == kept.Last && was.marked:
		return kept, nil
	}
	if err := g.mender.replacer.Replace(ctx, b.Owner, b.User(), kept.Last, *was.contents); err != nil {
		g.evicted.keep(b.Owner.Shard, b.User(), was, g.cfg.MemoryBytes/4)
		return kept, err
	}
	if kept.Last.Less(was.last) {
		g.noteRewritten(*was.contents, kept.Last)
	}
	return *was.contents, nil
}

// noteLost tells of a mailbox of which the store has lost what memory has not any more.
func (g *Gateway) noteLost(b *box, was evictedMailbox, has protocol.Position) {
	why := lostUnloaded
	if was.taken {
		why = lostTaken
	}
	g.metrics.lostMailboxes[why].Inc()
	g.log.Error("the store has lost what it had answered", "user", b.User(), "shard", b.Owner.Shard, "reason", lostReasons[why],
		"last_epoch", was.last.Epoch, "last_micros", was.last.Micros, "has_epoch", has.Epoch, "has_micros", has.Micros)
}

// The reasons for which what is lost is not written again.
const (
	lostUnloaded = iota // the mailbox had left memory
	lostTaken           // another owner has had the shard since
)

var lostReasons = [...]string{lostUnloaded: "unloaded", lostTaken: "taken"}

// loadEvicted loads the users of a shard of whom all is kept, at a pace, so that what the store has lost of them is written again.
func (g *Gateway) loadEvicted(own *ownership) {
	users := g.evicted.withContents(own.Owner.Shard)
	at := link.Route{Shard: own.Owner.Shard, Epoch: own.Owner.Epoch}
	for len(users) > 0 && own.gate() == nil {
		pause := probePause
		var failed []protocol.UserID
		for _, u := range users[:min(probeMost, len(users))] {
			b, err := g.acquire(context.Background(), at, u)
			if err == nil {
				g.release(b)
			} else if !errors.Is(err, link.ErrNotOwner) {
				failed, pause = append(failed, u), retryPause
			}
		}
		users = append(users[min(probeMost, len(users)):], failed...)
		if !g.rest(pause) {
			return
		}
	}
	if own.gate() == nil {
		own.endProbes(1)
	}
}
