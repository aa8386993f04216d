package pebble

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	engine "github.com/cockroachdb/pebble/v2"

	"ramen/store"
)

// Adopt implements store.Adopter. The journal's checksums go on with the identity that the store was made with.
func (s *Store) Adopt(_ context.Context, id store.Identity) error {
	if id == s.identity {
		return nil
	}
	if last := s.epochs.highest(); last > 0 {
		return fmt.Errorf("store/pebble: adopt: the store in %s was used before, up to epoch %d: use an empty folder", s.cfg.Dir, last)
	}
	b := s.db.NewBatch()
	defer b.Close()
	_ = b.Set(keyGeneration, binary.BigEndian.AppendUint32(nil, id.Generation), nil) // a batch in memory does not fail
	_ = b.Set(keyCursorKey, id.Key[:], nil)
	if err := errors.Join(b.Commit(engine.NoSync), s.db.Flush()); err != nil {
		return fmt.Errorf("store/pebble: adopt: %w", err)
	}
	s.identity = id
	return nil
}

// Retire implements store.Retirer: the next Open takes the store for one that was set back.
func (s *Store) Retire(context.Context) error {
	if err := writeSynced(s.cfg.fs(), s.cfg.Dir, restoredName, []byte(markerText)); err != nil {
		return fmt.Errorf("store/pebble: retire: write %s: %w", restoredName, err)
	}
	return nil
}
