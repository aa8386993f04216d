package pebble

import (
	"encoding/binary"
	"errors"
	"testing"

	engine "github.com/cockroachdb/pebble/v2"

	"ramen/protocol"
	"ramen/store"
)

// TestClaimsBeforeFormatFourHaveNoOwner: a directory of the release before opens; nobody claims at an epoch of its claims, and
// everybody above.
func TestClaimsBeforeFormatFourHaveNoOwner(t *testing.T) {
	cfg := testConfig(t, nil)
	s := mustOpen(t, cfg)
	const inTables, inJournal = 1, 2
	if err := s.db.Set(appendEpochKey(nil, inTables), binary.BigEndian.AppendUint64(nil, 5), engine.NoSync); err != nil {
		t.Fatal(err)
	}
	g, err := s.commits.join(t.Context(), durable, func(o *ops) bool {
		o.b = binary.BigEndian.AppendUint64(append(o.b, opClaimV3), 5)
		o.b = binary.BigEndian.AppendUint32(append(o.b, 1), inJournal)
		return true
	})
	if err == nil {
		err = s.commits.wait(t.Context(), g)
	}
	if err != nil {
		t.Fatal(err)
	}
	putFormat(t, s, 3)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = mustOpen(t, cfg)
	defer s.Close()
	if last, _ := s.LastEpoch(t.Context()); last != 5 {
		t.Errorf("last epoch %d, want 5", last)
	}
	for i, err := range s.Claim(t.Context(), []protocol.ShardID{inTables, inJournal}, 5, "me") {
		var fenced *store.FencedError
		if !errors.As(err, &fenced) || *fenced != (store.FencedError{Epoch: 5}) {
			t.Errorf("claim %d at the same epoch: %v", i, err)
		}
	}
	if errs := s.Claim(t.Context(), []protocol.ShardID{inTables, inJournal}, 6, "me"); errs != nil {
		t.Errorf("claim at the next epoch: %v", errs)
	}
}
