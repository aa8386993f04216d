package gateway

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"ramen/link"
	"ramen/protocol"
	"ramen/store"
	"ramen/store/memory"
	"ramen/store/storetest"
)

// allShards are those of a fixture.
var allShards = []protocol.ShardID{0, 1, 2, 3}

// lossy runs a test on a store that compares positions and may lose.
func lossy(t *testing.T, test func(t *testing.T, w *fixture)) {
	t.Helper()
	inSyncTest(t, nil, func(t *testing.T, w *fixture) {
		shares(w)
		test(t, w)
	})
}

// recover has all shards recovered from a loss of after since, and waits for it.
func (w *fixture) recover(since time.Time) {
	w.t.Helper()
	if err := w.g.Recover(context.Background(), allShards, since); err != nil {
		w.t.Fatal(err)
	}
	w.sleep(2 * time.Second)
}

// TestLostSuffixIsWrittenAgain: the store has lost what it had answered, and the next append finds out: what memory has is written again,
// in order, before it. Nothing was told meanwhile but accepted.
func TestLostSuffixIsWrittenAgain(t *testing.T) {
	lossy(t, func(t *testing.T, w *fixture) {
		d := w.open("d")
		w.accept("m1", medium)
		d.ack(1)
		w.sleep(2 * w.cfg.SaveInterval)
		w.accept("m2", medium)
		replica := w.disk.Replica()
		w.accept("m3", medium, key("k"))
		w.accept("m4", high)
		w.accept("m5", medium, key("k"))
		if ok, err := w.recall("m2"); !ok || err != nil {
			t.Fatal(ok, err)
		}
		w.open("e") // known durably
		replica.Promote()
		w.accept("m6", low)
		d.got("m1", "m2", "m3", "m4", "m5", "m6")
		if n := w.metric("ramen_gateway_rewritten_messages_total"); n != 2 {
			t.Errorf("%v messages were rewritten; want m4 and m5", n)
		}
		w.crash()
		w.wantWaiting("m4", "m5", "m6")
		for _, id := range []string{"m1", "m2", "m3", "m4", "m5", "m6"} {
			w.duplicate(id, medium)
		}
		w.open("d", at(d.last())) // acks all
		w.open("e").got("m4", "m5", "m6")
	})
}

// TestWipedStoreIsFilledAgain: claims, devices and messages are gone. The append is fenced by no claim at all: the shard is claimed again,
// and not given up.
func TestWipedStoreIsFilledAgain(t *testing.T) {
	lossy(t, func(t *testing.T, w *fixture) {
		d := w.open("d")
		w.accept("m1", medium)
		other := sameShard(w)
		w.accept("o1", medium, user(other))
		w.disk.Wipe()
		w.accept("m2", medium)
		d.got("m1", "m2")
		if d.lost {
			t.Fatal("the stream was lost")
		}
		w.sleep(2 * time.Second) // the idle one is probed
		epoch := w.epoch
		w.crash()
		if w.epoch <= epoch {
			t.Fatalf("claimed at epoch %d after %d", w.epoch, epoch)
		}
		w.wantWaiting("m1", "m2")
		w.duplicate("o1", medium, user(other))
		w.open("d").got("m1", "m2")
	})
}

// TestIdleMailboxIsProbed: what came behind the last append is in no position: a recall, a device, how far one has acked. It is written
// again, too.
func TestIdleMailboxIsProbed(t *testing.T) {
	lossy(t, func(t *testing.T, w *fixture) {
		d := w.open("d")
		w.accept("m1", medium)
		w.accept("m2", medium)
		w.accept("m3", medium, ttl(time.Second))
		bob := w.open("d", ofUser("bob")) // never had a message
		replica := w.disk.Replica()
		if ok, err := w.recall("m2"); !ok || err != nil {
			t.Fatal(ok, err)
		}
		w.open("e")
		w.sleep(3 * w.cfg.SaveInterval) // m3 expires, and is forgotten
		w.accept("c1", medium, user("carol"))
		since := time.Now()
		w.sleep(time.Millisecond)
		replica.Promote()
		w.accept("m4", medium) // says nothing of what came before
		w.recover(since)
		if d.lost || bob.lost {
			t.Fatal("a stream was lost")
		}
		w.crash()
		w.wantWaiting("m1", "m4")
		w.duplicate("m3", medium)
		w.duplicate("c1", medium, user("carol"))
		if n := len(w.look().Devices); n != 2 {
			t.Errorf("%d devices are known; want d and e", n)
		}
		if list, err := w.g.Devices(context.Background(), w.route("bob"), "bob"); err != nil || len(list) != 1 {
			t.Errorf("%+v, %v", list, err)
		}
		if d := w.open("d", at(d.last())); d.opened.Expired != 1 {
			t.Errorf("%d messages expired; want m3 alone", d.opened.Expired)
		}
	})
}

