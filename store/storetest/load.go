package storetest

import (
	"bytes"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"ramen/protocol"
	"ramen/store"
)

func testLoad(t *testing.T, cfg Config) {
	t.Run("UnknownUserIsEmpty", func(t *testing.T) {
		p := newPlace(t, cfg)
		p.claim(1, 1)
		if m := p.load(epoch1, "nobody"); len(m.Entries)+len(m.Devices)+len(m.Seen) != 0 {
			t.Fatalf("mailbox %+v", m)
		}
	})
	t.Run("EveryFieldComesBack", func(t *testing.T) {
		p := newPlace(t, cfg)
		p.claim(1, 1)
		all := fieldCases()
		p.append(step("u", all...))
		p.wantEntries(epoch1, "u", all...)
	})
	t.Run("OrderOfPosition", func(t *testing.T) { testOrder(t, newPlace(t, cfg)) })
	t.Run("UsersAndShardsAreApart", func(t *testing.T) { testApart(t, newPlace(t, cfg)) })
	t.Run("NewestOfAnID", func(t *testing.T) {
		p := newPlace(t, cfg)
		p.claim(1, 1)
		first, second := entry("a", 1), withPriority(entry("a", 5), protocol.PriorityLow)
		p.append(step("u", first, entry("b", 2)))
		p.append(step("u", second))
		p.wantEntries(epoch1, "u", entryAt(p, "b"), second)
		p.append(kill("u", ref(second)))
		p.wantEntries(epoch1, "u", entryAt(p, "b"))
	})
	t.Run("KilledAndForgottenAreGone", func(t *testing.T) {
		if cfg.Lossy {
			t.Skip("Forget is not seen at once")
		}
		p := newPlace(t, cfg)
		p.claim(1, 1)
		a, b, c := entry("a", 1), entry("b", 2), entry("c", 3)
		p.append(step("u", a, b, c))
		p.append(kill("u", ref(b), store.Ref{Priority: protocol.PriorityHigh, Position: position(77)}))
		p.forget(store.Forget{Owner: epoch1, User: "u", Refs: []store.Ref{ref(c), ref(c)}})
		p.wantEntries(epoch1, "u", a)
	})
	t.Run("WhatIsNotBelowStays", func(t *testing.T) { testBelow(t, newPlace(t, cfg)) })
	t.Run("ManyEntries", func(t *testing.T) {
		p := newPlace(t, cfg)
		p.claim(1, 1)
		var all []store.Entry
		for i := range 3000 {
			all = append(all, entry(fmt.Sprint("m", i), uint64(i+1)))
		}
		for chunk := range slices.Chunk(all, 500) {
			p.append(step("u", chunk...))
		}
		p.wantEntries(epoch1, "u", all...)
	})
}

// testBelow forgets all below a position of each lane: a store may leave that out, and nothing else.
func testBelow(t *testing.T, p *place) {
	p.claim(1, 1)
	low, high := withPriority(entry("low", 2), protocol.PriorityLow), withPriority(entry("high", 3), protocol.PriorityHigh)
	a, b, c := entry("a", 1), entry("b", 4), entry("c", 5)
	p.append(step("u", a, low, high, b), step("v", a))
	p.append(step("u", c))
	below := protocol.Positions{{Epoch: 1, Micros: high.Position.Micros + 1}, b.Position, {}} // high, medium, low
	p.forget(store.Forget{Owner: epoch1, User: "u", Refs: []store.Ref{ref(a), ref(high)}, Below: below})
	p.wantEntries(epoch1, "u", b, c, low)
	p.append(kill("u", ref(b)))
	p.append(step("u", withPriority(entry("last", 6), protocol.PriorityHigh)))
	p.wantEntries(epoch1, "u", entryOf(p, "u", "last"), c, low)
	p.forget(store.Forget{Owner: epoch1, User: "u", Below: protocol.Positions{{}, {Epoch: 1, Micros: 7}, {Epoch: 2}}})
	at := store.Owner{Shard: 1, Epoch: 2}
	p.claim(2, 1)
	next := entry("next", 1) // at a clock that is behind
	next.Position.Epoch = 2
	p.append(store.Append{Owner: at, User: "u", Entries: []store.Entry{next}})
	m := p.load(at, "u")
	if n := len(m.Entries); n == 0 || diffEntries(m.Entries[:1], []store.Entry{m.Entries[slices.IndexFunc(m.Entries, func(e store.Entry) bool { return e.Message.ID == "last" })]}) != "" ||
		!slices.ContainsFunc(m.Entries, func(e store.Entry) bool { return e.Message.ID == "next" }) {
		t.Fatalf("entries %v", m.Entries)
	}
	p.wantEntries(at, "v", a)
}

