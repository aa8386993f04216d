package gateway

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"ramen/protocol"
	"ramen/store"
	"ramen/store/memory"
	"ramen/store/storetest"
)

// leased has w own all shards for two seconds.
func (w *fixture) leased() {
	w.t.Helper()
	w.epoch++
	if err := w.g.Take(context.Background(), allShards, w.epoch, time.Now().Add(2*time.Second)); err != nil {
		w.t.Fatal(err)
	}
}

// replaces counts what w's store is given again.
func (w *fixture) replaces() *int {
	n := new(int)
	w.store.Script(func(_ context.Context, op memory.Op) memory.Fault {
		if op.Kind == memory.OpReplace {
			*n++
		}
		return memory.Fault{}
	})
	return n
}

// TestFailOverLongerThanTheLease: the lease ends while the store does not answer, and a replica that lacks something is promoted: the owner
// of before takes its shards again, and what memory had is written again, whoever asks for it or not.
func TestFailOverLongerThanTheLease(t *testing.T) {
	lossy(t, func(t *testing.T, w *fixture) {
		w.leased()
		w.open("d")
		w.accept("m1", medium)
		w.accept("m2", medium)
		w.accept("c1", medium, user("carol"))
		replica := w.disk.Replica()
		w.accept("m3", medium)
		w.accept("b1", medium, user("bob"))
		for who, id := range map[protocol.UserID]protocol.MessageID{alice: "m2", "carol": "c1"} {
			if ok, err := w.g.Recall(context.Background(), w.route(who), who, id); !ok || err != nil {
				t.Fatal(ok, err)
			}
		}
		w.sleep(3 * time.Second)
		if w.g.Serving() == nil {
			t.Fatal("the lease has not ended")
		}
		replica.Promote()
		w.sleep(3 * time.Minute) // of an outage no time counts
		n := w.replaces()
		w.take(w.epoch + 1)
		w.sleep(time.Second)
		if *n != 3 || w.metric("ramen_gateway_rewritten_messages_total") != 2 || w.metric("ramen_gateway_lost_mailboxes_total") != 0 {
			t.Errorf("%d mailboxes, %v messages were written again, %v are lost", *n, w.metric("ramen_gateway_rewritten_messages_total"), w.metric("ramen_gateway_lost_mailboxes_total"))
		}
		w.store.Script(nil)
		w.crash()
		w.wantWaiting("m1", "m3")
		w.open("d").got("m1", "m3")
		if page, err := w.g.Messages(context.Background(), w.route("bob"), "bob", allOfIt); err != nil || len(page.Messages) != 1 {
			t.Errorf("bob: %+v, %v", page, err)
		}
		if page, err := w.g.Messages(context.Background(), w.route("carol"), "carol", allOfIt); err != nil || len(page.Messages) != 0 {
			t.Errorf("carol: %+v, %v", page, err)
		}
	})
}

// TestOutageWithoutLoss: the lease ends, and the store has lost nothing: nothing is written again, and nothing is kept.
func TestOutageWithoutLoss(t *testing.T) {
	lossy(t, func(t *testing.T, w *fixture) {
		w.leased()
		w.accept("m1", medium)
		if ok, err := w.recall("m1"); !ok || err != nil {
			t.Fatal(ok, err)
		}
		w.accept("b1", medium, user("bob"))
		w.sleep(3 * time.Second)
		if n := len(w.g.evicted.withContents(w.route(alice).Shard)); n != 1 {
			t.Errorf("%d mailboxes are kept; want alice's", n)
		}
		n := w.replaces()
		w.take(w.epoch + 1)
		w.sleep(time.Second)
		w.duplicate("b1", medium, user("bob"))
		w.duplicate("m1", medium)
		for _, shard := range allShards {
			if kept := w.g.evicted.withContents(shard); len(kept) > 0 {
				t.Errorf("%v are still kept", kept)
			}
		}
		if *n != 0 || w.g.evicted.bytes != 0 {
			t.Errorf("%d mailboxes were written again; %d bytes are kept", *n, w.g.evicted.bytes)
		}
	})
}

// TestLossUnderAnotherOwnerIsCounted: another process has owned the shard in between, and may have recalled what memory here still has:
// nothing is written again, and what is lost is counted.
func TestLossUnderAnotherOwnerIsCounted(t *testing.T) {
	lossy(t, func(t *testing.T, w *fixture) {
		w.leased()
		w.accept("m1", medium)
		replica := w.disk.Replica()
		w.accept("m2", medium)
		w.sleep(3 * time.Second)
		replica.Promote()
		if err := errors.Join(w.disk.Open().Claim(context.Background(), allShards, w.epoch+1, "another")...); err != nil {
			t.Fatal(err)
		}
		w.epoch++
		n := w.replaces()
		w.take(w.epoch + 1)
		w.sleep(time.Second)
		w.wantWaiting("m1")
		if lost := w.metric("ramen_gateway_lost_mailboxes_total"); *n != 0 || lost != 1 {
			t.Errorf("%d mailboxes were written again, %v are lost", *n, lost)
		}
	})
}

