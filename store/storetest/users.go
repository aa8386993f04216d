package storetest

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"ramen/protocol"
	"ramen/store"
)

// testUsers: every user with something in the store is named, whatever that is, in pages of any size.
func testUsers(t *testing.T, cfg Config) {
	p := newPlace(t, cfg)
	if _, ok := p.Store.(store.Enumerator); !ok {
		t.Skip("the store does not name its users")
	}
	if got := p.users(t, 10); len(got) > 0 {
		t.Fatalf("a new store has %v", got)
	}
	p.claim(1, 1, 2, 300)
	var want []string
	for i := range 40 {
		u := store.ShardUser{Shard: []protocol.ShardID{1, 2, 300}[i%3], User: protocol.UserID(fmt.Sprintf("user-%d", i))}
		if i%8 == 7 { // one's name begins with another's
			u.User = protocol.UserID(fmt.Sprintf("user-%d-%d", i-1, i))
		}
		at := store.Owner{Shard: u.Shard, Epoch: 1}
		e := entry(fmt.Sprintf("id-%d", i), uint64(i+1))
		switch i % 4 {
		case 0:
			p.append(store.Append{Owner: at, User: u.User, Entries: []store.Entry{e}})
		case 1: // a device alone
			p.save(true, store.DeviceSave{Owner: at, User: u.User, Device: store.Device{ID: "d", LastSeenMS: e.Message.CreatedMS}})
		case 2: // an id alone
			p.append(store.Append{Owner: at, User: u.User, Entries: []store.Entry{e}, Kills: []store.Ref{ref(e)}})
		case 3: // all
			p.append(store.Append{Owner: at, User: u.User, Entries: []store.Entry{e}})
			p.save(true, store.DeviceSave{Owner: at, User: u.User, Device: store.Device{ID: "d", LastSeenMS: e.Message.CreatedMS}})
		}
		want = append(want, fmt.Sprint(u))
	}
	slices.Sort(want)
	check := func(when string) {
		t.Helper()
		for _, limit := range []int{1, 3, 40, 1000} {
			if got := p.users(t, limit); !slices.Equal(got, want) {
				t.Errorf("%s, in pages of %d: %d users\n%s\nwant %d\n%s", when, limit, len(got), strings.Join(got, " "), len(want), strings.Join(want, " "))
			}
		}
	}
	check("at once")
	if !cfg.Volatile {
		p.reopen()
		check("after it was opened again")
	}
}

// users names all, each once, in order.
func (p *place) users(t *testing.T, limit int) (all []string) {
	t.Helper()
	e := p.Store.(store.Enumerator)
	for page, n := "", 0; ; n++ {
		users, next, err := e.Users(p.ctx, page, limit)
		if err != nil {
			t.Fatal(err)
		}
		for _, u := range users {
			all = append(all, fmt.Sprint(u))
		}
		if page = next; page == "" {
			break
		}
		if n > 1000 {
			t.Fatal("there is no end of pages")
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// testAdopt: a new store takes another's identity for good, and one that was used does not.
func testAdopt(t *testing.T, cfg Config) {
	p := newPlace(t, cfg)
	a, ok := p.Store.(store.Adopter)
	if !ok {
		t.Skip("the store takes no other identity")
	}
	want := store.Identity{Generation: 7, Key: [16]byte{1, 2, 3}}
	for range 2 { // again is fine
		if err := a.Adopt(p.ctx, want); err != nil {
			t.Fatal(err)
		}
	}
	p.claim(1, 1)
	p.append(step("u", entry("a", 1)))
	if !cfg.Volatile {
		p.reopen()
	}
	if got := p.Identity(); got != want {
		t.Errorf("identity %v, want %v", got, want)
	}
	a = p.Store.(store.Adopter)
	if err := a.Adopt(p.ctx, want); err != nil {
		t.Errorf("the identity that it has: %v", err)
	}
	if err := a.Adopt(p.ctx, store.Identity{Generation: 8}); err == nil || p.Identity() != want {
		t.Errorf("another identity of a store that was used: %v", err)
	}
	p.claim(2, 1)
	if m := p.load(store.Owner{Shard: 1, Epoch: 2}, "u"); len(m.Entries) != 1 || m.Entries[0].Message.ID != "a" {
		t.Errorf("it has %+v", m)
	}
}
