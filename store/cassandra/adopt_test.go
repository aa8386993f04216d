package cassandra

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"ramen/protocol"
	"ramen/store"
)

// TestNobodyClaimsAStoreThatHasBecomeAnother since it was opened.
func TestNobodyClaimsAStoreThatHasBecomeAnother(t *testing.T) {
	p := place(t, "&timeout=2s")
	claiming := func(s *Store, epoch protocol.Epoch) error {
		return errors.Join(s.Claim(t.Context(), []protocol.ShardID{1, 2}, epoch, "server")...)
	}
	before, copying := openStore(t, p), openStore(t, p)
	defer before.Close()
	defer copying.Close()
	id := store.Identity{Generation: 7, Key: [16]byte{7}}
	if err := errors.Join(copying.Adopt(t.Context(), id), copying.Adopt(t.Context(), id)); err != nil {
		t.Fatal(err)
	}
	if err := claiming(before, 9); !errors.Is(err, store.ErrReplaced) {
		t.Errorf("claim by who opened it before: %v", err)
	}
	if last, err := copying.LastEpoch(t.Context()); err != nil || last != 0 {
		t.Errorf("it is claimed at epoch %d, %v", last, err)
	}
	serving := openStore(t, p)
	defer serving.Close()
	if err := claiming(serving, 9); err != nil || serving.Identity() != id {
		t.Errorf("%v, identity %+v", err, serving.Identity())
	}
	if err := copying.Adopt(t.Context(), store.Identity{Generation: 8}); err == nil || copying.Identity() != id {
		t.Errorf("a store that was used has adopted another identity: %v", err)
	}
	if err := copying.Retire(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := claiming(serving, 10); !errors.Is(err, store.ErrReplaced) {
		t.Errorf("claim by who served from it before it was retired: %v", err)
	}
	next := openStore(t, p)
	defer next.Close()
	if got := next.Identity(); got.Generation == id.Generation {
		t.Errorf("a retired store has its identity still: %+v", got)
	}
	if err := claiming(next, 10); err != nil {
		t.Error(err)
	}
}

// TestAdoptAndClaimAtOnce: never do both succeed.
func TestAdoptAndClaimAtOnce(t *testing.T) {
	p := place(t, "&timeout=2s")
	admin := openStore(t, p)
	defer admin.Close()
	adopted, claimed := 0, 0
	const rounds = 24
	for i := range rounds {
		if err := admin.session.Query("TRUNCATE claims").Exec(); err != nil { // it was never used
			t.Fatal(err)
		}
		serving, copying := openStore(t, p), openStore(t, p)
		was, id := serving.Identity(), store.Identity{Generation: uint32(i + 1), Key: [16]byte{byte(i + 1)}}
		var adopting, claiming error
		var both sync.WaitGroup
		both.Go(func() { adopting = copying.Adopt(t.Context(), id) })
		both.Go(func() {
			for range i % 6 { // at another moment of it each time
				_, _ = serving.LastEpoch(t.Context())
			}
			claiming = errors.Join(serving.Claim(t.Context(), []protocol.ShardID{1}, 1, "server")...)
		})
		both.Wait()
		next := openStore(t, p)
		got := next.Identity()
		switch {
		case adopting == nil && claiming == nil:
			t.Error("it was adopted and claimed")
		case adopting == nil:
			if adopted++; got != id {
				t.Errorf("identity %+v, want %+v", got, id)
			}
		case claiming == nil:
			if claimed++; got != was {
				t.Errorf("identity %+v, want %+v: %v", got, was, adopting)
			}
		}
		if err := errors.Join(serving.Close(), copying.Close(), next.Close()); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d times adopted, %d times claimed, of %d", adopted, claimed, rounds)
}

// TestAClaimThatHasLookedBeforeAStoreWasAdopted fails, although it is written after it.
func TestAClaimThatHasLookedBeforeAStoreWasAdopted(t *testing.T) {
	p := place(t, "&timeout=2s")
	serving, copying := openStore(t, p), openStore(t, p)
	defer serving.Close()
	defer copying.Close()
	if err := errors.Join(serving.isSame(t.Context()), copying.Adopt(t.Context(), store.Identity{Generation: 7})); err != nil {
		t.Fatal(err)
	}
	looked := func() error { return nil }
	if err := errors.Join(serving.claimParts(t.Context(), []protocol.ShardID{1}, 1, "server", looked)...); !errors.Is(err, store.ErrReplaced) {
		t.Errorf("it has claimed: %v", err)
	}
}

// TestUsersOfOneTokenAreNamed wherever a page ends: who chooses names can choose several of one token.
func TestUsersOfOneTokenAreNamed(t *testing.T) {
	s := openStore(t, place(t, "&timeout=2s"))
	defer s.Close()
	at := store.Owner{Shard: 1, Epoch: 1}
	if errs := s.Claim(t.Context(), []protocol.ShardID{1}, 1, "test"); errs != nil {
		t.Fatal(errs)
	}
	var want []protocol.UserID
	for range 3 {
		a, b := ofOneToken(rand.New(rand.NewPCG(uint64(len(want)), 0)))
		want = append(want, a, b)
	}
	for i := range 20 {
		want = append(want, protocol.UserID(fmt.Sprint("user-", i)))
	}
	var saves []store.DeviceSave
	for _, u := range want {
		saves = append(saves, store.DeviceSave{Owner: at, User: u, Device: store.Device{ID: "d"}})
	}
	if errs := s.SaveDevices(t.Context(), saves, true); errs != nil {
		t.Fatal(errs)
	}
	slices.Sort(want)
	tokens := make(map[int64]int)
	all := s.session.Query("SELECT token(shard, user) FROM users").Iter()
	for token := int64(0); all.Scan(&token); {
		tokens[token]++
	}
	if err := all.Close(); err != nil || len(tokens) != len(want)-3 {
		t.Fatalf("%d tokens of %d users, %v", len(tokens), len(want), err)
	}
	for _, limit := range []int{1, 2, 3, 1000} {
		var got []protocol.UserID
		for page, n := "", 0; n == 0 || page != ""; n++ {
			users, next, err := s.Users(t.Context(), page, limit)
			if err != nil || n > 2*len(want) {
				t.Fatal(n, err)
			}
			for _, u := range users {
				got = append(got, u.User)
			}
			page = next
		}
		slices.Sort(got)
		if got = slices.Compact(got); !slices.Equal(got, want) {
			t.Errorf("in pages of %d: %d users, want %d", limit, len(got), len(want))
		}
	}
}

// ofOneToken makes two names whose partitions, in one shard, have one token: MurmurHash3 x64 128 takes blocks of 16 bytes, and a
// difference in one bit of each half of a block is undone by one in the next (Aumasson, Bernstein: SipHash, 2012).
func ofOneToken(r *rand.Rand) (a, b protocol.UserID) {
	const c1, c2 = 0x87c37b91114253d5, 0x4cf5ad432745937f
	h1, h2 := pair(r, c1, 31, c2, 1<<36), pair(r, c2, 33, c1, 1<<32)
	next := pair(r, c1, 31, c2, 1<<63)
	// Before the name there are 9 bytes: the shard, with its length, and the length of the name.
	name := func(i int) protocol.UserID {
		return protocol.UserID("pad-pad" + h1[i] + h2[i] + next[i] + "12345678")
	}
	return name(0), name(1)
}

// pair draws two texts of eight bytes that differ by diff once MurmurHash3 has mixed them: times a, rotated left, times b.
func pair(r *rand.Rand, a uint64, rotate int, b, diff uint64) [2]string {
	a, b = inverse(a), inverse(b)
	text := func(mixed uint64) (string, bool) {
		raw := binary.LittleEndian.AppendUint64(nil, bits.RotateLeft64(mixed*b, -rotate)*a)
		return string(raw), !slices.ContainsFunc(raw, func(c byte) bool { return c > '~' })
	}
	for {
		mixed := r.Uint64()
		x, good := text(mixed)
		if !good {
			continue
		}
		if y, good := text(mixed ^ diff); good {
			return [2]string{x, y}
		}
	}
}

// inverse is of an odd number, modulo 2^64.
func inverse(a uint64) uint64 {
	x := a
	for range 6 { // by Newton's way: twice as many bits each time
		x *= 2 - a*x
	}
	return x
}
