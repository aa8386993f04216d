package storetest

import (
	"fmt"
	"testing"

	"ramen/protocol"
	"ramen/store"
)

// testKilled is of what must not come back: neither by itself, nor once what took its place has gone.
func testKilled(t *testing.T, cfg Config) {
	if cfg.Crash == nil && cfg.Volatile {
		t.Skip("the store does not outlive Close, and cannot be crashed")
	}
	a, b, c := keyed("a", 1, protocol.PriorityLow), keyed("b", 2, protocol.PriorityHigh), keyed("c", 3, protocol.PriorityMedium)
	replaces := func(e store.Entry, older ...store.Entry) store.Append {
		s := step("u", e)
		for _, o := range older {
			s.Kills = append(s.Kills, ref(o))
		}
		return s
	}
	forget := func(p *place, e store.Entry) {
		p.forget(store.Forget{Owner: epoch1, User: "u", Refs: []store.Ref{ref(e)}})
	}
	cases := []struct {
		name string
		do   func(p *place)
		want []store.Entry
	}{
		{"Replaced", func(p *place) { p.append(replaces(b, a)) }, []store.Entry{b}},
		{"ReplacedAfterItWasForgotten", func(p *place) { forget(p, a); p.append(replaces(b, a)) }, []store.Entry{b}},
		{"SuccessorIsKilled", func(p *place) { p.append(replaces(b, a)); p.append(kill("u", ref(b))) }, nil},
		{"SuccessorIsKilledBehindAForget", func(p *place) {
			forget(p, a)
			p.append(replaces(b, a))
			forget(p, b)
			p.append(kill("u", ref(b), ref(a)))
		}, nil},
		{"SuccessorIsReplaced", func(p *place) { p.append(replaces(b, a)); p.append(replaces(c, b, a)) }, []store.Entry{c}},
		{"KilledBesideItsSuccessor", func(p *place) { p.append(step("u", b)); p.append(kill("u", ref(b), ref(a))) }, nil},
		{"KilledAndForgotten", func(p *place) { p.append(replaces(b, a)); forget(p, a); p.append(step("u", c)) }, []store.Entry{b, c}},
	}
	for _, x := range cases {
		t.Run(x.name, func(t *testing.T) {
			p, again := crashing(t, cfg)
			p.claim(1, 1)
			p.append(step("u", a))
			x.do(p)
			p.wantEntries(epoch1, "u", x.want...)
			left := again()
			for epoch := protocol.Epoch(2); epoch < 5; epoch++ {
				left.claim(epoch, 1)
				left.wantEntries(store.Owner{Shard: 1, Epoch: epoch}, "u", x.want...)
				left.reopen()
			}
		})
	}
}

// keyed is an entry that replaces those of its key.
func keyed(id string, micros uint64, p protocol.Priority) store.Entry {
	e := withPriority(entry(id, micros), p)
	e.Message.CollapseKey, e.Where = "k", map[string]string{"os": "ios\x00\x01\x1f\n", "label.\x00": ""}
	return e
}

// crashing is a store, and again what a loss of power leaves of it; where that cannot be had, what Close leaves.
func crashing(t *testing.T, cfg Config) (p *place, again func() *place) {
	if cfg.Crash == nil {
		p = newPlace(t, cfg)
		return p, func() *place { p.reopen(); return p }
	}
	open, crash := cfg.Crash(t)
	return placeOf(t, open), func() *place { return placeOf(t, crash()) }
}

// testForgetOrder takes what a loss of power leaves after each of many Forgets: what a later one dropped is not gone without
// what an earlier one did, nor a part of one.
func testForgetOrder(t *testing.T, cfg Config) {
	if cfg.Crash == nil {
		t.Skip("the store cannot be crashed")
	}
	const pairs = 6
	p, again := crashing(t, cfg)
	p.claim(1, 1)
	var all []store.Entry
	for i := range uint64(2 * pairs) {
		all = append(all, entry(fmt.Sprint("m", i), 1+i))
	}
	p.append(step("u", all...))
	for i := range pairs {
		p.forget(store.Forget{Owner: epoch1, User: "u", Refs: []store.Ref{ref(all[2*i]), ref(all[2*i+1])}})
		if i == pairs/2 {
			p.append(kill("u", store.Ref{Priority: protocol.PriorityHigh, Position: position(99)}))
		}
		left := again()
		left.claim(1, 1)
		got := left.load(epoch1, "u").Entries
		n := len(all) - len(got)
		if diff := diffEntries(got, all[n:]); diff != "" || n%2 != 0 || n > 2*(i+1) {
			t.Fatalf("after %d Forgets of two entries %d are gone: %s", i+1, n, diff)
		}
		if i >= pairs/2 && n < pairs+2 {
			t.Fatalf("%d are gone; want at least %d, which an Append was behind", n, pairs+2)
		}
	}
}
