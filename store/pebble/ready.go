package pebble

import (
	"fmt"
	"time"

	"ramen/protocol"
	"ramen/store"
)

var _ store.Readier = (*Store)(nil)

// stalledAfter is how long a write may take, or calls may wait for a segment, before the store is not ready: callers have given up
// by then.
const stalledAfter = time.Second

// Ready implements store.Readier.
func (s *Store) Ready() error {
	// Checked first: a disk that does not respond may not say how much is free, either.
	if took := s.commits.underWay(); took > stalledAfter {
		return fmt.Errorf("%w: a write has taken %v so far", ErrStalled, took.Round(time.Millisecond))
	}
	if took := s.journalSpace.holds(); took > stalledAfter {
		return fmt.Errorf("%w: checkpoints have not kept up for %v, and the journal has no room before they do", ErrStalled, took.Round(time.Millisecond))
	}
	return s.diskSpace.refusal(protocol.PriorityHigh, 0)
}

// underWay is how long the journal's write under way has taken so far; 0: there is none.
func (c *committer) underWay() time.Duration {
	began := c.writing.Load()
	if began == 0 {
		return 0
	}
	return time.Since(c.started) - time.Duration(began)
}

// holds is how long calls have had to wait for checkpoints; 0: they do not wait.
func (s *journalSpace) holds() time.Duration {
	if j := s.journal.Load(); j == nil || s.wait(0) == nil {
		return 0
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.behind == nil {
		return 0
	}
	return time.Since(s.behindSince)
}
