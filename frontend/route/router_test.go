package route

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"ramen/link"
	"ramen/protocol"
	"ramen/topology"
)

func statuses(results []link.Result) string {
	var b strings.Builder
	for _, r := range results {
		fmt.Fprint(&b, r.Status, " ")
	}
	return strings.TrimSpace(b.String())
}

// In the tests' words: 1 accepted, 2 duplicate, 3 rejected.

func TestOneOwnerGetsTheBatchInOneCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newMember()
		r := New(Default(), newScript(all("a", 7)), members{"a": a})
		results := r.Publish(t.Context(), messages("u1", "u2", "u3"))
		if statuses(results) != "1 1 1" || len(a.calls) != 1 {
			t.Fatal(statuses(results), len(a.calls))
		}
		for _, p := range a.calls[0] {
			if want := topology.ShardOf(p.User, shards); p.Epoch != 7 || p.Shard != want {
				t.Errorf("%s is asked for at %+v, want shard %d at epoch 7", p.User, p.Route, want)
			}
		}
	})
}

func TestEachOwnerGetsItsOwnAndResultsKeepTheirOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gates := members{"m0": newMember(), "m1": newMember(), "m2": newMember()}
		owner := func(s protocol.ShardID) topology.Shard {
			return topology.Shard{Member: topology.MemberID(fmt.Sprintf("m%d", s%3)), Epoch: 1}
		}
		for id, g := range gates {
			g.own(func(at link.Route) bool { return owner(at.Shard).Member == id })
		}
		r := New(Default(), newScript(owner), gates)
		var users []string
		for i := range 100 {
			users = append(users, fmt.Sprint("u", i%50)) // each twice, with the same id
		}
		results := r.Publish(t.Context(), messages(users...))
		for i, res := range results {
			want := link.StatusAccepted
			if i >= 50 {
				want = link.StatusDuplicate
			}
			if res.Status != want || res.Err != nil {
				t.Errorf("result %d is %v %v", i, res.Status, res.Err)
			}
		}
		for id, g := range gates {
			if len(g.calls) != 1 {
				t.Errorf("%s was asked %d times", id, len(g.calls))
			}
		}
	})
}

func TestNotOwnerWaitsForTheNewerView(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newMember(), newMember()
		a.own(func(link.Route) bool { return false })
		s := newScript(all("a", 1))
		cfg := Default()
		cfg.PauseMin, cfg.PauseMax = time.Second, time.Second // so that only the view can be what ends a wait
		r := New(cfg, s, members{"a": a, "b": b})
		began := time.Now()
		go func() {
			time.Sleep(100 * time.Millisecond)
			s.move(all("a", 1)) // newer, but it says the same: no reason to ask again
			time.Sleep(100 * time.Millisecond)
			s.move(all("b", 2))
		}()
		results := r.Publish(t.Context(), messages("u1", "u2"))
		if statuses(results) != "1 1" || len(a.calls) != 1 || len(b.calls) != 1 {
			t.Fatal(statuses(results), len(a.calls), len(b.calls))
		}
		if took := time.Since(began); took != 200*time.Millisecond {
			t.Fatal("took", took)
		}
		if b.calls[0][0].Epoch != 2 {
			t.Fatal("asked at epoch", b.calls[0][0].Epoch)
		}
	})
}

