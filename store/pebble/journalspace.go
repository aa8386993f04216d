package pebble

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"ramen/protocol"
	"ramen/store/pebble/journal"
)

// room is whether the journal has room for more. Where the disk has none for its next segment, the present one must do: it
// refuses by priority before it is full, and keeps the last of it for what a checkpoint needs. Where checkpoints do
// not keep up, callers wait (committer.join).
type room struct {
	journal atomic.Pointer[journal.Journal] // nil: it is being opened
	whole   int64                           // bytes of a segment

	mu      sync.Mutex
	behind  chan struct{} // closed when there is a segment again; nil: there is
	since   time.Time     // of behind
	starved error         // why the disk has none
}

// What must be left, as shares of a segment: by lane for a message, for anything else, and for what is written while callers wait.
var (
	roomShares = [protocol.Lanes]int64{4, 3, 2}
	roomRest   = int64(8)
)

// prepared takes over the outcome of journal.Prepare.
func (r *room) prepared(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.starved = nil
	if errors.Is(err, journal.ErrBehind) {
		if r.behind == nil {
			r.behind, r.since = make(chan struct{}), time.Now()
		}
		return
	}
	if r.behind != nil {
		close(r.behind)
		r.behind = nil
	}
	r.starved = err
}

// pressed reports that a checkpoint must not be put off.
func (r *room) pressed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.behind != nil || r.starved != nil
}

// isStarved reports that the disk had no room for the next segment.
func (r *room) isStarved() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.starved != nil
}

// wait is a channel to wait for where callers have to, with so many bytes before them; nil: they need not.
func (r *room) wait(before int) <-chan struct{} {
	if r.journal.Load().Room()-int64(before) >= r.whole/roomRest {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.behind
}

// admit answers ErrFull where less than a share of a segment is left, and the disk has no room for another.
func (r *room) admit(share int64, what string) error {
	j := r.journal.Load()
	if j == nil || j.Room() >= r.whole/share {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.starved == nil {
		return nil
	}
	return fmt.Errorf("%w: the journal has room for %d KiB, %s needs %d KiB: %v", ErrFull, j.Room()/kiB, what, r.whole/share/kiB, r.starved)
}
