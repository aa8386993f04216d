package route

import (
	"testing"
	"testing/synctest"
	"time"

	"ramen/link"
	"ramen/protocol"
	"ramen/topology"
)

// TestAMovedShardIsNotAskedForAtItsOldOwner: once a gateway has said from which epoch on the shard is served, nobody asks an
// earlier owner, by publish or otherwise, however long the view lags. Users of other shards are served meanwhile.
func TestAMovedShardIsNotAskedForAtItsOldOwner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newMember(), newMember()
		moved := topology.ShardOf("u1", shards)
		a.own(func(at link.Route) bool { return at.Shard != moved })
		a.below = 2
		s := newScript(all("a", 1))
		r := New(Default(), s, members{"a": a, "b": b})
		done := make(chan string)
		for range 5 {
			go func() { done <- statuses(r.Publish(t.Context(), messages("u1", "u1", "u2"))) }()
		}
		go func() {
			_, err := r.Recall(t.Context(), "u1", "m")
			if err != nil {
				t.Error(err)
			}
			done <- "recalled"
		}()
		time.Sleep(3 * time.Second) // many pauses
		a.mu.Lock()
		asked := a.others
		for _, batch := range a.calls {
			for _, p := range batch {
				if p.Shard == moved {
					asked++
				}
			}
		}
		if asked > 6*2 { // each caller may have asked once, with two messages, before anybody had an answer
			t.Errorf("the old owner was asked about %d messages", asked)
		}
		if got := len(a.accepted); got != 1 {
			t.Errorf("%d messages of another shard were accepted", got)
		}
		before := len(a.calls) + a.others
		a.mu.Unlock()
		s.move(func(id protocol.ShardID) topology.Shard {
			if id == moved {
				return topology.Shard{Member: "b", Epoch: 2}
			}
			return topology.Shard{Member: "a", Epoch: 1}
		})
		began := time.Now()
		for range 6 {
			<-done
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("it took %v from the newer view on", took)
		}
		if now := len(a.calls) + a.others; now != before {
			t.Errorf("the old owner was asked %d times more", now-before)
		}
	})
}

// TestOpenAsksNobodyBelowItsEpoch: who has lost a stream and was told from which epoch on the shard is served waits for that.
func TestOpenAsksNobodyBelowItsEpoch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newMember(), newMember()
		s := newScript(all("a", 4))
		r := New(Default(), s, members{"a": a, "b": b})
		began := time.Now()
		go func() {
			time.Sleep(700 * time.Millisecond)
			s.move(all("b", 5))
		}()
		if _, _, err := r.Open(t.Context(), time.Minute, link.Open{User: "u1", Route: link.Route{Epoch: 5}}, nil); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); a.others != 0 || b.others != 1 || took != 700*time.Millisecond {
			t.Errorf("the old owner was asked %d times, the new one %d times, after %v", a.others, b.others, took)
		}
	})
}

// TestAnOwnerThatIsGoneIsNotAsked: a view in which the owner is gone has nobody to ask, until another owns the shard, or it is
// back. One that drains is asked.
func TestAnOwnerThatIsGoneIsNotAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newMember(), newMember()
		s := newScript(all("a", 1))
		r := New(Default(), s, members{"a": a, "b": b})
		s.SetState("a", topology.MemberDraining)
		if got := statuses(r.Publish(t.Context(), messages("u1"))); got != "1" || len(a.calls) != 1 {
			t.Fatal(got, len(a.calls))
		}
		s.SetState("a", topology.MemberGone)
		began := time.Now()
		for i, back := range []func(){
			func() { s.SetState("a", topology.MemberServing) },
			func() { s.move(all("b", 2)) },
		} {
			go func() {
				time.Sleep(time.Second)
				back()
			}()
			if got := statuses(r.Publish(t.Context(), messages("u2"))); got == "3" {
				t.Fatal(got)
			}
			if took := time.Since(began); took != time.Duration(i+1)*time.Second || len(a.calls) != 2 || len(b.calls) != i {
				t.Fatalf("a was asked %d times, b %d times, after %v", len(a.calls), len(b.calls), took)
			}
			s.SetState("a", topology.MemberGone)
		}
	})
}

// TestDialIsToldTheAddress: links are found by member, with its address.
func TestDialIsToldTheAddress(t *testing.T) {
	s := newScript(all("a", 1))
	s.Join(topology.Member{ID: "a", Address: "10.0.0.7:9000", Zone: "z1", State: topology.MemberServing})
	d := &dialed{g: newMember()}
	New(Default(), s, d).Publish(t.Context(), messages("u1", "u2"))
	if len(d.to) != 1 || d.to[0].Address != "10.0.0.7:9000" {
		t.Errorf("dialed %+v", d.to)
	}
}

type dialed struct {
	g  link.Gateway
	to []*topology.Member
}

func (d *dialed) Dial(m *topology.Member) (link.Gateway, bool) {
	d.to = append(d.to, m)
	return d.g, true
}