func TestOnlyWhatWasNotOwnedIsAskedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newMember(), newMember()
		moved := topology.ShardOf("u1", shards)
		batch := messages("u1", "u2", "u3", "u4")
		for _, p := range batch[1:] {
			if topology.ShardOf(p.User, shards) == moved {
				t.Fatal("the users of this test share a shard")
			}
		}
		a.own(func(at link.Route) bool { return at.Shard != moved })
		s := newScript(all("a", 1))
		r := New(Default(), s, members{"a": a, "b": b})
		go func() {
			time.Sleep(time.Millisecond)
			s.move(func(id protocol.ShardID) topology.Shard {
				if id == moved {
					return topology.Shard{Member: "b", Epoch: 2}
				}
				return topology.Shard{Member: "a", Epoch: 1}
			})
		}()
		if results := r.Publish(t.Context(), batch); statuses(results) != "1 1 1 1" {
			t.Fatal(statuses(results))
		}
		if len(a.accepted) != 3 || len(b.calls) != 1 || len(b.calls[0]) != 1 || b.calls[0][0].User != "u1" {
			t.Fatal(a.accepted, b.calls)
		}
		if fmt.Sprintf("%p", a.calls[0]) == fmt.Sprintf("%p", b.calls[0]) || a.calls[0][0].Epoch != 1 {
			t.Fatal("a batch that a gateway was given was changed")
		}
	})
}

func TestSlowOwnerHoldsUpNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hung, moving, next := newMember(), newMember(), newMember()
		hung.hang = true
		moving.own(func(link.Route) bool { return false })
		batch := messages("u1", "u2")
		first := topology.ShardOf("u1", shards)
		view := func(second topology.Shard) func(protocol.ShardID) topology.Shard {
			return func(id protocol.ShardID) topology.Shard {
				if id == first {
					return topology.Shard{Member: "hung", Epoch: 1}
				}
				return second
			}
		}
		s := newScript(view(topology.Shard{Member: "moving", Epoch: 1}))
		r := New(Default(), s, members{"hung": hung, "moving": moving, "next": next})
		go func() {
			time.Sleep(50 * time.Millisecond)
			s.move(view(topology.Shard{Member: "next", Epoch: 2}))
			time.Sleep(50 * time.Millisecond)
			next.mu.Lock()
			defer next.mu.Unlock()
			if len(next.accepted) != 1 {
				t.Error("the moved message waits for the hung gateway")
			}
		}()
		results := r.Publish(t.Context(), batch)
		if statuses(results) != "3 1" || code(results[0].Err) != protocol.CodeUnavailable {
			t.Fatal(statuses(results), results[0].Err)
		}
	})
}

func code(err error) protocol.Code {
	e, _ := errors.AsType[*protocol.Error](err)
	if e == nil {
		return ""
	}
	return e.Code
}

// TestRepeatAfterALostAnswerIsADuplicate: u3 was published by somebody before, and must not be accepted twice; u1 and u2 cannot be told from it.
func TestRepeatAfterALostAnswerIsADuplicate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newMember()
		a.fail = []error{link.ErrLost}
		a.seen["u3 m-u3"] = true // published before, by somebody
		r := New(Default(), newScript(all("a", 1)), members{"a": a})
		batch := append(messages("u1", "u2", "u3"), messages("u1")...)
		results := r.Publish(t.Context(), batch)
		if statuses(results) != "2 2 2 2" {
			t.Fatal(statuses(results))
		}
		if len(a.accepted) != 2 || len(a.calls) != 2 || a.calls[0][0].Message.ID != a.calls[1][0].Message.ID {
			t.Fatal(a.accepted, len(a.calls))
		}
	})
}

func TestDuplicateStaysOneWhereNoAnswerWasLost(t *testing.T) {
	for _, err := range []error{link.ErrNotOwner, link.ErrNotSent} {
		synctest.Test(t, func(t *testing.T) {
			a := newMember()
			a.fail = []error{err}
			a.seen["u1 m-u1"] = true
			r := New(Default(), newScript(all("a", 1)), members{"a": a})
			if results := r.Publish(t.Context(), messages("u1")); statuses(results) != "2" {
				t.Fatal(err, statuses(results))
			}
		})
	}
}

