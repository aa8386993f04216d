package redis

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"

	"ramen/protocol"
	"ramen/store"
	"ramen/store/codec"
)

var _ store.Replacer = (*Store)(nil)

// stagedTTL is how long a mailbox that is being made stays where nobody has put it in its place, in ms.
const stagedTTL = 60_000

// Replace implements store.Replacer. The mailbox is made elsewhere, in portions, and then put in its place by one script. Whatever is
// written to the mailbox without moving its last position (kills alone, records of devices, forgets) takes away what is made: a Replace that
// is late undoes none of it.
func (s *Store) Replace(ctx context.Context, at store.Owner, user protocol.UserID, last protocol.Position, m store.Mailbox) error {
	if err := s.replace(ctx, at, user, last, &m); err != nil {
		return fmt.Errorf("store/redis: replace the mailbox of user %q: %w", user, err)
	}
	return nil
}

func (s *Store) replace(ctx context.Context, at store.Owner, user protocol.UserID, last protocol.Position, m *store.Mailbox) error {
	if err := checkUser(user); err != nil {
		return err
	}
	if int(at.Shard) >= len(s.keys) {
		return fmt.Errorf("shard %d: there are %d", at.Shard, len(s.keys))
	}
	for i := range m.Entries {
		if m.Entries[i].Message == nil {
			return fmt.Errorf("entry %d has no message", i)
		}
	}
	r := &replacement{s: s, ctx: ctx, at: at, user: user, number: s.makings.Add(1)}
	if err := r.stage(m); err != nil {
		return err
	}
	return r.put(last, m)
}

// errOvertaken is the answer to a Replace behind whose beginning the mailbox was written to, or given to the store by another one. Nothing was done.
var errOvertaken = errors.New("the mailbox was written to while it was given to the store again")

// replacement is one Replace.
type replacement struct {
	s      *Store
	ctx    context.Context
	at     store.Owner
	user   protocol.UserID
	number uint64 // of the making: another one of the same mailbox ends it

	c      *call // the portion that is being made; nil: none
	begun  bool  // the first portion was sent
	fields int   // that were added
}

// stage writes m to where it is made.
func (r *replacement) stage(m *store.Mailbox) error {
	if !m.Last.IsZero() {
		if err := r.add("l", func(c *call) { c.arena = appendPosition(c.arena, m.Last) }); err != nil {
			return err
		}
	}
	for i := range m.Entries {
		e := &m.Entries[i]
		field := appendEntryField(nil, store.Ref{Priority: e.Message.Priority, Position: e.Position})
		if err := r.add(string(field), func(c *call) {
			from := len(c.arena)
			c.arena, c.head = codec.AppendEntry(c.arena, e, c.head)
			c.arena = seal(c.arena, field, from)
		}); err != nil {
			return err
		}
	}
	for i := range m.Devices {
		d := &m.Devices[i]
		name := string(fieldDevice) + string(d.ID)
		if err := r.add(name, func(c *call) {
			c.arena = r.s.appendOrder(c.arena, r.at.Epoch)
			from := len(c.arena)
			c.arena = seal(codec.AppendDevice(c.arena, d), []byte(name), from)
		}); err != nil {
			return err
		}
	}
	for i, id := range m.Seen {
		if err := r.add(string(fieldID)+strconv.Itoa(i), func(c *call) { c.arena = appendSeen(c.arena, id.ID, id.AcceptedMS) }); err != nil {
			return err
		}
	}
	if n := len(m.Seen); n > 0 {
		if err := r.add("t", func(c *call) { c.arena = strconv.AppendInt(c.arena, int64(n), 10) }); err != nil {
			return err
		}
	}
	if !r.begun {
		r.begin() // also of nothing: by its number who is late is known
	}
	return r.flush()
}

// begin begins a portion.
func (r *replacement) begin() {
	if r.c != nil {
		return
	}
	r.c = newCall(r.ctx, kindReplace, r.at)
	k := &r.s.keys[r.at.Shard]
	add(r.c, k.claim)
	r.c.addBeside(k, staged, r.user)
	r.c.addToken()
	r.c.addInt(stagedTTL)
	r.c.addInt(int64(r.number))
	r.c.addBool(!r.begun)
}

// add adds a field to the portion, and sends it where it is full.
func (r *replacement) add(field string, value func(*call)) error {
	r.begin()
	r.fields++
	add(r.c, field)
	value(r.c)
	r.c.end()
	if len(r.c.arena) < pipelineBytes/2 && len(r.c.ends) < 1000 {
		return nil
	}
	return r.flush()
}

func (r *replacement) flush() error {
	c := r.c
	if c == nil {
		return nil
	}
	r.c, r.begun = nil, true
	c.run(stageScript, "2")
	return r.s.do(c)
}

// put has what was made take its place.
func (r *replacement) put(last protocol.Position, m *store.Mailbox) error {
	now, k := nowMS(), &r.s.keys[r.at.Shard]
	expires, seen, latest := int64(math.MaxInt64), int64(math.MaxInt64), now
	for i := range m.Entries {
		ms := m.Entries[i].Message.ExpiresMS
		expires, latest = min(expires, ms), max(latest, ms)
	}
	for i := range m.Devices {
		ms := m.Devices[i].LastSeenMS
		seen = min(seen, ms)
		latest = max(latest, min(ms, now)+r.s.cfg.DeviceTTL.Milliseconds())
	}
	c := newCall(r.ctx, kindReplace, r.at)
	c.durable = true
	add(c, k.claim)
	r.s.addMailbox(c, k, r.user)
	add(c, k.expiry)
	add(c, k.unseen)
	c.addBeside(k, staged, r.user)
	c.addToken()
	c.addMark(last)
	c.addMark(m.Last)
	c.addInt(r.s.ttl(latest-now, r.s.cfg.IDRetention))
	add(c, r.user)
	for _, ms := range [...]int64{expires, seen} {
		if ms != math.MaxInt64 {
			c.arena = strconv.AppendInt(c.arena, ms, 10)
		}
		c.end()
	}
	c.addInt(int64(r.number))
	c.addBool(r.fields > 0)
	c.run(replaceScript, "5")
	return r.s.do(c)
}

// addMark adds a position as a mailbox keeps its last; zero is empty.
func (c *call) addMark(p protocol.Position) {
	if !p.IsZero() {
		c.arena = appendPosition(c.arena, p)
	}
	c.end()
}

// do hands c over and waits for its answer.
func (s *Store) do(c *call) error {
	g := newGroup(1)
	c.answer, c.i = g.answer, 0
	s.submitAll([]*call{c})
	g.wait()
	return g.errs[0]
}