// TestMailboxesAreProbedAtAPace: many are probed without a write that holds up others.
func TestMailboxesAreProbedAtAPace(t *testing.T) {
	lossy(t, func(t *testing.T, w *fixture) {
		const users = 3000
		replica := w.disk.Replica()
		for i := range users {
			w.accept(fmt.Sprint("m", i), medium, user(fmt.Sprint("u", i)))
		}
		var mu sync.Mutex
		at := make(map[time.Time]int)
		w.store.Script(func(_ context.Context, op memory.Op) memory.Fault {
			if op.Kind == memory.OpReplace {
				mu.Lock()
				at[time.Now()]++
				mu.Unlock()
			}
			return memory.Fault{}
		})
		replica.Promote()
		w.recover(time.Now())
		total := 0
		for _, n := range at {
			if total += n; n > probeMost {
				t.Errorf("%d at once", n)
			}
		}
		if total != users {
			t.Errorf("%d mailboxes were written again; want %d", total, users)
		}
		w.store.Script(nil)
		w.crash()
		for i := range users {
			w.duplicate(fmt.Sprint("m", i), medium, user(fmt.Sprint("u", i)))
		}
	})
}

// sameShard is a user of alice's shard.
func sameShard(w *fixture) string {
	for i := 0; ; i++ {
		if u := fmt.Sprint("u", i); w.route(protocol.UserID(u)).Shard == w.route(alice).Shard {
			return u
		}
	}
}

// TestEveryCallSurvivesALostClaim: whatever the first call is that meets a store without the claim, the shard is not lost.
func TestEveryCallSurvivesALostClaim(t *testing.T) {
	for name, call := range map[string]func(w *fixture, d *recorder){
		"load":    func(w *fixture, _ *recorder) { w.open("d", ofUser(sameShard(w))) },
		"open":    func(w *fixture, _ *recorder) { _, _ = w.tryOpen("new") },
		"save":    func(w *fixture, d *recorder) { d.ackAll(); w.sleep(3 * w.cfg.SaveInterval) },
		"recall":  func(w *fixture, _ *recorder) { _, _ = w.recall("m1") },
		"publish": func(w *fixture, _ *recorder) { w.accept("m2", medium) },
		"scan":    func(w *fixture, _ *recorder) { w.sleep(w.cfg.ExpiryScanInterval + time.Second) },
	} {
		t.Run(name, func(t *testing.T) {
			lossy(t, func(t *testing.T, w *fixture) {
				d := w.open("d")
				w.accept("m1", medium)
				w.disk.Wipe()
				call(w, d)
				w.sleep(2 * time.Second)
				if d.lost {
					t.Fatal("the stream was lost")
				}
				w.accept("m3", medium)
				w.crash()
				w.duplicate("m1", medium)
				w.duplicate("m3", medium)
				if w.open("d"); len(w.look().Devices) == 0 {
					t.Error("no device is known")
				}
			})
		})
	}
}