func TestNoOwnerIsUnavailableAtTheDeadline(t *testing.T) {
	none := protocol.Errorf(protocol.CodeUnavailable, "shard %d has no owner at the moment: nothing was done; try again", topology.ShardOf("u1", shards))
	lost := protocol.Errorf(protocol.CodeUnavailable, "the link to the owner of shard %d broke: whether the call took effect is unknown; try again with the same id", topology.ShardOf("u1", shards))
	unanswered := errUnanswered()
	for _, c := range []struct {
		name  string
		owner topology.Shard
		set   func(*member)
		want  *protocol.Error
	}{
		{"between owners", topology.Shard{}, nil, none},
		{"no link", topology.Shard{Member: "nobody", Epoch: 1}, nil, none},
		{"not owner", topology.Shard{Member: "a", Epoch: 1}, func(m *member) { m.owns = func(link.Route) bool { return false } }, none},
		{"lost", topology.Shard{Member: "a", Epoch: 1}, func(m *member) {
			for range 10000 {
				m.fail = append(m.fail, link.ErrLost)
			}
		}, lost},
		{"hung", topology.Shard{Member: "a", Epoch: 1}, func(m *member) { m.hang = true }, unanswered},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := newMember()
				if c.set != nil {
					c.set(a)
				}
				r := New(Default(), newScript(func(protocol.ShardID) topology.Shard { return c.owner }), members{"a": a})
				began := time.Now()
				results := r.Publish(t.Context(), messages("u1"))
				if e, _ := results[0].Err.(*protocol.Error); results[0].Status != link.StatusRejected || e == nil || *e != *c.want {
					t.Errorf("publish: %v\nwant %v", results[0], c.want)
				}
				if took := time.Since(began); took != 5*time.Second {
					t.Errorf("publish took %v", took)
				}
				_, err := r.Recall(t.Context(), "u1", "m")
				if e, _ := err.(*protocol.Error); e == nil || *e != *c.want {
					t.Errorf("recall: %v\nwant %v", err, c.want)
				}
				if took := time.Since(began); took != 10*time.Second {
					t.Errorf("recall took %v", took-5*time.Second)
				}
				if n := len(a.calls) + a.others; n > 2*60 {
					t.Errorf("the gateway was asked %d times in 10 s", n)
				}
			})
		})
	}
}

func TestCallersEarlierDeadlineCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := New(Default(), newScript(all("", 0)), members{})
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		began := time.Now()
		if results := r.Publish(ctx, messages("u1")); code(results[0].Err) != protocol.CodeUnavailable {
			t.Error(results[0].Err)
		}
		if _, err := r.Recall(ctx, "u1", "m"); !errors.Is(err, context.DeadlineExceeded) {
			t.Error("recall:", err)
		}
		if took := time.Since(began); took != 300*time.Millisecond {
			t.Error("took", took)
		}
	})
}

// An open takes no longer than its caller gives it, and no longer than the router's deadline.
func TestAnOpenEndsInItsTime(t *testing.T) {
	for within, want := range map[time.Duration]time.Duration{300 * time.Millisecond: 300 * time.Millisecond, time.Minute: 5 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			r := New(Default(), newScript(all("", 0)), members{})
			began := time.Now()
			if _, _, err := r.Open(t.Context(), within, link.Open{User: "u1"}, nil); code(err) != protocol.CodeUnavailable {
				t.Errorf("within %v: %v", within, err)
			}
			if took := time.Since(began); took != want {
				t.Errorf("within %v: it took %v; want %v", within, took, want)
			}
		})
	}
}

func TestOtherCallsFindTheNewOwnerToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newMember(), newMember()
		a.own(func(link.Route) bool { return false })
		b.own(func(at link.Route) bool { return at.Epoch == 2 })
		b.fail = []error{link.ErrLost}
		s := newScript(all("a", 1))
		r := New(Default(), s, members{"a": a, "b": b})
		go func() {
			time.Sleep(time.Second)
			s.move(all("b", 2))
		}()
		if ok, err := r.Recall(t.Context(), "u1", "m"); !ok || err != nil {
			t.Fatal(ok, err)
		}
		if _, opened, err := r.Open(t.Context(), time.Minute, link.Open{User: "u1"}, nil); err != nil || opened.Name != "s" {
			t.Fatal(opened, err)
		}
	})
}

