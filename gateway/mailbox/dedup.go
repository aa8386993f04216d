package mailbox

import (
	"encoding/binary"
	"maps"

	"github.com/dchest/siphash"

	"ramen/protocol"
	"ramen/store"
)

// idHash stands for a message id in memory: 128 bits, keyed with the store's secret, so that nobody can make two ids collide.
type idHash [2]uint64

// hashID is id's hash under the store's secret.
func hashID(key *[16]byte, id protocol.MessageID) idHash {
	var buf [128]byte
	a, b := siphash.Hash128(binary.LittleEndian.Uint64(key[:8]), binary.LittleEndian.Uint64(key[8:]), append(buf[:0], id...))
	return idHash{a, b}
}

// dedup remembers the ids of one user, each until its retention is over and its message has left. The mailbox's lock guards it.
type dedup struct {
	until map[idHash]int64 // Unix ms until which the id is remembered; pending while it is being appended
}

// pending marks an id whose append is under way.
const pending int64 = 1<<63 - 1

func (s *dedup) get(h idHash) (untilMS int64, ok bool) {
	untilMS, ok = s.until[h]
	return untilMS, ok
}

// maxIDs is the most ids of one user that are remembered.
const maxIDs = 1 << 20

func (s *dedup) bytes() int64 {
	switch n := int64(len(s.until)); {
	case n == 0:
		return 0
	case n <= fewInMap:
		return mapBytes(int(n), idBytes/2)
	default:
		return n * idBytes
	}
}

func (s *dedup) put(h idHash, untilMS int64) {
	if s.until == nil {
		s.until = make(map[idHash]int64)
	}
	s.until[h] = untilMS
}

func (s *dedup) drop(h idHash) { delete(s.until, h) }

// remember, drop and SweepIDs change the remembered ids, and count the memory.
func (b *Mailbox) remember(h idHash, untilMS int64) {
	before := b.dedup.bytes()
	b.dedup.put(h, untilMS)
	b.scope.Ledger.Memory.Add(b.dedup.bytes() - before)
}

func (b *Mailbox) drop(h idHash) {
	before := b.dedup.bytes()
	b.dedup.drop(h)
	b.scope.Ledger.Memory.Add(b.dedup.bytes() - before)
}

func (b *Mailbox) SweepIDs(nowMS int64) {
	before := b.dedup.bytes()
	b.dedup.sweep(nowMS)
	b.recovery.sweepIDs(nowMS)
	if b.recovery != nil {
		b.dropRecovery()
	}
	b.scope.Ledger.Memory.Add(b.dedup.bytes() - before)
}

// accept remembers the id of a message that is accepted at nowMS. Where its step was in doubt for long, that is long after it came. SPEC 9.2.2
func (b *Mailbox) accept(h idHash, m *protocol.Message, nowMS int64) {
	until := b.scope.retainedMS(m.CreatedMS)
	if at := store.AcceptedMS(m.CreatedMS, nowMS); at != m.CreatedMS {
		until = b.scope.retainedMS(at)
		b.makeRecovery().retainID(h, until)
	}
	b.remember(h, max(until, m.ExpiresMS))
}

// retainedMS is until when the id of a message that was accepted is remembered at least.
func (b *Mailbox) retainedMS(m *protocol.Message) int64 {
	until := b.scope.retainedMS(m.CreatedMS)
	if b.recovery != nil {
		until = max(until, b.recovery.ids[b.scope.hash(m.ID)])
	}
	return until
}

// sweep forgets ids whose time is over. That of a waiting message is no earlier than its expiry.
func (s *dedup) sweep(nowMS int64) {
	before := len(s.until)
	for h, until := range s.until {
		if until <= nowMS {
			delete(s.until, h)
		}
	}
	switch n := len(s.until); {
	case n == 0:
		s.until = nil
	case before-n > before/4: // a map does not shrink
		left := make(map[idHash]int64, n)
		maps.Copy(left, s.until)
		s.until = left
	}
}

// hash is id's hash under the store's secret.
func (c *Common) hash(id protocol.MessageID) idHash { return hashID(&c.Identity.Key, id) }
