package cassandra

import (
	"fmt"
	"testing"
	"time"

	"ramen/protocol"
	"ramen/store"
	"ramen/store/storetest"
)

// lasting is a message at a position that lives for so long.
func lasting(id string, at protocol.Position, life time.Duration) store.Entry {
	e := message(0)
	e.Position, e.Message.ID = at, protocol.MessageID(id)
	e.Message.ExpiresMS = time.Now().Add(life).UnixMilli()
	return e
}

// wantMarkedFor wants a kill of e in its bucket that lives for so long at least.
func wantMarkedFor(t *testing.T, s *Store, at store.Owner, user protocol.UserID, e store.Entry, life time.Duration) {
	t.Helper()
	b := s.bucketOf(e.Position)
	rows := s.session.Query("SELECT step, TTL(step) FROM messages WHERE shard = ? AND user = ? AND epoch = ? AND slot = ?",
		int32(at.Shard), string(user), int64(b.epoch), int64(b.slot)).IterContext(t.Context())
	var value []byte
	var ttl int
	found := false
	for rows.Scan(&value, &ttl) {
		one, err := decodeStep(value)
		if err != nil {
			t.Fatal(err)
		}
		for _, ref := range one.kills {
			if ref.Position == e.Position {
				found = true
				if got := time.Duration(ttl) * time.Second; got < life {
					t.Errorf("what kills %s lives for %v, and that for %v", e.Message.ID, got, life)
				}
			}
		}
	}
	if err := rows.Close(); err != nil || !found {
		t.Fatalf("%s is not killed; %v", e.Message.ID, err)
	}
}

func mustAppend(t *testing.T, s *Store, a store.Append) {
	t.Helper()
	if err := storetest.Append(t.Context(), s, []store.Append{a})[0]; err != nil {
		t.Fatal(err)
	}
}

func mustClaim(t *testing.T, s *Store, at store.Owner) {
	t.Helper()
	if errs := s.Claim(t.Context(), []protocol.ShardID{at.Shard}, at.Epoch, fmt.Sprint("owner", at.Epoch)); errs != nil {
		t.Fatal(errs)
	}
}

func refOf(e store.Entry) store.Ref {
	return store.Ref{Priority: e.Message.Priority, Position: e.Position}
}

// TestAKillLivesAsLongAsWhatItKills: a message that was recalled would come back once its kill has expired.
func TestAKillLivesAsLongAsWhatItKills(t *testing.T) {
	p := place(t, "&timeout=5s")
	at := store.Owner{Shard: 1, Epoch: 1}
	const slot = uint64(600_000_000)
	first := uint64(time.Now().UnixMicro()) / slot * slot // the first position of a bucket
	pos := func(n uint64) protocol.Position { return protocol.Position{Epoch: 1, Micros: first + n} }

	t.Run("the life of its bucket was forgotten here", func(t *testing.T) {
		s := openStore(t, p)
		defer s.Close()
		mustClaim(t, s, at)
		long := lasting("long", pos(1), 20*time.Hour)
		mustAppend(t, s, store.Append{Owner: at, User: "a", Entries: []store.Entry{long}})
		for i := range 2*indexMost + 1 { // as many other users
			s.index.put(indexKey{2, protocol.UserID(fmt.Sprint(i)), s.bucketOf(pos(1)), protocol.PriorityHigh}, 1, 0)
		}
		mustAppend(t, s, store.Append{Owner: at, User: "a", Entries: []store.Entry{lasting("short", pos(2), time.Hour)}})
		mustAppend(t, s, store.Append{Owner: at, User: "a", Kills: []store.Ref{refOf(long)}})
		wantMarkedFor(t, s, at, "a", long, 20*time.Hour)
	})
	t.Run("it is in a step that ends in the next bucket", func(t *testing.T) {
		s := openStore(t, p)
		defer s.Close()
		mustClaim(t, s, at)
		long := lasting("long", pos(slot-1), 20*time.Hour)
		mustAppend(t, s, store.Append{Owner: at, User: "b", Entries: []store.Entry{lasting("short", pos(1), time.Hour)}})
		mustAppend(t, s, store.Append{Owner: at, User: "b", Entries: []store.Entry{long, lasting("next", pos(slot+1), time.Hour)}})
		mustAppend(t, s, store.Append{Owner: at, User: "b", Kills: []store.Ref{refOf(long)}})
		wantMarkedFor(t, s, at, "b", long, 20*time.Hour)
	})
	t.Run("the owner before took it after the next had claimed", func(t *testing.T) {
		before, s := openStore(t, p), openStore(t, p)
		defer before.Close()
		defer s.Close()
		mustClaim(t, before, at)
		next := store.Owner{Shard: 1, Epoch: 2}
		mustClaim(t, s, next)
		const life = 20 * 24 * time.Hour
		long := lasting("long", pos(3), life)
		mustAppend(t, before, store.Append{Owner: at, User: "c", Entries: []store.Entry{long}})
		if m, err := s.Load(t.Context(), next, "c"); err != nil || len(m.Entries) != 1 {
			t.Fatalf("%d entries; %v", len(m.Entries), err)
		}
		mustAppend(t, s, store.Append{Owner: next, User: "c", Kills: []store.Ref{refOf(long)}})
		wantMarkedFor(t, s, at, "c", long, life)
	})
}

