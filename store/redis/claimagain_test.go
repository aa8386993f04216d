package redis

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"ramen/internal/testserver/redistest"
	"ramen/protocol"
	"ramen/store"
)

// TestMoreKillsThanMayWait: what was killed of late is done again with a claim, however much that is.
func TestMoreKillsThanMayWait(t *testing.T) {
	f := newFixture(t, redistest.Options{}, func(c *Config) { c.MaxInFlight = 8 })
	for i := range 40 {
		a := step(0, entry("a", 1))
		a.User = protocol.UserID(fmt.Sprint("u", i))
		f.mustAppend(a)
		a.Last, a.Entries, a.Kills = position(1), nil, []store.Ref{ref(a.Entries[0])}
		f.mustAppend(a)
	}
	claim(t, f.Store, 1, "first", 1)
}

// TestClaimAgainThatIsNotAnswered: the server has lost the claim, and has it again, but its owner was not told so. Its calls find a claim
// that is lost, which it claims once more, and not an owner that is itself.
func TestClaimAgainThatIsNotAnswered(t *testing.T) {
	r := redistest.WithReplicas(t, redistest.Options{}, 1)
	cfg := configOf(t, r.Master)
	cfg.Durability = Replicas
	s := open(t, cfg)
	claim(t, s, 1, "first", 1)
	p := newPublisher(s, 1, "u")
	p.settle(t)
	r.Replicas[0].Pause(t)
	if err := r.Master.Client(t).FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	wantErr(t, "claim", errors.Join(s.Claim(ctx, []protocol.ShardID{1}, 1, "first")...), store.ErrUnknown)
	err := p.write(t.Context(), 100*time.Millisecond, entry("b", 2))
	var fenced *store.FencedError
	if !errors.As(err, &fenced) || fenced.Epoch != 0 {
		t.Errorf("append: %v, want that the shard was never claimed", err)
	}
	r.Replicas[0].Continue(t)
	p.settle(t)
	p.check(t, s, at1)
}
