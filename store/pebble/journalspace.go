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

// journalSpace knows whether the journal can take more. If the disk has no room for the next segment, calls are refused by
// priority while the current one fills, and the end of it is left to what a checkpoint writes. If checkpoints do not keep
// up, calls wait (committer.join).
type journalSpace struct {
	journal      atomic.Pointer[journal.Journal] // nil: it is being opened
	segmentBytes int64                           // size of a segment

	mu          sync.Mutex
	behind      chan struct{} // closed once checkpoints have freed a segment; nil: they keep up
	behindSince time.Time
	noDisk      error // why the disk had no room for the next segment; nil: it had
}

// The journal takes a call only if more than this share of a segment is left (4: a quarter): by lane for messages, and for all else.
var (
	journalShares = [protocol.Lanes]int64{4, 3, 2}
	journalRest   = int64(8)
)

// prepared notes the result of journal.Prepare.
func (s *journalSpace) prepared(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.noDisk = nil
	if errors.Is(err, journal.ErrBehind) {
		if s.behind == nil {
			s.behind, s.behindSince = make(chan struct{}), time.Now()
		}
		return
	}
	if s.behind != nil {
		close(s.behind)
		s.behind = nil
	}
	s.noDisk = err
}

// pressed reports whether a checkpoint is urgent.
func (s *journalSpace) pressed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.behind != nil || s.noDisk != nil
}

// diskIsFull reports whether the disk had no room for the next segment.
func (s *journalSpace) diskIsFull() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.noDisk != nil
}

// wait returns a channel that callers have to wait for before they write behind so many bytes, or nil.
func (s *journalSpace) wait(before int) <-chan struct{} {
	if s.journal.Load().Room()-int64(before) >= s.segmentBytes/journalRest {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.behind
}

// admit returns ErrFull if less than segmentBytes/share is left and the disk has no room for another segment.
func (s *journalSpace) admit(share int64, what string) error {
	j := s.journal.Load()
	if j == nil || j.Room() >= s.segmentBytes/share {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.noDisk == nil {
		return nil
	}
	return fmt.Errorf("%w: the journal has room for %d KiB, %s needs %d KiB: %v", ErrFull, j.Room()/kiB, what, s.segmentBytes/share/kiB, s.noDisk)
}
