package storetest

import (
	"errors"
	"reflect"
	"testing"
	"time"

	"ramen/protocol"
	"ramen/store"
)

// replacement is a mailbox in place of that of user u, on a store that takes back what it has lost.
type replacement struct {
	*place
	store.Replacer
	a, b, c store.Entry
	full    store.Mailbox // with b and c
}

func newReplacement(t *testing.T, cfg Config) *replacement {
	p := newPlace(t, cfg)
	r := &replacement{place: p, Replacer: p.replacer(), a: entry("a", 1), b: entry("b", 2), c: entry("c", 3)}
	p.claim(1, 1)
	r.full = store.Mailbox{Last: position(4), Entries: []store.Entry{r.b, r.c}, Devices: []store.Device{fullDevice("d")},
		Seen: []store.Seen{{ID: "a", AcceptedMS: time.Now().UnixMilli()}, {ID: "b", AcceptedMS: r.b.Message.CreatedMS}, {ID: "c", AcceptedMS: r.c.Message.CreatedMS}}}
	return r
}

// replace puts m in the place of u's mailbox, whose last position is last.
func (r *replacement) replace(last protocol.Position, m store.Mailbox) {
	r.t.Helper()
	if err := r.Replace(r.ctx, epoch1, "u", last, m); err != nil {
		r.t.Fatal(err)
	}
}

// want is that u's mailbox is m.
func (r *replacement) want(m store.Mailbox) {
	r.t.Helper()
	got := r.load(epoch1, "u")
	if diff := diffEntries(got.Entries, m.Entries); diff != "" {
		r.t.Fatal(diff)
	}
	if got.Last != m.Last || !reflect.DeepEqual(got.Devices, m.Devices) || len(got.Seen) != len(m.Seen) {
		r.t.Fatalf("mailbox %+v, want %+v", got, m)
	}
}

func testReplace(t *testing.T, cfg Config) {
	t.Run("OfNothing", func(t *testing.T) {
		r := newReplacement(t, cfg)
		r.append(step("v", r.a))
		for range 2 { // doing it again is fine
			r.replace(protocol.Position{}, r.full)
			r.want(r.full)
		}
		r.wantEntries(epoch1, "v", r.a)
	})
	t.Run("OfAllThatIsThere", func(t *testing.T) {
		r := newReplacement(t, cfg)
		r.append(step("u", r.a))
		r.save(true, store.DeviceSave{Owner: epoch1, User: "u", Device: fullDevice("gone")})
		r.replace(position(1), r.full)
		r.want(r.full)
	})
	t.Run("AppendsGoOnBehindIt", func(t *testing.T) {
		r := newReplacement(t, cfg)
		r.replace(protocol.Position{}, r.full)
		e := entry("e", 5)
		next := step("u", e)
		next.Last, next.Kills = position(4), []store.Ref{ref(r.b)}
		r.append(next)
		r.wantEntries(epoch1, "u", r.c, e)
	})
	t.Run("AnEmptyMailbox", func(t *testing.T) {
		r := newReplacement(t, cfg)
		r.append(step("u", r.a))
		r.replace(position(1), store.Mailbox{Last: position(3)})
		r.want(store.Mailbox{Last: position(3)})
	})
	t.Run("NotWhereTheLastIsAnother", func(t *testing.T) { testReplaceOfAnother(t, newReplacement(t, cfg)) })
	t.Run("NotForAnOlderEpoch", func(t *testing.T) {
		if cfg.Unfenced {
			t.Skip("the store does not fence")
		}
		r := newReplacement(t, cfg)
		r.append(step("u", r.a))
		r.claim(2, 1)
		wantErr(t, "replace", r.Replace(r.ctx, epoch1, "u", position(1), r.full), store.ErrFenced)
		r.wantEntries(epoch2, "u", r.a)
	})
}

// testReplaceOfAnother replaces a mailbox whose last position is not the one that is expected.
func testReplaceOfAnother(t *testing.T, r *replacement) {
	r.append(step("u", r.a), step("v", r.a))
	r.append(step("u", entry("x", 5)))
	for _, last := range []protocol.Position{{}, position(1)} {
		err := r.Replace(r.ctx, epoch1, "u", last, r.full)
		var other *store.LastError
		if !errors.As(err, &other) || other.Last != position(5) {
			t.Fatalf("%v, want a LastError of %+v", err, position(5))
		}
	}
	r.wantEntries(epoch1, "u", r.a, entryOf(r.place, "u", "x"))
}
