package pebble

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"ramen/store/pebble/journal"
)

// journalSecret is where the journal's checksums start: of the identity that the store was made with.
func journalSecret(identity []byte) uint32 {
	sum := sha256.Sum256(append([]byte("ramen journal "), identity...))
	return binary.LittleEndian.Uint32(sum[:])
}

// openJournal opens the journal from segment first on (0: a new one), and takes over what it has.
func (s *Store) openJournal(first uint64) error {
	s.journalSpace.segmentBytes = segmentBytes(&s.cfg, s.memTable)
	j, err := journal.Open(journal.Config{
		FS: s.cfg.fs(), Dir: s.cfg.Dir, Secret: s.secret,
		SegmentBytes: s.journalSpace.segmentBytes, MaxSegments: maxSegments, Admit: s.diskSpace.admitJournal, NoSync: s.cfg.noSync,
		Lenient: s.format < sizedFormat, Warn: s.told, Salvage: s.cfg.salvage != nil,
	}, first, s.replayRecord)
	if errors.Is(err, journal.ErrDamaged) {
		err = fmt.Errorf("%w; restore a backup, or save what can be read: ramen store verify --repair %s", err, s.cfg.Dir)
	}
	if err != nil {
		return err
	}
	if found := j.Found(); found.Segments > 0 && !found.Ended && s.format >= sizedFormat {
		s.log.Info("store: the last process did not shut down cleanly; the accepted messages were read from the journal", "records", found.Records, "segments", found.Segments)
	}
	s.journal = j
	s.journalSpace.journal.Store(j)
	return nil
}

// told passes on what the journal left out.
func (s *Store) told(n journal.Note) {
	if s.cfg.salvage != nil {
		s.renewing = s.renewing || n.Lost
		s.cfg.salvage(n)
		return
	}
	s.log.Warn("store: the end of the journal", "segment", n.Segment, "record", n.Record, "byte", n.At, "found", n.Text)
}

// replay brings the store to where the last process left it: what its journal has is put into the engine, and the
// journal goes on behind.
func (s *Store) replay() error {
	if s.journal == nil { // else it was just created
		first, err := s.journalStart()
		if err != nil {
			return err
		}
		if err := s.openJournal(first); err != nil {
			return err
		}
	}
	if s.renewing { // a repair finds out here: before what it leaves out is gone for good
		if err := writeSynced(s.cfg.fs(), s.cfg.Dir, restoredName, []byte(markerText)); err != nil {
			return fmt.Errorf("write %s: %w", restoredName, err)
		}
	}
	s.epochs.replay(s.overlay.claims)
	if number, _ := s.journal.Oldest(); number > 0 {
		last := s.journal.Current() - 1
		none := func() error { return nil }
		if err := s.checkpoint(last, none, none); err != nil {
			return fmt.Errorf("checkpoint what the journal has: %w", err)
		}
		s.journal.Release(last)
	}
	if s.format < formatVersion { // before the first record that an older release cannot read
		if err := s.setFormat(); err != nil {
			return err
		}
		s.log.Info("store: the directory was upgraded to a newer format; older releases cannot open it", "was", s.format, "is", formatVersion)
	}
	if s.renewing {
		if err := s.renew(); err != nil {
			return err
		}
	}
	s.overlay.oldEpoch = s.epochs.highest()
	if s.journalSpace.segmentBytes <= journal.FirstBytes { // on a small disk: with two segments it needs no more of it to go on
		s.journalSpace.prepared(s.journal.Prepare(nil))
	}
	return nil
}

func (s *Store) replayRecord(segment uint64, payload []byte) error {
	return s.overlay.replay(payload, segment)
}