// TestWhatAnotherOwnerRecalledStaysRecalled: a lease ends, another process owns the shard for some time and recalls something, and the shard comes
// back. What memory had before that is not written again, also not where the lease ends once more and the store is another copy.
func TestWhatAnotherOwnerRecalledStaysRecalled(t *testing.T) {
	lossy(t, func(t *testing.T, w *fixture) {
		w.leased()
		w.accept("m1", medium)
		w.accept("m2", medium)
		if ok, err := w.recall("m2"); !ok || err != nil {
			t.Fatal(ok, err)
		}
		w.sleep(3 * time.Second)
		if n := len(w.g.evicted.withContents(w.route(alice).Shard)); n != 1 {
			t.Fatalf("%d mailboxes are kept; want alice's", n)
		}
		other := w.disk.Open()
		w.epoch++
		if err := errors.Join(other.Claim(context.Background(), allShards, w.epoch, "another")...); err != nil {
			t.Fatal(err)
		}
		at := store.Owner{Shard: w.route(alice).Shard, Epoch: w.epoch}
		kept, err := other.Load(context.Background(), at, alice)
		if err != nil || len(kept.Entries) != 1 {
			t.Fatalf("%d entries, %v", len(kept.Entries), err)
		}
		m1 := store.Ref{Priority: medium, Position: kept.Entries[0].Position}
		if err := storetest.Append(context.Background(), other, []store.Append{{Owner: at, User: alice, Last: kept.Last, Kills: []store.Ref{m1}}})[0]; err != nil {
			t.Fatal(err)
		}
		w.leased()
		if bytes := w.g.evicted.bytes; bytes != 0 {
			t.Errorf("%d bytes are kept of what another owner has had", bytes)
		}
		w.sleep(3 * time.Second)
		w.disk.Replica().Promote()
		n := w.replaces()
		w.take(w.epoch + 1)
		w.sleep(time.Second)
		w.wantWaiting()
		if *n != 0 {
			t.Errorf("%d mailboxes were written again", *n)
		}
	})
}

// TestKeptUntilAnotherHasTheShard: what is kept of a shard whose lease has ended goes when it is known that another owner has claimed it, and
// stays where a store was set back to a claim from before.
func TestKeptUntilAnotherHasTheShard(t *testing.T) {
	lossy(t, func(t *testing.T, w *fixture) {
		w.leased()
		w.accept("m1", medium)
		w.sleep(3 * time.Second)
		shard := w.route(alice).Shard
		w.g.Lose(shard, w.epoch)
		if n := len(w.g.evicted.withContents(shard)); n != 1 {
			t.Errorf("%d mailboxes are kept; want alice's", n)
		}
		w.g.Lose(shard, w.epoch+1)
		if n := len(w.g.evicted.withContents(shard)); n != 0 || w.g.evicted.bytes != 0 {
			t.Errorf("%d mailboxes and %d bytes are kept", n, w.g.evicted.bytes)
		}
	})
}

// TestLossOfWhatLeftMemoryIsCounted: a mailbox had left memory when the store lost what it had answered: that is counted at the next load.
func TestLossOfWhatLeftMemoryIsCounted(t *testing.T) {
	lossy(t, func(t *testing.T, w *fixture) {
		w.accept("m1", medium)
		replica := w.disk.Replica()
		w.accept("m2", medium)
		w.accept("b1", medium, user("bob"))
		w.unloadAll()
		replica.Promote()
		w.recover(time.Now())
		w.accept("m3", medium)
		w.wantWaiting("m1", "m3")
		if lost := w.metric("ramen_gateway_lost_mailboxes_total"); lost != 1 {
			t.Errorf("%v are lost; want alice's alone, bob was not loaded", lost)
		}
	})
}

// TestEvictedIsBounded: what is known of mailboxes that have left memory is forgotten after a time, and limited in number and bytes.
func TestEvictedIsBounded(t *testing.T) {
	var e evicted
	for i := range 2 * mostEvicted {
		name := fmt.Sprint("u", i)
		e.keep(0, protocol.UserID(name), evictedMailbox{contents: new(store.Mailbox), bytes: 10}, 500)
	}
	if e.recent.n != mostEvicted || e.bytes != 500 || len(e.withContents(0)) != 50 {
		t.Errorf("%d mailboxes, %d bytes, %d with contents", e.recent.n, e.bytes, len(e.withContents(0)))
	}
	if _, known := e.take(0, "u7"); !known {
		t.Error("u7 is not known")
	}
	e.turn(time.Now().UnixMilli())
	if _, known := e.take(0, "u8"); !known || e.older.n != mostEvicted-2 {
		t.Errorf("u8 known %v, %d mailboxes", known, e.older.n)
	}
	e.turn(time.Now().Add(2 * evictedFor).UnixMilli())
	e.turn(time.Now().Add(4 * evictedFor).UnixMilli())
	if e.older.n+e.recent.n != 0 || e.bytes != 0 {
		t.Errorf("%d and %d mailboxes are left, %d bytes", e.older.n, e.recent.n, e.bytes)
	}
}