func TestErrorsThatLeave(t *testing.T) {
	plain := errors.New("disk on fire")
	refused := protocol.Errorf(protocol.CodeResourceExhausted, "full")
	for _, c := range []struct {
		err  error
		want string
	}{
		{refused, "resource_exhausted: full"},
		{fmt.Errorf("link: %w", refused), "resource_exhausted: full"},
		{link.ErrSuperseded, link.ErrSuperseded.Error()},
		{fmt.Errorf("link: %w", link.ErrSuperseded), link.ErrSuperseded.Error()},
		{context.DeadlineExceeded, errUnanswered().Error()},
		{plain, "internal: the user's gateway failed: disk on fire"},
	} {
		a := newMember()
		a.fail = []error{c.err, c.err}
		r := New(Default(), newScript(all("a", 1)), members{"a": a})
		if _, _, err := r.Open(t.Context(), time.Minute, link.Open{User: "u1"}, nil); err == nil || err.Error() != c.want {
			t.Errorf("open: %v leaves as %v", c.err, err)
		}
		if errors.Is(c.err, link.ErrSuperseded) {
			continue // never an answer to a publish
		}
		if res := r.Publish(t.Context(), messages("u1")); res[0].Err == nil || res[0].Err.Error() != c.want {
			t.Errorf("publish: %v leaves as %v", c.err, res[0].Err)
		}
	}
}

func TestRetriesAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newMember()
		a.fail = []error{link.ErrLost, link.ErrNotOwner, nil}
		r := New(Default(), newScript(all("a", 1)), members{"a": a})
		reg := prometheus.NewRegistry()
		if err := r.Register(reg); err != nil {
			t.Fatal(err)
		}
		r.Publish(t.Context(), messages("u1", "u2"))
		for reason, want := range map[string]float64{"lost": 2, "not_owner": 2, "no_owner": 0} {
			if got := counter(t, reg, "ramen_route_retries_total", reason); got != want {
				t.Errorf("%s: %v, want %v", reason, got, want)
			}
		}
	})
}

// counter is the value of the counter of that name with the label value given.
func counter(t *testing.T, reg *prometheus.Registry, name, label string) float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == name && m.GetLabel()[0].GetValue() == label {
				return m.GetCounter().GetValue()
			}
		}
	}
	t.Fatalf("there is no %s of %s", name, label)
	return 0
}

func TestConfigValidate(t *testing.T) {
	good := Default()
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	for _, change := range []func(*Config){
		func(c *Config) { c.Deadline = 0 },
		func(c *Config) { c.Deadline = time.Hour },
		func(c *Config) { c.PauseMin = 0 },
		func(c *Config) { c.PauseMax = c.PauseMin - 1 },
		func(c *Config) { c.PauseMax = c.Deadline + 1 },
	} {
		c := Default()
		if change(&c); c.Validate() == nil {
			t.Errorf("%+v is taken", c)
		}
	}
}

type benchLinks struct{ g link.Gateway }

func (b benchLinks) Dial(*topology.Member) (link.Gateway, bool) { return b.g, true }

type accepting struct{ link.Gateway }

func (accepting) Publish(_ context.Context, batch []link.Publish) []link.Result {
	results := make([]link.Result, len(batch))
	for i := range results {
		results[i].Status = link.StatusAccepted
	}
	return results
}

func BenchmarkPublish(b *testing.B) {
	for _, n := range []int{1, 100} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			r := New(Default(), topology.NewStatic("one", 1, topology.DefaultShards), benchLinks{accepting{}})
			var users []string
			for i := range n {
				users = append(users, fmt.Sprint("user-", i))
			}
			batch := messages(users...)
			b.ReportAllocs()
			for i := 0; i < b.N; i += n {
				r.Publish(context.Background(), batch)
			}
		})
	}
}
