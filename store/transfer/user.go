package transfer

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"ramen/protocol"
	"ramen/store"
)

// A step has at most so many entries, or bytes of them: a script in Redis, say, is to be short.
const (
	stepEntries = 64
	stepBytes   = 256 << 10
)

// idTTL is how long what only carries an id may live: it is killed in the step that brings it.
const idTTL = time.Minute

// copyUser brings one user's mailbox into the target. Where a store did not answer it is tried again: by comparison.
func (c *copier) copyUser(ctx context.Context, u store.ShardUser) error {
	for attempt := 1; ; attempt++ {
		err := c.tryUser(ctx, u)
		var last *store.LastError
		if err == nil || ctx.Err() != nil || attempt == attempts || errors.Is(err, store.ErrFenced) || errors.Is(err, store.ErrClosed) || errors.As(err, &last) {
			return err
		}
		t := time.NewTimer(time.Duration(attempt)*100*time.Millisecond + rand.N(100*time.Millisecond))
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return context.Cause(ctx)
		}
	}
}

func (c *copier) tryUser(ctx context.Context, u store.ShardUser) error {
	at := store.Owner{Shard: u.Shard, Epoch: c.epoch}
	from, to, err := c.loadBoth(ctx, at, u.User)
	if err != nil {
		return err
	}
	places := c.places()
	var p plan
	if c.same {
		p = mirror(&from, &to)
	} else {
		p = merge(&from, &to, places)
	}
	if p.empty() {
		return nil
	}
	c.written.Add(1)
	if r, ok := c.To.(store.Replacer); ok && c.same {
		return r.Replace(ctx, at, u.User, to.Last, whole(from, to.Last))
	}
	return c.write(ctx, at, u.User, to.Last, &p, places)
}

// loadBoth reads a user's mailbox in both stores.
func (c *copier) loadBoth(ctx context.Context, at store.Owner, user protocol.UserID) (from, to store.Mailbox, err error) {
	if from, err = c.From.Load(ctx, at, user); err != nil {
		return from, to, fmt.Errorf("from the source: %w", err)
	}
	if to, err = c.To.Load(ctx, at, user); err != nil {
		return from, to, fmt.Errorf("from the target: %w", err)
	}
	return from, to, nil
}

// whole is m with its last position, which is behind that of the target.
func whole(m store.Mailbox, last protocol.Position) store.Mailbox {
	if m.Last.Less(last) {
		m.Last = last
	}
	for _, e := range m.Entries {
		if m.Last.Less(e.Position) {
			m.Last = e.Position
		}
	}
	return m
}

// places answers positions of this copy's epoch, one behind the other, behind all that either store has.
func (c *copier) places() func() protocol.Position {
	p := protocol.Position{Epoch: c.epoch, Micros: uint64(c.Now().UnixMicro())}
	return func() protocol.Position {
		p.Micros++
		return p
	}
}

// write has the target do p, in steps: what a step brings survives wherever a later one does. Devices come last, since a device that is
// known has been through what is before its cursor.
func (c *copier) write(ctx context.Context, at store.Owner, user protocol.UserID, last protocol.Position, p *plan, place func() protocol.Position) error {
	step := store.Append{Owner: at, User: user, Last: last, Kills: p.kills}
	size := 0
	flush := func() error {
		if len(step.Entries)+len(step.Kills) == 0 {
			return nil
		}
		if err := appendStep(ctx, c.To, step); err != nil {
			return err
		}
		for _, e := range step.Entries {
			if step.Last.Less(e.Position) {
				step.Last = e.Position
			}
		}
		step.Entries, step.Kills, size = nil, nil, 0 // the store may have kept the slices
		return nil
	}
	add := func(e store.Entry) error {
		bytes := e.Message.Size()
		if len(step.Entries) > 0 && (len(step.Entries) >= stepEntries || size+bytes > stepBytes) {
			if err := flush(); err != nil {
				return err
			}
		}
		step.Entries, size = append(step.Entries, e), size+bytes
		return nil
	}
	for _, e := range p.entries {
		if err := add(e); err != nil {
			return err
		}
	}
	for _, s := range p.ids {
		e := c.carrier(s, place())
		if err := add(e); err != nil {
			return err
		}
		step.Kills = append(step.Kills, refOf(&e))
	}
	if err := flush(); err != nil {
		return err
	}
	return c.saveDevices(ctx, at, user, p)
}

// carrier is an entry that brings an id, and is killed with the step that it is in.
func (c *copier) carrier(s store.Seen, at protocol.Position) store.Entry {
	return store.Entry{Position: at, Message: &protocol.Message{
		ID: s.ID, Type: "id", Priority: protocol.PriorityLow, ContentType: protocol.ContentTypeJSON,
		CreatedMS: s.AcceptedMS, ExpiresMS: c.Now().Add(c.Retention + idTTL).UnixMilli(),
	}}
}

func (c *copier) saveDevices(ctx context.Context, at store.Owner, user protocol.UserID, p *plan) error {
	var batch []store.DeviceSave
	for _, d := range p.devices {
		batch = append(batch, store.DeviceSave{Owner: at, User: user, Device: d})
	}
	for _, id := range p.removed {
		batch = append(batch, store.DeviceSave{Owner: at, User: user, Device: store.Device{ID: id}, Remove: true})
	}
	if len(batch) == 0 {
		return nil
	}
	return errors.Join(c.To.SaveDevices(ctx, batch, true)...)
}

// appendStep is one user's append.
func appendStep(ctx context.Context, s store.Store, step store.Append) error {
	answered := make(chan error, 1)
	s.Append(ctx, []store.Append{step}, func(_ int, err error) { answered <- err })
	return <-answered
}
