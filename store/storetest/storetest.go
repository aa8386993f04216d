// Package storetest is the conformance suite of store.Store: each guarantee of package store is a group of subtests.
//
// The suite starts goroutines in some subtests, and waits for them.
package storetest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"testing"
	"time"

	"ramen/protocol"
	"ramen/store"
)

// Config says how to make the store under test, and what it cannot do.
type Config struct {
	// Open makes an empty place for a store, and answers what opens the store that is kept there: again after each Close.
	// The suite closes what it opens.
	Open func(t *testing.T) (open func() store.Store)
	// Stall makes a store on an empty place whose writes hang, and take effect later, from stall to release. Nil: not tested.
	Stall func(t *testing.T) (s store.Store, stall func() (release func()))
	// Script makes an empty place as Open does; what it opens does with appends what the Script says. Nil: not tested, as where
	// all users share the fate of a write.
	Script func(t *testing.T) (open func() store.Store, script Script)
	// Crash makes an empty place as Open does, and answers what opens a copy of what a loss of power would leave of it now.
	// Nil: not tested.
	Crash func(t *testing.T) (open func() store.Store, crash func() (open func() store.Store))
	// Lose makes an empty place as Open does, and what copies it as a replica has it at that moment, and then has the copy take its
	// place: what was stored between is lost. Nil: not tested.
	Lose func(t *testing.T) (open func() store.Store, replica func() (promote func()))
	// Retention is how long the stores remember ids; from 10 s, since the suite looks for them right after.
	Retention time.Duration
	// Unfenced: the store cannot tell an older epoch.
	Unfenced bool
	// Volatile: what is stored does not outlive Close.
	Volatile bool
	// Lossy: a lazy save or Forget is not seen by the next Load for sure.
	Lossy bool
	// Exclusive: a place is open once at a time. A take-over closes the older store first.
	Exclusive bool
	// ChecksLast: an Append whose Last is not the mailbox's last position is refused.
	ChecksLast bool
}

// Script has the appends of one user fare worse than others.
type Script interface {
	// Hold has user's appends hang until release: then they take effect. At its deadline one is answered ErrUnknown, and takes
	// no effect.
	Hold(user protocol.UserID) (release func())
	// Late has user's next append answered ErrUnknown at once; it arrives at the store at arrive, which waits for that.
	Late(user protocol.UserID) (arrive func())
}

// Run runs the suite.
func Run(t *testing.T, cfg Config) {
	if cfg.Retention < 10*time.Second {
		t.Fatalf("storetest: retention is %v, must be at least 10s", cfg.Retention)
	}
	groups := []struct {
		name string
		run  func(*testing.T, Config)
	}{
		{"1-durable", testDurable},
		{"2-atomic", testAtomic},
		{"2-unknown", testUnknown},
		{"2-answers", testAnswers},
		{"3-late", testLate},
		{"4-fenced", testFenced},
		{"4-takeover", testTakeOver},
		{"5-load", testLoad},
		{"6-ids", testIDs},
		{"7-values", testValues},
		{"8-order", testForgetOrder},
		{"9-killed", testKilled},
		{"last", testLast},
		{"shared", testShared},
		{"replace", testReplace},
		{"lost", testLost},
		{"devices", testDevices},
		{"expiry", testExpiryScan},
		{"users", testUsers},
		{"adopt", testAdopt},
		{"calls", testCalls},
		{"model", testModel},
	}
	for _, g := range groups {
		t.Run(g.name, func(t *testing.T) { g.run(t, cfg) })
	}
}

// patience bounds a call of a test that must come back.
const patience = 30 * time.Second

// place is a store under test that may be opened again.
type place struct {
	store.Store
	t     *testing.T
	open  func() store.Store
	ctx   context.Context
	owner string // in whose name it claims
}

func newPlace(t *testing.T, cfg Config) *place {
	t.Helper()
	return placeOf(t, cfg.Open(t))
}