// TestLostClaimOfAnotherThatIsThere: the store was set back to before the claim of this owner, and the owner before is still there: it may
// have written since. Nothing of it is overwritten.
func TestLostClaimOfAnotherThatIsThere(t *testing.T) {
	lossy(t, func(t *testing.T, w *fixture) {
		w.accept("m1", medium)
		old := w.disk.OpenShared()
		before := store.Owner{Shard: w.route(alice).Shard, Epoch: w.epoch + 1}
		if err := errors.Join(old.Claim(t.Context(), allShards, before.Epoch, "old")...); err != nil {
			t.Fatal(err)
		}
		if err := old.Renew(t.Context(), "old", time.Hour); err != nil {
			t.Fatal(err)
		}
		w.sleep(time.Second)
		replica := w.disk.Replica()
		w.take(w.epoch + 2)
		d := w.open("d")
		w.accept("m2", medium)
		replica.Promote()
		kept, err := old.Load(t.Context(), before, alice)
		if err != nil || len(kept.Entries) != 1 {
			t.Fatalf("%+v, %v", kept, err)
		}
		e := kept.Entries[0]
		e.Message = &protocol.Message{ID: "theirs", Priority: medium, Payload: []byte("1"), CreatedMS: e.Message.CreatedMS, ExpiresMS: e.Message.ExpiresMS}
		e.Position = protocol.Position{Epoch: before.Epoch, Micros: kept.Last.Micros + 1}
		if err := storetest.Append(t.Context(), old, []store.Append{{Owner: before, User: alice, Last: kept.Last, Entries: []store.Entry{e}}})[0]; err != nil {
			t.Fatal(err)
		}
		if r := w.publish(w.message("m3", medium))[0]; r.Status == link.StatusAccepted {
			t.Fatal("accepted")
		}
		w.sleep(time.Second)
		if !d.lost {
			t.Error("the shard was kept")
		}
		w.take(w.epoch + 1)
		w.duplicate("theirs", medium)
	})
}

// TestForeignWriteIsNotOverwritten: the store is ahead of memory by something that nobody here has written: the shard is lost, and whoever
// takes it next finds all.
func TestForeignWriteIsNotOverwritten(t *testing.T) {
	lossy(t, func(t *testing.T, w *fixture) {
		d := w.open("d")
		w.accept("m1", medium)
		at := store.Owner{Shard: w.route(alice).Shard, Epoch: w.epoch}
		foreign := store.Entry{Position: protocol.Position{Epoch: w.epoch, Micros: 1 << 60}, Message: &protocol.Message{
			ID: "foreign", Priority: high, Payload: []byte("1"), CreatedMS: w.g.nowMS(), ExpiresMS: w.g.nowMS() + 1e7}}
		if err := storetest.Append(t.Context(), w.disk.Open(), []store.Append{{Owner: at, User: alice, Entries: []store.Entry{foreign}}})[0]; err != nil {
			t.Fatal(err)
		}
		if r := w.publish(w.message("m2", medium))[0]; r.Status != link.StatusRejected {
			t.Fatalf("%+v", r)
		}
		w.sleep(time.Second)
		if !d.lost {
			t.Error("the shard was kept")
		}
		w.take(w.epoch + 1)
		w.wantWaiting("foreign", "m1")
		if n := w.metric("ramen_gateway_rewritten_messages_total"); n != 0 {
			t.Errorf("%v messages were rewritten", n)
		}
	})
}

// TestInDoubtIsFoundInTheStore: a write of unknown outcome has happened, or arrives late, and the next one finds it.
func TestInDoubtIsFoundInTheStore(t *testing.T) {
	for _, c := range []struct {
		name  string
		fault func(late *memory.Delayed) memory.Fault
	}{
		{"done", func(*memory.Delayed) memory.Fault { return memory.Fault{Err: store.ErrUnknown} }},
		{"lost", func(*memory.Delayed) memory.Fault { return memory.Fault{Err: store.ErrUnknown, Lost: true} }},
		{"late", func(late *memory.Delayed) memory.Fault { return memory.Fault{Err: store.ErrUnknown, Late: late} }},
	} {
		t.Run(c.name, func(t *testing.T) {
			lossy(t, func(t *testing.T, w *fixture) {
				d := w.open("d")
				w.accept("m1", medium, key("k"))
				late := new(memory.Delayed)
				w.store.Script(func(_ context.Context, op memory.Op) memory.Fault {
					if op.Kind == memory.OpAppend {
						return c.fault(late)
					}
					return memory.Fault{}
				})
				w.refuse(protocol.CodeUnavailable, "m2", medium, key("k"))
				w.store.Script(nil)
				late.Arrive()
				d.got("m1")
				w.accept("m3", medium)
				d.got("m1", "m2", "m3")
				w.duplicate("m2", medium)
				w.wantWaiting("m2", "m3")
				late.Arrive()
				if n := w.metric("ramen_gateway_rewritten_messages_total"); n != 0 {
					t.Errorf("%v messages were rewritten", n)
				}
				w.crash()
				w.wantWaiting("m2", "m3")
			})
		})
	}
}

