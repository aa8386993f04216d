package pebble

import (
	"fmt"
	"time"

	"ramen/protocol"
	"ramen/store"
)

var _ store.Readier = (*Store)(nil)

// stalledAfter is how long a write may be under way, or calls be held for want of a segment, before the store is not ready: by
// then those who wait for it have been told that their outcome is unknown.
const stalledAfter = time.Second

// Ready implements store.Readier.
func (s *Store) Ready() error {
	// First, since a disk that does not answer may not say what is free on it either.
	if took := s.commits.underWay(); took > stalledAfter {
		return fmt.Errorf("%w: a write has taken %v so far", ErrStalled, took.Round(time.Millisecond))
	}
	if took := s.room.holds(); took > stalledAfter {
		return fmt.Errorf("%w: checkpoints have not kept up for %v, and the journal has no room before they do", ErrStalled, took.Round(time.Millisecond))
	}
	return s.space.refusal(protocol.PriorityHigh, 0)
}

// underWay is how long the journal's present write has taken; 0 where there is none.
func (c *committer) underWay() time.Duration {
	began := c.writing.Load()
	if began == 0 {
		return 0
	}
	return time.Since(c.started) - time.Duration(began)
}

// holds is how long checkpoints have been behind, where calls are held for them; 0 where they are not.
func (r *room) holds() time.Duration {
	if j := r.journal.Load(); j == nil || r.wait(0) == nil {
		return 0
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.behind == nil {
		return 0
	}
	return time.Since(r.since)
}
