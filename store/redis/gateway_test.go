package redis

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"ramen/protocol"
	"ramen/store"
	"ramen/store/storetest"
)

// publisher does for one user what a gateway does: it writes again what is in doubt, before and with the next, and takes a mailbox back
// where the store has lost of it.
type publisher struct {
	s    *Store
	at   store.Owner
	user protocol.UserID
	as   string // whose claim it is

	last   protocol.Position // that the store is known to have
	stored []store.Entry     // what must be there
	doubt  []store.Entry     // what may be there
	n      uint64

	accepted, refused, unknown, replaced int
	slowest                              time.Duration
}

func newPublisher(s *Store, shard protocol.ShardID, user string) *publisher {
	return &publisher{s: s, at: store.Owner{Shard: shard, Epoch: 1}, user: protocol.UserID(user), as: "first"}
}

// publish publishes one message, and answers what the store has answered.
func (p *publisher) publish(ctx context.Context, patience time.Duration) error {
	p.n++
	e := entry(fmt.Sprint(p.user, "-", p.n), p.n)
	err := p.write(ctx, patience, e)
	var other *store.LastError
	switch {
	case err == nil:
		p.accepted++
	case errors.Is(err, store.ErrUnknown):
		p.unknown++
		p.doubt = append(p.doubt, e)
	case errors.Is(err, store.ErrFenced):
		p.refused++
		ctx, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		_ = p.s.Claim(ctx, []protocol.ShardID{p.at.Shard}, p.at.Epoch, p.as)
	case errors.As(err, &other):
		p.refused++
		p.takeBack(ctx, patience, other.Last)
	default:
		p.refused++
	}
	return err
}

// write appends what is in doubt, and more.
func (p *publisher) write(ctx context.Context, patience time.Duration, more ...store.Entry) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	began := time.Now()
	all := append(append([]store.Entry(nil), p.doubt...), more...)
	err := storetest.Append(ctx, p.s, []store.Append{{Owner: p.at, User: p.user, Last: p.last, Entries: all}})[0]
	p.slowest = max(p.slowest, time.Since(began))
	if err == nil && len(all) > 0 {
		p.stored, p.doubt, p.last = append(p.stored, all...), nil, all[len(all)-1].Position
	}
	return err
}

// takeBack gives the store all that it is to have, where it has another last position.
func (p *publisher) takeBack(ctx context.Context, patience time.Duration, found protocol.Position) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	all := append(append([]store.Entry(nil), p.stored...), p.doubt...)
	m := store.Mailbox{Entries: all}
	for _, e := range all {
		m.Seen = append(m.Seen, store.Seen{ID: e.Message.ID, AcceptedMS: e.Message.CreatedMS})
		m.Last = e.Position
	}
	if p.s.Replace(ctx, p.at, p.user, found, m) == nil {
		p.replaced++
		p.stored, p.doubt, p.last = all, nil, m.Last
	}
}

// settle writes what is in doubt until the store has answered.
func (p *publisher) settle(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		err := p.publish(ctx, 2*time.Second)
		if err == nil {
			return
		}
		if ctx.Err() != nil {
			t.Fatalf("user %s: %v", p.user, err)
		}
	}
}

// check wants what was accepted to be there, and nothing else.
func (p *publisher) check(t *testing.T, s *Store, at store.Owner) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	m, err := s.Load(ctx, at, p.user)
	if err != nil {
		t.Fatal(err)
	}
	wantIDs(t, m, ids(p.stored)...)
	if m.Last != p.last || len(m.Seen) != len(p.stored) {
		t.Fatalf("user %s: last %+v, want %+v; %d ids, want %d", p.user, m.Last, p.last, len(m.Seen), len(p.stored))
	}
}

func ids(all []store.Entry) (ids []string) {
	for i := range all {
		ids = append(ids, string(all[i].Message.ID))
	}
	return ids
}

// wantIDs wants a mailbox to have these entries, in order.
func wantIDs(t *testing.T, m store.Mailbox, want ...string) {
	t.Helper()
	if got := ids(m.Entries); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Fatalf("entries %v, want %v", got, want)
	}
}
