package pebble

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"ramen/store/pebble/journal"
)

// openJournal opens the journal from segment first on (0: a new one), and takes over what it has.
func (s *Store) openJournal(first uint64, identity []byte) error {
	sum := sha256.Sum256(append([]byte("ramen journal "), identity...))
	s.room.whole = segmentBytes(&s.cfg, s.memTable)
	j, err := journal.Open(journal.Config{
		FS: s.cfg.fs(), Dir: s.cfg.Dir, Secret: binary.LittleEndian.Uint32(sum[:]),
		SegmentBytes: s.room.whole, MaxSegments: maxSegments, Admit: s.space.admitJournal, NoSync: s.cfg.noSync,
	}, first, s.replayRecord)
	if err != nil {
		return err
	}
	s.journal = j
	s.room.journal.Store(j)
	return nil
}

// replay brings the store to where the last process left it: what its journal has is put into the engine, and the
// journal goes on behind.
func (s *Store) replay() error {
	if s.journal == nil { // else it was just created
		first, err := s.journalStart()
		if err != nil {
			return err
		}
		identity := append(binary.BigEndian.AppendUint32(nil, s.identity.Generation), s.identity.Key[:]...)
		if err := s.openJournal(first, identity); err != nil {
			return err
		}
	}
	s.epochs.replay(s.recent.claims)
	if number, _ := s.journal.Oldest(); number > 0 {
		last := s.journal.Current() - 1
		none := func() error { return nil }
		if err := s.checkpoint(last, none, none); err != nil {
			return fmt.Errorf("checkpoint what the journal has: %w", err)
		}
		s.journal.Release(last)
	}
	s.recent.old = s.epochs.highest()
	if s.room.whole <= journal.FirstBytes { // on a small disk: with two segments it needs no more of it to go on
		s.room.prepared(s.journal.Prepare(nil))
	}
	return nil
}

func (s *Store) replayRecord(segment uint64, payload []byte) error {
	return s.recent.apply(payload, segment, true)
}
