package lease

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"ramen/gateway"
	"ramen/protocol"
	"ramen/store"
	"ramen/store/memory"
	"ramen/topology"
)

// userOf is a user of a shard.
func userOf(shard protocol.ShardID) string {
	for i := 0; ; i++ {
		if user := fmt.Sprint("user-", i); topology.ShardOf(protocol.UserID(user), shards) == shard {
			return user
		}
	}
}

// silent is a part of a store that does not answer: these shards, and who is there where presence is kept in it.
func silent(presence bool, of ...protocol.ShardID) memory.Script {
	return func(ctx context.Context, op memory.Op) memory.Fault {
		var part bool
		switch op.Kind {
		case memory.OpRenew, memory.OpPresence:
			part = presence
		case memory.OpAdmit: // no call of a server
		default:
			part = slices.Contains(of, op.Shard)
		}
		if !part {
			return memory.Fault{}
		}
		<-ctx.Done()
		return memory.Fault{Err: ctx.Err()}
	}
}

// servedNow are the shards of which p takes publishes.
func (p *process) servedNow(n int) (list []protocol.ShardID) {
	for shard := range protocol.ShardID(shards) {
		if ok, _ := p.publish(userOf(shard), fmt.Sprint("m", n)); ok {
			list = append(list, shard)
		}
	}
	return list
}

// TestASilentPartEndsItsOwnLeasesAlone: two shards of four, and who is there, cannot be read for 6 s. The others are served throughout; those
// two until 2.4 s after they were read last, and again by themselves, with all that was accepted.
func TestASilentPartEndsItsOwnLeasesAlone(t *testing.T) {
	for _, unfenced := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			a := newProcess(t, memory.NewDisk(memory.Config{CheckLast: !unfenced, Unfenced: unfenced}), "a").start()
			wait(3 * every)
			if got := a.servedNow(0); len(got) != shards {
				t.Fatalf("at first %v are served", got)
			}
			a.store.Script(silent(true, 1, 3))
			began := time.Now()
			ended := false
			for n := 1; time.Since(began) < 6*time.Second; n++ {
				for _, shard := range []protocol.ShardID{0, 2} {
					if ok, _ := a.publish(userOf(shard), fmt.Sprint("m", n)); !ok {
						t.Fatalf("shard %d is not served %v after others fell silent", shard, time.Since(began))
					}
				}
				serving := 0
				for _, s := range a.g.Shards() {
					if s.State == gateway.StateServing {
						serving++
					}
				}
				switch past := time.Since(began); {
				case past < length-every && serving != shards:
					t.Fatalf("%d shards are served after %v", serving, past)
				case past > length && serving != 2:
					t.Fatalf("%d shards are served after %v", serving, past)
				case past > length+2*every:
					ended = true
					if err := a.lease.Partial(); a.lease.Ready() != nil || err == nil || !strings.Contains(err.Error(), "2 of 4 shards are not served: 2 because the process cannot read the store's claims") {
						t.Fatalf("ready: %v; partly: %v", a.lease.Ready(), err)
					}
				}
				wait(50 * time.Millisecond)
			}
			if !ended {
				t.Fatal("the silent part was served to the end")
			}
			a.store.Script(nil)
			wait(3 * every)
			if got := a.servedNow(1000); len(got) != shards || a.lease.Ready() != nil || a.lease.Partial() != nil || !a.serves() {
				t.Errorf("afterwards %v are served; ready: %v, partly: %v", got, a.lease.Ready(), a.lease.Partial())
			}
			for shard := range protocol.ShardID(shards) {
				wantWaiting(t, a, userOf(shard), "m0", "m1000")
			}
			a.close()
		})
	}
}

// TestAbsenceIsBelievedLateWhereItCouldNotBeRead: while who is there can neither be said nor read, what was said runs out. The process that
// stands by gives the other one the time to say it again.
func TestAbsenceIsBelievedLateWhereItCouldNotBeRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := memory.NewDisk(memory.Config{CheckLast: true})
		a := newProcess(t, d, "a").start()
		b := newProcess(t, d, "b").start()
		wait(2 * every)
		epoch := b.lease.View().Shards[0].Epoch
		a.store.Script(silent(true))
		b.store.Script(silent(true))
		wait(5*every + 100*time.Millisecond)
		a.store.Script(nil)
		wait(every) // a reads that b is absent
		b.store.Script(nil)
		for range 40 {
			wait(250 * time.Millisecond)
			if !b.serves() || a.g.Serving() == nil || b.lease.View().Shards[0].Epoch != epoch {
				t.Fatal("the one that stands by has taken over from one that was there")
			}
		}
		b.store.Close() // killed
		began := time.Now()
		for !a.serves() {
			if wait(100 * time.Millisecond); time.Since(began) > length+2*every {
				t.Fatalf("not taken over %v after a kill", time.Since(began))
			}
		}
		_ = b.g.Close(context.Background())
		b.lease.Close(context.Background())
		a.close()
	})
}