func placeOf(t *testing.T, open func() store.Store) *place {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	p := &place{t: t, open: open, ctx: ctx, Store: open(), owner: "first"}
	t.Cleanup(func() {
		cancel()
		if err := p.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return p
}

// reopen closes the store and opens it again.
func (p *place) reopen() {
	p.t.Helper()
	if err := p.Close(); err != nil {
		p.t.Fatalf("close: %v", err)
	}
	p.Store = p.open()
}

// successor opens the store once more, for another owner.
func (p *place) successor(cfg Config) *place {
	p.t.Helper()
	if cfg.Exclusive {
		if err := p.Close(); err != nil {
			p.t.Fatalf("close: %v", err)
		}
	}
	s := placeOf(p.t, p.open)
	s.owner = "second"
	return s
}

func (p *place) claim(epoch protocol.Epoch, shards ...protocol.ShardID) {
	p.t.Helper()
	if err := first(p.Claim(p.ctx, shards, epoch, p.owner)); err != nil {
		p.t.Fatalf("claim %v at %d: %v", shards, epoch, err)
	}
}

// append appends steps that must succeed.
func (p *place) append(batch ...store.Append) {
	p.t.Helper()
	for i, err := range Append(p.ctx, p, batch) {
		if err != nil {
			p.t.Fatalf("append %d of user %q: %v", i, batch[i].User, err)
		}
	}
}

func (p *place) save(durable bool, batch ...store.DeviceSave) {
	p.t.Helper()
	if err := first(p.SaveDevices(p.ctx, batch, durable)); err != nil {
		p.t.Fatalf("save devices: %v", err)
	}
}

func (p *place) forget(batch ...store.Forget) {
	p.t.Helper()
	if err := first(p.Forget(p.ctx, batch)); err != nil {
		p.t.Fatalf("forget: %v", err)
	}
}

func (p *place) load(at store.Owner, user protocol.UserID) store.Mailbox {
	p.t.Helper()
	m, err := p.Load(p.ctx, at, user)
	if err != nil {
		p.t.Fatalf("load user %q: %v", user, err)
	}
	return m
}

// wantEntries compares a mailbox's entries with want, in order.
func (p *place) wantEntries(at store.Owner, user protocol.UserID, want ...store.Entry) {
	p.t.Helper()
	got := p.load(at, user).Entries
	if diff := diffEntries(got, want); diff != "" {
		p.t.Fatalf("entries of user %q: %s", user, diff)
	}
}

func diffEntries(got, want []store.Entry) string {
	for i := range min(len(got), len(want)) {
		if !reflect.DeepEqual(got[i], want[i]) {
			return fmt.Sprintf("entry %d is\n%s, want\n%s", i, describe(got[i]), describe(want[i]))
		}
	}
	if len(got) != len(want) {
		return fmt.Sprintf("%d entries, want %d", len(got), len(want))
	}
	return ""
}

func describe(e store.Entry) string {
	m := *e.Message
	if len(m.Payload) > 100 {
		m.Payload = m.Payload[:100]
	}
	return fmt.Sprintf("%+v device %q where %v message %+v", e.Position, e.Device, e.Where, m)
}

func wantErr(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("%s: %v, want %v", what, err, want)
	}
}

// epoch1 owns shard 1, where most tests play.
var epoch1 = store.Owner{Shard: 1, Epoch: 1}

func position(micros uint64) protocol.Position { return protocol.Position{Epoch: 1, Micros: micros} }

// entry is a message of medium priority accepted now.
func entry(id string, micros uint64) store.Entry {
	now := time.Now().UnixMilli()
	return store.Entry{Position: position(micros), Message: &protocol.Message{
		ID: protocol.MessageID(id), Type: "test", Priority: protocol.PriorityMedium, Payload: []byte(`{"n":1}`),
		ContentType: protocol.ContentTypeJSON, CreatedMS: now, ExpiresMS: now + 60_000,
	}}
}

func withPriority(e store.Entry, p protocol.Priority) store.Entry {
	m := *e.Message
	m.Priority = p
	e.Message = &m
	return e
}

func ref(e store.Entry) store.Ref {
	return store.Ref{Priority: e.Message.Priority, Position: e.Position}
}

func step(user protocol.UserID, entries ...store.Entry) store.Append {
	return store.Append{Owner: epoch1, User: user, Entries: entries}
}

func kill(user protocol.UserID, refs ...store.Ref) store.Append {
	return store.Append{Owner: epoch1, User: user, Kills: refs}
}
