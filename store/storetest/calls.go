package storetest

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"ramen/protocol"
	"ramen/store"
)

func testCalls(t *testing.T, cfg Config) {
	t.Run("EndedContextDoesNothing", func(t *testing.T) {
		p := newPlace(t, cfg)
		p.claim(1, 1)
		ctx, cancel := context.WithCancel(p.ctx)
		cancel()
		if err := Append(ctx, p, []store.Append{step("u", entry("a", 1))})[0]; err == nil {
			t.Error("append with an ended context succeeded")
		}
		if err := first(p.Claim(ctx, []protocol.ShardID{1}, 9, p.owner)); err == nil {
			t.Error("claim with an ended context succeeded")
		}
	})
	t.Run("ClosedAnswersErrClosed", func(t *testing.T) {
		p := newPlace(t, cfg)
		p.claim(1, 1)
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
		wantErr(t, "append", Append(p.ctx, p, []store.Append{step("u", entry("a", 1))})[0], store.ErrClosed)
		_, err := p.Load(p.ctx, epoch1, "u")
		wantErr(t, "load", err, store.ErrClosed)
		wantErr(t, "claim", first(p.Claim(p.ctx, []protocol.ShardID{1}, 2, p.owner)), store.ErrClosed)
		wantErr(t, "save", first(p.SaveDevices(p.ctx, []store.DeviceSave{{Owner: epoch1, User: "u"}}, false)), store.ErrClosed)
		if s, is := p.Store.(store.Shared); is {
			_, errs := s.Claims(p.ctx, []protocol.ShardID{1, 2})
			if len(errs) != 2 {
				t.Fatalf("errors of the claims of 2 shards: %v", errs)
			}
			for _, err := range errs {
				wantErr(t, "claims", err, store.ErrClosed)
			}
		}
		wantErr(t, "forget", first(p.Forget(p.ctx, []store.Forget{{Owner: epoch1, User: "u"}})), store.ErrClosed)
		if err := p.Close(); err != nil {
			t.Fatalf("second close: %v", err)
		}
	})
	t.Run("BadPriorityIsRefused", func(t *testing.T) {
		p := newPlace(t, cfg)
		p.claim(1, 1)
		for _, prio := range []protocol.Priority{protocol.PriorityUnspecified, 4} {
			if err := Append(p.ctx, p, []store.Append{step("u", withPriority(entry("a", 1), prio))})[0]; err == nil {
				t.Errorf("priority %d was taken", prio)
			}
		}
		if err := Append(p.ctx, p, []store.Append{step("u", store.Entry{Position: position(1)})})[0]; err == nil {
			t.Error("an entry without a message was taken")
		}
		p.wantEntries(epoch1, "u")
	})
	t.Run("ManyCallersAtOnce", func(t *testing.T) { testMany(t, newPlace(t, cfg)) })
}

// testMany has users that append, kill, forget, save and load on their own.
func testMany(t *testing.T, p *place) {
	p.claim(1, 1)
	var all sync.WaitGroup
	for i := range 16 {
		user := protocol.UserID(fmt.Sprint("user", i))
		all.Go(func() {
			if err := oneOfMany(p, user); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}

func oneOfMany(p *place, user protocol.UserID) error {
	waiting := 0
	for n := uint64(1); n <= 30; n++ {
		s := step(user, entry(fmt.Sprint("x", n), 2*n), withPriority(entry(fmt.Sprint("y", n), 2*n+1), protocol.PriorityLow))
		waiting += 2
		if n%3 == 0 {
			s.Kills = []store.Ref{ref(entry("", 2*n-2))}
			waiting--
		}
		if err := Append(p.ctx, p, []store.Append{s})[0]; err != nil {
			return fmt.Errorf("append %d of %s: %w", n, user, err)
		}
		d := store.DeviceSave{Owner: epoch1, User: user, Device: store.Device{ID: "d", LastSeenMS: int64(n)}}
		if err := first(p.SaveDevices(p.ctx, []store.DeviceSave{d}, n%4 == 0)); err != nil {
			return fmt.Errorf("save %d of %s: %w", n, user, err)
		}
		m, err := p.Load(p.ctx, epoch1, user)
		if err != nil || len(m.Entries) != waiting || len(m.Seen) != int(2*n) || len(m.Devices) != 1 {
			return fmt.Errorf("load %d of %s: %v: %d entries, want %d; %d ids", n, user, err, len(m.Entries), waiting, len(m.Seen))
		}
	}
	return nil
}