// TestTheHighestEpochLeads: a process that starts cannot read the first two shards of four. It takes the others, and the older one stops to
// serve; all are its own once they can be read. Nobody of an older epoch accepts after one of a newer.
func TestTheHighestEpochLeads(t *testing.T) {
	for _, unfenced := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			c := &chance{t: t, disk: memory.NewDisk(memory.Config{CheckLast: !unfenced, Unfenced: unfenced}),
				highest: make(map[string]protocol.Epoch), accepted: make(map[string][]string), counts: make(map[string]int)}
			a := newProcess(t, c.disk, "a").start()
			wait(3 * every)
			b := newProcess(t, c.disk, "b")
			b.store.Script(silent(false, 0, 1))
			go b.start()
			step := func(n int) {
				for shard := range protocol.ShardID(shards) {
					c.publish(a, userOf(shard), fmt.Sprint("a", n))
					c.publish(b, userOf(shard), fmt.Sprint("b", n))
				}
				wait(100 * time.Millisecond)
			}
			for n := range 60 {
				step(n)
			}
			if got := b.servedNow(2000); !slices.Equal(got, []protocol.ShardID{2, 3}) {
				t.Errorf("the newer one serves %v, which can read 2 and 3", got)
			}
			if err := a.lease.Ready(); a.g.Serving() == nil || err == nil || !strings.Contains(err.Error(), "another process (b)") {
				t.Errorf("the older one serves, or says %v", err)
			}
			if err := b.lease.Partial(); err == nil {
				t.Error("the newer one does not say that it cannot serve all")
			}
			b.store.Script(nil)
			for n := range 60 {
				step(100 + n)
			}
			if !b.serves() || a.g.Serving() == nil {
				t.Error("the newer one does not serve all in the end")
			}
			for user, ids := range c.accepted {
				wantWaiting(t, b, user, ids...)
			}
			b.close()
			wait(2*every + length)
			if !a.serves() {
				t.Error("the older one does not serve again")
			}
			a.close()
		})
	}
}

// TestEachShardWaitsForItsOwnOlderLease: on a store that does not fence the claim of one shard of four is answered a second later than the
// others. These are served before, each 2.4 s after its claim.
func TestEachShardWaitsForItsOwnOlderLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := memory.NewDisk(memory.Config{Unfenced: true})
		a := newProcess(t, d, "a").start()
		wait(3 * time.Second)
		var mu sync.Mutex
		claimed := make(map[protocol.ShardID]time.Time) // last
		began := time.Now()
		b := newProcess(t, d, "b")
		b.store.Script(func(_ context.Context, op memory.Op) memory.Fault {
			if op.Kind != memory.OpClaim {
				return memory.Fault{}
			}
			if op.Shard == 3 && time.Since(began) < time.Second {
				return memory.Fault{Err: store.ErrUnknown, Lost: true}
			}
			mu.Lock()
			defer mu.Unlock()
			claimed[op.Shard] = time.Now()
			return memory.Fault{}
		})
		go b.start()
		first := make(map[protocol.ShardID]time.Time) // served
		for len(first) < shards && time.Since(began) < 10*time.Second {
			wait(10 * time.Millisecond)
			for _, s := range b.g.Shards() {
				if s.State == gateway.StateServing && first[s.ID].IsZero() {
					first[s.ID] = time.Now()
				}
			}
		}
		mu.Lock()
		defer mu.Unlock()
		for shard := range protocol.ShardID(shards) {
			if after := first[shard].Sub(claimed[shard]); first[shard].IsZero() || after < length || after > length+100*time.Millisecond {
				t.Errorf("shard %d is served %v after its claim", shard, after)
			}
		}
		if apart := first[3].Sub(first[0]); apart < 500*time.Millisecond {
			t.Errorf("shard 3 is served %v after shard 0: the others have waited for it", apart)
		}
		b.close()
		a.close()
	})
}