// TestIdsOfAStepThatWasInDoubtForLong are seen for the retention from when it was written at last, not from when its messages came: that of
// the outage would be over by then, and a message that devices have acked come twice.
func TestIdsOfAStepThatWasInDoubtForLong(t *testing.T) {
	p := place(t, "&timeout=5s")
	at := store.Owner{Shard: 1, Epoch: 1}
	const outage = time.Hour
	came := time.Now().Add(-outage)
	first := uint64(came.UnixMicro())
	late := func(id string, n uint64) store.Entry {
		e := lasting(id, protocol.Position{Epoch: 1, Micros: first + n}, -outage/2)
		e.Message.CreatedMS = came.UnixMilli()
		return e
	}
	for _, c := range []struct {
		name    string
		indexed bool // its bucket was in use before the outage
		known   bool // and this process remembers that
	}{{"bucket is new", false, false}, {"bucket is old", true, true}, {"bucket is old, which is not known here", true, false}} {
		t.Run(c.name, func(t *testing.T) {
			s := openStore(t, p)
			mustClaim(t, s, at)
			user := protocol.UserID(c.name)
			e := late("late", 2)
			b := s.bucketOf(e.Position)
			if c.indexed { // as the step before wrote it
				x := indexed{b, e.Message.Priority, time.Now().Add(20 * time.Hour).UnixMilli(), came.UnixMilli(), first + 1}
				if err := s.putIndexed(t.Context(), at.Shard, user, []indexed{x}, came.UnixMilli()); err != nil {
					t.Fatal(err)
				}
				if c.known {
					s.index.put(indexKey{at.Shard, user, b, e.Message.Priority}, x.expiresMS, x.lagS())
				}
			}
			mustAppend(t, s, store.Append{Owner: at, User: user, Entries: []store.Entry{e}})
			written := time.Now()
			below := protocol.Position{Epoch: 1, Micros: uint64(written.UnixMicro())}
			if errs := s.Forget(t.Context(), []store.Forget{{Owner: at, User: user, Below: protocol.Positions{below, below, below}}}); errs != nil {
				t.Fatal(errs)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			s = openStore(t, p)
			defer s.Close()
			m, err := s.Load(t.Context(), at, user)
			if err != nil || len(m.Entries) != 0 || len(m.Seen) != 1 || m.Seen[0].ID != "late" {
				t.Fatalf("%d entries, seen %v, want the id of that which was written late; %v", len(m.Entries), m.Seen, err)
			}
			if ms := m.Seen[0].AcceptedMS; ms < written.Add(-time.Minute).UnixMilli() {
				t.Errorf("it is remembered from %v on, and was written at %v", time.UnixMilli(ms), written)
			}
		})
	}
}

// TestWhatIsForgottenOfAStepOfTwoBucketsStaysForgotten: a step is in the bucket of its last position, and what is forgotten of it is found
// by the positions of its entries.
func TestWhatIsForgottenOfAStepOfTwoBucketsStaysForgotten(t *testing.T) {
	p := place(t, "&timeout=5s")
	s, at := openStore(t, p), store.Owner{Shard: 1, Epoch: 1}
	mustClaim(t, s, at)
	const slot = uint64(600_000_000)
	next := uint64(time.Now().UnixMicro()) / slot * slot
	one, two := lasting("one", protocol.Position{Epoch: 1, Micros: next - 1}, time.Hour), lasting("two", protocol.Position{Epoch: 1, Micros: next}, time.Hour)
	mustAppend(t, s, store.Append{Owner: at, User: "u", Entries: []store.Entry{one, two}})
	if errs := s.Forget(t.Context(), []store.Forget{{Owner: at, User: "u", Refs: []store.Ref{refOf(one)}}}); errs != nil {
		t.Fatal(errs)
	}
	if err := s.Close(); err != nil { // and writes it
		t.Fatal(err)
	}
	s = openStore(t, p)
	defer s.Close()
	m, err := s.Load(t.Context(), at, "u")
	if err != nil || len(m.Entries) != 1 || m.Entries[0].Message.ID != "two" {
		t.Errorf("%d entries, want that which was not forgotten; %v", len(m.Entries), err)
	}
}
