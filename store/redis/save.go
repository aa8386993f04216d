package redis

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"

	"ramen/protocol"
	"ramen/store"
	"ramen/store/codec"
)

// SaveDevices implements store.Store. A save that is late changes no record that was written after it, and brings back none that was
// removed after it.
func (s *Store) SaveDevices(ctx context.Context, batch []store.DeviceSave, durable bool) []error {
	var first []int // in batch, of the elements of each call: those of one user that follow each other
	for i := range batch {
		if i == 0 || batch[i].Owner != batch[i-1].Owner || batch[i].User != batch[i-1].User || i-first[len(first)-1] >= 64 {
			first = append(first, i)
		}
	}
	g := newGroup(len(first))
	all := make([]*call, 0, len(first))
	for n, i := range first {
		end := len(batch)
		if n+1 < len(first) {
			end = first[n+1]
		}
		if err := checkUser(batch[i].User); err != nil {
			g.answer(n, err)
			continue
		}
		c := newCall(ctx, kindSave, batch[i].Owner)
		c.answer, c.i, c.durable = g.answer, n, durable
		s.encodeSave(c, batch[i:end])
		all = append(all, c)
	}
	s.submitAll(all)
	g.wait()
	if g.first() == nil {
		return nil
	}
	errs := make([]error, len(batch))
	n := -1
	for i := range batch {
		if n+1 < len(first) && first[n+1] == i {
			n++
		}
		if g.errs[n] != nil {
			errs[i] = fmt.Errorf("store/redis: save device %q of user %q: %w", batch[i].Device.ID, batch[i].User, g.errs[n])
		}
	}
	return errs
}

// encodeSave makes c the call of the save script for devices of one user.
func (s *Store) encodeSave(c *call, batch []store.DeviceSave) {
	at, user := batch[0].Owner, batch[0].User
	if int(at.Shard) >= len(s.keys) {
		return // submit refuses it
	}
	k := &s.keys[at.Shard]
	add(c, k.claim)
	s.addMailbox(c, k, user)
	add(c, k.unseen)
	c.addBeside(k, staged, user)
	c.addBeside(k, removed, user)
	c.addToken()
	earliest, latest := int64(math.MaxInt64), int64(0)
	for i := range batch {
		seen := batch[i].Device.LastSeenMS
		earliest, latest = min(earliest, seen), max(latest, seen)
	}
	c.addInt(s.ttl(min(latest-nowMS(), mostTTL.Milliseconds())+s.cfg.DeviceTTL.Milliseconds(), s.cfg.DeviceTTL))
	add(c, user)
	s.addEarliest(c, earliest)
	c.arena = s.appendOrder(c.arena, at.Epoch)
	c.end()
	for i := range batch {
		d := &batch[i]
		from := len(c.arena)
		c.arena = append(append(c.arena, fieldDevice), d.Device.ID...)
		c.end()
		value := len(c.arena)
		if !d.Remove {
			c.arena = codec.AppendDevice(c.arena, &d.Device)
			c.arena = seal(c.arena, c.arena[from:value], value)
		}
		c.end()
	}
	c.run(saveScript, "5")
}

// appendOrder is the place of a write of devices among all: by epoch, then by when it was called, whatever the clock says.
func (s *Store) appendOrder(b []byte, epoch protocol.Epoch) []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(b, uint64(epoch)), s.order.Add(1))
}

// Forget implements store.Store.
func (s *Store) Forget(ctx context.Context, batch []store.Forget) []error {
	g := newGroup(len(batch))
	all := make([]*call, 0, len(batch))
	for i := range batch {
		f := &batch[i]
		if err := checkUser(f.User); err != nil {
			g.answer(i, err)
			continue
		}
		c := newCall(ctx, kindForget, f.Owner)
		c.answer, c.i = g.answer, i
		if int(f.Shard) < len(s.keys) {
			k := &s.keys[f.Shard]
			add(c, k.claim)
			s.addMailbox(c, k, f.User)
			c.addBeside(k, staged, f.User)
			c.addToken()
			for _, ref := range f.Refs {
				c.arena = appendEntryField(c.arena, ref)
				c.end()
			}
			c.run(forgetScript, "3")
		}
		all = append(all, c)
	}
	s.submitAll(all)
	g.wait()
	for i := range batch {
		if g.errs[i] != nil {
			g.errs[i] = fmt.Errorf("store/redis: forget entries of user %q: %w", batch[i].User, g.errs[i])
		}
	}
	return g.result()
}