// TestMendingHoldsUpNobody: a store that answers appends and does not take a mailbox again: its publishers are answered within twice the
// deadline, other users at once, and it is mended once the store is well.
func TestMendingHoldsUpNobody(t *testing.T) {
	lossy(t, func(t *testing.T, w *fixture) {
		replica := w.disk.Replica()
		w.accept("m1", medium)
		replica.Promote(w.route(alice).Shard)
		w.store.Script(func(ctx context.Context, op memory.Op) memory.Fault {
			if op.Kind == memory.OpReplace {
				<-ctx.Done()
				return memory.Fault{Err: store.ErrUnknown}
			}
			return memory.Fault{}
		})
		began := time.Now()
		done := make(chan []link.Result, 1)
		go func() { done <- w.publish(w.message("m2", medium), w.message("o1", medium, user("other"))) }()
		synctest.Wait()
		w.accept("o2", medium, user("other"))
		if took := time.Since(began); took != 0 {
			t.Errorf("another user waited for %v", took)
		}
		r := <-done
		if took := time.Since(began); took > 2*w.cfg.AppendTimeout || r[0].Status != link.StatusRejected || r[1].Status != link.StatusAccepted {
			t.Errorf("after %v: %+v", took, r)
		}
		wantCode(t, r[0].Err, protocol.CodeUnavailable)
		w.store.Script(nil)
		w.accept("m2", medium)
		w.crash()
		w.wantWaiting("m1", "m2")
	})
}

// metric is a counter of the gateway's.
func (w *fixture) metric(name string) float64 {
	w.t.Helper()
	all, err := w.registry.Gather()
	if err != nil {
		w.t.Fatal(err)
	}
	n := 0.0
	for _, f := range all {
		if f.GetName() == name {
			for _, m := range f.GetMetric() {
				n += m.GetCounter().GetValue()
			}
		}
	}
	return n
}

// TestLossesByChance: a store that loses suffixes, or all, that answers unknown, and late, under publishes, recalls, acks and unloads: what
// was accepted is received or waits, what was recalled or replaced does not come back, and ids stay duplicates.
func TestLossesByChance(t *testing.T) {
	seed, rounds := uint64(time.Now().UnixNano()), 60
	if testing.Short() {
		rounds = 15
	}
	if s := os.Getenv("RAMEN_SEED"); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatal("RAMEN_SEED must be a number")
		}
		seed, rounds = n, 1
	}
	for i := range rounds {
		lossy(t, func(t *testing.T, w *fixture) {
			defer func() {
				if t.Failed() {
					t.Logf("again with RAMEN_SEED=%d", seed+uint64(i))
				}
			}()
			newLossWalk(w, seed+uint64(i)).run()
		})
		if t.Failed() {
			return
		}
	}
}

// lossWalk does things to a gateway on a store that loses, and knows what must be.
type lossWalk struct {
	w       *fixture
	d       *recorder
	mu      sync.Mutex // guards r and late against the store's goroutines
	r       *rand.Rand
	late    []*memory.Delayed
	replica *memory.Replica
	n       int
	keys    map[string]string // the newest of each
	must    map[string]bool   // waits
	gone    map[string]bool   // recalled or replaced
	told    map[string]bool   // accepted
	lost    int
	log     []string
}

func newLossWalk(w *fixture, seed uint64) *lossWalk {
	c := &lossWalk{w: w, r: rand.New(rand.NewPCG(seed, 5)), keys: map[string]string{}, must: map[string]bool{}, gone: map[string]bool{}, told: map[string]bool{}}
	w.store.Script(c.script)
	return c
}

// script has one append of five go wrong.
func (c *lossWalk) script(_ context.Context, op memory.Op) memory.Fault {
	c.mu.Lock()
	defer c.mu.Unlock()
	if op.Kind != memory.OpAppend || c.r.IntN(5) > 0 {
		return memory.Fault{}
	}
	switch c.r.IntN(4) {
	case 0:
		return memory.Fault{Err: errors.New("scripted")}
	case 1:
		return memory.Fault{Err: store.ErrUnknown}
	case 2:
		return memory.Fault{Err: store.ErrUnknown, Lost: true}
	}
	late := new(memory.Delayed)
	c.late = append(c.late, late)
	return memory.Fault{Err: store.ErrUnknown, Late: late}
}

func (c *lossWalk) draw(n int) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.r.IntN(n)
}