// entryAt is the entry that is loaded under id: for tests that care for others.
func entryAt(p *place, id protocol.MessageID) store.Entry {
	p.t.Helper()
	for _, e := range p.load(epoch1, "u").Entries {
		if e.Message.ID == id {
			return e
		}
	}
	p.t.Fatalf("no entry of id %q", id)
	return store.Entry{}
}

// fieldCases is entries in order, with each field at its limits.
func fieldCases() []store.Entry {
	long := strings.Repeat("é", 64)
	full := withPriority(entry(long, 1), protocol.PriorityHigh)
	full.Device = protocol.DeviceID(long)
	full.Where = map[string]string{"os": "ios", "label.city": "Lyon", "app_version": ""}
	full.Message.Type, full.Message.CollapseKey, full.Message.ContentType = long, long, "application/x-protobuf"
	full.Message.Headers = map[string]string{"": "empty", "trace": strings.Repeat("h", 4000)}
	full.Message.Payload = bytes.Repeat([]byte{0, 0xff}, 512<<10)
	bare := withPriority(entry("bare", 2), protocol.PriorityHigh)
	bare.Message.Type, bare.Message.Payload, bare.Message.ContentType = "", nil, ""
	last := withPriority(entry("last", 0), protocol.PriorityLow)
	last.Position = protocol.Position{Epoch: 1<<64 - 1, Micros: 1<<64 - 1}
	last.Message.CreatedMS, last.Message.ExpiresMS = time.Now().UnixMilli(), 1 // long expired
	return []store.Entry{full, bare, entry("plain", 3), last}
}

func testOrder(t *testing.T, p *place) {
	p.claim(1, 1)
	at := func(id string, prio protocol.Priority, epoch protocol.Epoch, micros uint64) store.Entry {
		e := withPriority(entry(id, micros), prio)
		e.Position.Epoch = epoch
		return e
	}
	want := []store.Entry{
		at("a", protocol.PriorityHigh, 1, 9), at("b", protocol.PriorityHigh, 2, 1), at("c", protocol.PriorityHigh, 256, 0),
		at("d", protocol.PriorityMedium, 1, 255), at("e", protocol.PriorityMedium, 1, 256),
		at("f", protocol.PriorityLow, 1, 1), at("g", protocol.PriorityLow, 1, 1<<40),
	}
	for _, i := range []int{5, 0, 3, 4, 6, 1, 2} {
		p.append(step("u", want[i]))
	}
	got := p.load(epoch1, "u").Entries
	for lane := range protocol.Lanes {
		in := func(all []store.Entry) (of []store.Entry) {
			for _, e := range all {
				if e.Message.Priority.Lane() == lane {
					of = append(of, e)
				}
			}
			return of
		}
		if diff := diffEntries(in(got), in(want)); diff != "" {
			t.Fatalf("lane %d: %s", lane, diff)
		}
	}
}

func testApart(t *testing.T, p *place) {
	p.claim(1, 0, 1, 2, 256)
	users := []protocol.UserID{"u", "uu", "u:", "u/", "ü", "U", "u%00", "d", "m", "\u00ff", "u{1}", "u*", "~"}
	for _, shard := range []protocol.ShardID{0, 1, 2, 256} {
		for _, u := range users {
			e := entry(fmt.Sprintf("%d-%s", shard, u), 1)
			d := store.Device{ID: protocol.DeviceID(u), LastSeenMS: int64(shard)}
			at := store.Owner{Shard: shard, Epoch: 1}
			p.append(store.Append{Owner: at, User: u, Entries: []store.Entry{e}})
			p.save(true, store.DeviceSave{Owner: at, User: u, Device: d})
		}
	}
	for _, shard := range []protocol.ShardID{0, 1, 2, 256} {
		for _, u := range users {
			m := p.load(store.Owner{Shard: shard, Epoch: 1}, u)
			id := protocol.MessageID(fmt.Sprintf("%d-%s", shard, u))
			ok := len(m.Entries) == 1 && m.Entries[0].Message.ID == id && len(m.Seen) == 1 && m.Seen[0].ID == id &&
				reflect.DeepEqual(m.Devices, []store.Device{{ID: protocol.DeviceID(u), LastSeenMS: int64(shard)}})
			if !ok {
				t.Fatalf("user %q of shard %d: %+v", u, shard, m)
			}
		}
	}
}

