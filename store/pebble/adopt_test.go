package pebble

import (
	"fmt"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"ramen/protocol"
	"ramen/store"
)

// TestUsersAreNamedWhereverTheirRowsAre: in the journal, in tables, in both, or only as an id in a bucket.
func TestUsersAreNamedWhereverTheirRowsAre(t *testing.T) {
	s := open(t, testConfig(t, vfs.NewMem()))
	var want []protocol.UserID
	add := func(user string, micros uint64, killed bool) {
		e := entry(fmt.Sprintf("%s-%d", user, micros), protocol.PriorityHigh, micros)
		if err := appendOne(t.Context(), s, protocol.UserID(user), e); err != nil {
			t.Fatal(err)
		}
		if killed {
			if errs := s.Forget(t.Context(), []store.Forget{{Owner: owner, User: protocol.UserID(user), Refs: []store.Ref{{Priority: protocol.PriorityHigh, Position: e.Position}}}}); errs != nil {
				t.Fatal(errs)
			}
		}
		want = append(want, protocol.UserID(user))
	}
	for i := range 30 {
		add(fmt.Sprintf("old-%d", i), 1, i%3 == 0)
	}
	checkpoint(t, s)
	for i := range 30 {
		add(fmt.Sprintf("new-%d", i), 2, i%3 == 0)
	}
	for i := range 10 {
		add(fmt.Sprintf("old-%d", i), 3, false)
	}
	slices.Sort(want)
	want = slices.Compact(want)
	for _, limit := range []int{1, 7, 100} {
		var got []protocol.UserID
		for page, first := "", true; first || page != ""; first = false {
			users, next, err := s.Users(t.Context(), page, limit)
			if err != nil || len(users) > limit {
				t.Fatal(len(users), err)
			}
			for _, u := range users {
				if u.Shard != owner.Shard {
					t.Errorf("%+v", u)
				}
				got = append(got, u.User)
			}
			page = next
		}
		if !slices.Equal(got, want) { // in order, and each once
			t.Errorf("in pages of %d: %v, want %v", limit, got, want)
		}
	}
}

// TestAnAdoptedIdentitySurvivesALossOfPower, and with it the store: its journal's checksums do not depend on it.
func TestAnAdoptedIdentitySurvivesALossOfPower(t *testing.T) {
	fs := vfs.NewCrashableMem()
	cfg := testConfig(t, fs)
	s := mustOpen(t, cfg)
	want := store.Identity{Generation: 9, Key: [16]byte{9, 9}}
	if err := s.Adopt(t.Context(), want); err != nil {
		t.Fatal(err)
	}
	claim(t, s)
	if err := appendOne(t.Context(), s, "u", entry("a", protocol.PriorityHigh, 1)); err != nil {
		t.Fatal(err)
	}
	cfg.FS = fs.CrashClone(vfs.CrashCloneCfg{})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, cfg)
	if s.Identity() != want {
		t.Errorf("identity %v, want %v", s.Identity(), want)
	}
	if box, err := s.Load(t.Context(), owner, "u"); err != nil || len(box.Entries) != 1 {
		t.Errorf("%+v, %v", box, err)
	}
}

// TestARetiredStoreHonoursNoCursorOfBefore, and goes on beyond the epochs that its successor may give.
func TestARetiredStoreHonoursNoCursorOfBefore(t *testing.T) {
	cfg := testConfig(t, vfs.NewMem())
	s := mustOpen(t, cfg)
	claim(t, s)
	was := s.Identity()
	if err := s.Retire(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for range 2 { // for good
		s = mustOpen(t, cfg)
		if last, _ := s.LastEpoch(t.Context()); s.Identity().Generation == was.Generation || last < 1000 {
			t.Errorf("generation %d as before, epoch %d", s.Identity().Generation, last)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