func (c *lossWalk) run() {
	c.d = c.w.open("d")
	for range 60 {
		c.act()
	}
	c.recoverAll()
	c.check()
}

// arrive has up to n late appends arrive, the latest first.
func (c *lossWalk) arrive(n int) {
	c.mu.Lock()
	all := c.late
	all, c.late = all[len(all)-min(n, len(all)):], all[:len(all)-min(n, len(all))]
	c.mu.Unlock()
	for _, l := range slices.Backward(all) {
		l.Arrive()
	}
}

func (c *lossWalk) note(format string, args ...any) {
	c.log = append(c.log, fmt.Sprintf(format, args...))
}

func (c *lossWalk) act() {
	switch n := c.draw(20); {
	case n < 8:
		c.publish()
	case n < 10:
		id := fmt.Sprint("m", 1+c.draw(max(c.n, 1)))
		ok, err := c.w.recall(id)
		c.note("recall %s %v %v", id, ok, err)
		if ok {
			c.gone[id] = true
			delete(c.must, id)
		} else if err != nil { // it may happen yet
			delete(c.must, id)
		}
	case n < 12:
		c.note("ack")
		for _, id := range c.d.ids() {
			delete(c.must, id)
		}
		c.d.ackAll()
	case n < 13:
		c.w.sleep(time.Duration(c.draw(3000)) * time.Millisecond)
	case n < 15:
		c.note("late")
		c.arrive(1)
	case n < 16:
		c.note("replica")
		c.replica = c.w.disk.Replica()
	case n < 18 && c.replica != nil:
		c.lose()
	case n < 19:
		c.recoverAll()
		c.check()
		c.note("crash")
		c.w.store.Script(nil)
		c.w.crash()
		c.replica = nil
		c.check()
		c.d = c.w.open("d")
		c.w.store.Script(c.script)
	}
}

// lose has the store lose, and is found out at once, or by what comes before.
func (c *lossWalk) lose() {
	since := time.Now()
	c.w.sleep(time.Duration(c.draw(10)) * time.Millisecond)
	c.lost++
	if c.draw(4) == 0 {
		c.note("wipe")
		c.w.disk.Wipe()
	} else {
		c.note("promote")
		c.replica.Promote()
	}
	c.replica = nil
	for range c.draw(6) {
		c.publish()
	}
	c.note("recover")
	c.w.recover(since)
}

func (c *lossWalk) publish() {
	c.n++
	id, edits := fmt.Sprint("m", c.n), []func(*link.Publish){}
	k := ""
	if c.draw(2) == 0 {
		k = fmt.Sprint("k", c.draw(2))
		edits = append(edits, key(k))
	}
	p := protocol.LanePriority(c.draw(protocol.Lanes))
	r := c.w.publish(c.w.message(id, p, edits...))[0]
	c.note("publish %s %s %v", id, k, r.Err)
	if k != "" {
		if old := c.keys[k]; old != "" {
			delete(c.must, old) // replaced, or in doubt
			if r.Status == link.StatusAccepted {
				c.gone[old] = true
			}
		}
		c.keys[k] = id
	}
	if r.Status == link.StatusAccepted {
		c.must[id], c.told[id] = true, true
	}
}

// recoverAll has the store take everything, and waits until what was lost is written again.
func (c *lossWalk) recoverAll() {
	c.w.store.Script(nil)
	c.arrive(math.MaxInt)
	c.w.sleep(3 * time.Second)
	c.w.recover(time.Now())
	c.w.store.Script(c.script)
}

func (c *lossWalk) check() {
	t := c.w.t
	t.Helper()
	c.w.store.Script(nil)
	defer c.w.store.Script(c.script)
	waiting := c.w.waiting()
	for id := range c.must {
		if !slices.Contains(waiting, id) {
			t.Fatalf("%s was accepted, and does not wait; %v do\n%s", id, waiting, strings.Join(c.log, "\n"))
		}
	}
	for _, id := range waiting {
		if c.gone[id] {
			t.Fatalf("%s has come back; %v wait\n%s", id, waiting, strings.Join(c.log, "\n"))
		}
	}
	for id := range c.told {
		if r := c.w.publish(c.w.message(id, medium))[0]; r.Status != link.StatusDuplicate {
			t.Fatalf("%s is no duplicate any more: %+v\n%s", id, r, strings.Join(c.log, "\n"))
		}
	}
}
