// Package presence reads which owners of shards are there, for a store that reads their claims: each owner once, as soon as the first
// claim of it is read, so that a server that does not answer holds up neither.
//
// Invariants:
//
//  1. An owner's presence is read after a claim of that owner at that epoch was: who claims has said before that it is there.
//
//  2. What could not be read is not absence: the owner counts as present, and its claims say so.
//
// Goroutines: one an owner and epoch, until it is read. Fill waits for all of them.
package presence

import (
	"sync"

	"ramen/protocol"
	"ramen/store"
)

// Reader reads who is there for one reading of claims. It is safe for concurrent use until Fill.
type Reader struct {
	read func(owner string) (bool, error)

	running sync.WaitGroup
	mu      sync.Mutex
	asked   map[holder]*answer // guarded by mu
}

// holder is an owner at the epoch of a claim.
type holder struct {
	owner string
	epoch protocol.Epoch
}

type answer struct{ present, unread bool }

// New is a Reader for one reading of claims. read ends with the context of that.
func New(read func(owner string) (bool, error)) *Reader {
	return &Reader{read: read, asked: make(map[holder]*answer)}
}

// Ask has the presence of the owner of c read, unless it is being read. It does not wait.
func (r *Reader) Ask(c store.Claimed) {
	if c.Owner == "" {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	h := holder{c.Owner, c.Epoch}
	if r.asked[h] != nil {
		return
	}
	a := new(answer)
	r.asked[h] = a
	r.running.Go(func() {
		present, err := r.read(c.Owner)
		a.present, a.unread = present || err != nil, err != nil
	})
}

// Fill waits until all that was asked is read, and notes it in the claims.
func (r *Reader) Fill(claims []store.Claimed) {
	r.running.Wait()
	for i := range claims {
		c := &claims[i]
		if a := r.asked[holder{c.Owner, c.Epoch}]; a != nil {
			c.Present, c.PresenceUnread = a.present, a.unread
		}
	}
}
