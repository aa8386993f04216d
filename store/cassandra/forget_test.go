package cassandra

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"ramen/internal/testserver"
	"ramen/protocol"
	"ramen/store"
)

// TestWhatFollowsAForgetWaitsForIt: while what was forgotten is being written it is not loaded, and what is appended, or saved, of its
// user is not answered: it would survive a crash, and that not.
func TestWhatFollowsAForgetWaitsForIt(t *testing.T) {
	s := openStore(t, place(t, "&timeout=10s"))
	defer s.Close()
	at := store.Owner{Shard: 1, Epoch: 1}
	mustClaim(t, s, at)
	for what, next := range map[string]func(t *testing.T, user protocol.UserID, n uint64){
		"append": func(t *testing.T, user protocol.UserID, n uint64) {
			mustAppend(t, s, store.Append{Owner: at, User: user, Entries: []store.Entry{message(n)}})
		},
		"save": func(t *testing.T, user protocol.UserID, _ uint64) {
			if errs := s.SaveDevices(t.Context(), []store.DeviceSave{{Owner: at, User: user, Device: store.Device{ID: "d"}}}, true); errs != nil {
				t.Fatal(errs)
			}
		},
		"load": func(t *testing.T, user protocol.UserID, _ uint64) {
			if m, err := s.Load(t.Context(), at, user); err != nil || len(m.Entries) != 0 {
				t.Errorf("%d entries are loaded that were forgotten; %v", len(m.Entries), err)
			}
		},
	} {
		t.Run(what, func(t *testing.T) {
			user := protocol.UserID(what)
			e := message(1)
			mustAppend(t, s, store.Append{Owner: at, User: user, Entries: []store.Entry{e}})
			if errs := s.Forget(t.Context(), []store.Forget{slowForget(s, at, user, e)}); errs != nil {
				t.Fatal(errs)
			}
			var writer sync.WaitGroup
			defer writer.Wait()
			writer.Go(func() { _ = s.flushForgets(context.Background(), userKey{at.Shard, user}) })
			awaitTaken(t, s, userKey{at.Shard, user})
			next(t, user, 2)
			var n int
			err := s.session.Query("SELECT count(*) FROM users WHERE shard = ? AND user = ? AND item >= ? AND item < ?",
				int32(at.Shard), string(user), []byte{itemForgotten}, []byte{itemForgotten + 1}).ScanContext(t.Context(), &n)
			if err != nil || n == 0 && what != "load" {
				t.Errorf("%d items of what was forgotten are written; %v", n, err)
			}
		})
	}
}

// slowForget forgets e and so much else that it takes the server a while.
func slowForget(s *Store, at store.Owner, user protocol.UserID, e store.Entry) store.Forget {
	f := store.Forget{Owner: at, User: user, Refs: []store.Ref{refOf(e)}}
	for b := range uint64(1000) {
		for n := range uint64(200) {
			p := protocol.Position{Epoch: 1, Micros: (1+b)*uint64(s.slot.Microseconds()) + n}
			f.Refs = append(f.Refs, store.Ref{Priority: protocol.PriorityLow, Position: p})
		}
	}
	return f
}

// awaitTaken waits until what waits of a user is being written.
func awaitTaken(t *testing.T, s *Store, k userKey) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := testserver.Await(ctx, func() error {
		s.forgets.mu.Lock()
		defer s.forgets.mu.Unlock()
		if s.forgets.of[k] != nil {
			return fmt.Errorf("it waits")
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}