func testIDs(t *testing.T, cfg Config) {
	seen := func(p *place, want ...store.Entry) {
		t.Helper()
		got := make(map[protocol.MessageID]int64)
		for _, s := range p.load(epoch1, "u").Seen {
			got[s.ID] = s.AcceptedMS
		}
		for _, e := range want {
			if ms, ok := got[e.Message.ID]; !ok || ms != store.AcceptedMS(e.Message.CreatedMS, ms) {
				t.Fatalf("id %q seen at %d, %v; want %d", e.Message.ID, ms, ok, e.Message.CreatedMS)
			}
		}
		if len(got) != len(want) {
			t.Fatalf("%d ids seen, want %d: %v", len(got), len(want), got)
		}
	}
	p := newPlace(t, cfg)
	p.claim(1, 1)
	a, b, c := entry("a", 1), entry("b", 2), withPriority(entry("c", 3), protocol.PriorityHigh)
	p.append(step("u", a, b), step("v", entry("of v", 1)))
	p.append(step("u", c))
	seen(p, a, b, c)
	p.append(kill("u", ref(a)))
	p.forget(store.Forget{Owner: epoch1, User: "u", Refs: []store.Ref{ref(b)}})
	seen(p, a, b, c)
	if !cfg.Volatile {
		p.reopen()
		p.claim(1, 1)
		seen(p, a, b, c)
	}
	testLateIDs(t, cfg)
}

// testLateIDs: what was in doubt for long is accepted when it is written again, and its id is remembered from then on: also where the first
// write had been done.
func testLateIDs(t *testing.T, cfg Config) {
	p := newPlace(t, cfg)
	p.claim(1, 1)
	late := func(before int64, ids ...protocol.MessageID) {
		t.Helper()
		got := make(map[protocol.MessageID]int64)
		for _, s := range p.load(epoch1, "u").Seen {
			got[s.ID] = max(got[s.ID], s.AcceptedMS)
		}
		for _, id := range ids {
			if got[id] < before {
				t.Errorf("id %q is remembered from %d on, and was accepted at %d or later", id, got[id], before)
			}
		}
	}
	now := time.Now().UnixMilli()
	first, second := entry("first", 1), entry("second", 2)
	first.Message.CreatedMS = now - 10_000 // nothing of it is stored before
	p.append(step("u", first))
	late(now, "first")
	p.append(step("u", first, second))
	again := time.Now().UnixMilli()
	for again <= now { // the clock has milliseconds
		time.Sleep(time.Millisecond)
		again = time.Now().UnixMilli()
	}
	second.Message.CreatedMS = again - 10_000
	p.append(step("u", first, second)) // of which nothing is new
	late(again, "first", "second")
}

func testValues(t *testing.T, cfg Config) {
	p := newPlace(t, cfg)
	p.claim(1, 1)
	given := fieldCases()
	p.append(step("u", given...))
	d := fullDevice("d")
	p.save(true, store.DeviceSave{Owner: epoch1, User: "u", Device: d})
	spoil(given, &d)
	m := p.load(epoch1, "u")
	spoil(m.Entries, &m.Devices[0])
	want := fieldCases()
	m = p.load(epoch1, "u")
	for i := range want { // the times are of two moments
		want[i].Message.CreatedMS, want[i].Message.ExpiresMS = m.Entries[i].Message.CreatedMS, m.Entries[i].Message.ExpiresMS
	}
	if diff := diffEntries(m.Entries, want); diff != "" {
		t.Fatal(diff)
	}
	if !reflect.DeepEqual(m.Devices[0], fullDevice("d")) {
		t.Fatalf("device %+v", m.Devices[0])
	}
}

// spoil writes all over what a caller may write to.
func spoil(entries []store.Entry, d *store.Device) {
	for i := range entries {
		e := &entries[i]
		clear(e.Message.Payload)
		for _, m := range []map[string]string{e.Message.Headers, e.Where} {
			if m != nil {
				m["spoilt"] = "yes"
			}
		}
	}
	d.Context.Labels["spoilt"] = "yes"
	d.Context.App = "spoilt"
}
