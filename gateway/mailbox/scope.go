package mailbox

import (
	"strconv"
	"sync/atomic"
	"time"

	"ramen/protocol"
	"ramen/store"
)

// Limits are the limits of one user. The gateway's configuration documents them.
type Limits struct {
	Messages int   // that wait
	Bytes    int64 // of their payloads, headers and where
	Memory   int64 // of the whole gateway; the messages of one user may take a part of it
	Devices  int   // known ones

	OpensPerSecond     float64 // 0: no limit
	OpensBurst         int
	PublishesPerSecond float64 // 0: no limit
	PublishesBurst     int
	IDRetention        time.Duration
}

// Common is shared by all mailboxes of a process.
type Common struct {
	// immutable
	Limits   Limits
	Identity store.Identity
	Sealer   protocol.Sealer

	Ledger    Ledger
	Positions Positions
	streams   atomic.Uint64 // numbers given to streams
}

// Scope is shared by the mailboxes of a shard during one ownership.
type Scope struct {
	*Common
	Owner store.Owner
}

// NewStream returns the number for a stream that is opened for the first time.
func (s *Scope) NewStream() protocol.StreamNumber {
	return protocol.StreamNumber{Epoch: s.Owner.Epoch, Counter: s.streams.Add(1)}
}

// streamName returns the opaque name of a stream (SPEC 2.2.3). It has the epoch, since each restart counts from 1, and the store's
// generation, since a wiped store begins with the same epochs again.
func (c *Common) streamName(n protocol.StreamNumber) string {
	return "s" + strconv.FormatUint(uint64(c.Identity.Generation), 36) + "." + strconv.FormatUint(uint64(n.Epoch), 36) + "." + strconv.FormatUint(n.Counter, 36)
}

// retainedMS is the time until which the id of a message accepted at createdMS is remembered at least. SPEC 9.2.2.
func (c *Common) retainedMS(createdMS int64) int64 {
	return createdMS + c.Limits.IDRetention.Milliseconds()
}

// Positions gives the µs of positions. Safe for concurrent use.
type Positions struct{ last atomic.Uint64 }

// next returns now, or one more than the last result if that is higher: a clock that is set back moves no message behind a cursor.
func (p *Positions) next(now uint64) uint64 {
	for {
		last := p.last.Load()
		next := max(now, last+1)
		if p.last.CompareAndSwap(last, next) {
			return next
		}
	}
}

// Ledger counts every message in and out of memory. While nothing is under way,
// accepted + loaded = acked + expired + collapsed + recalled + unloaded + waiting. SPEC 8.5.10. It also has gauges. Safe for concurrent
// use.
type Ledger struct {
	Accepted, Loaded, Unloaded atomic.Uint64
	Ended                      [Removals]atomic.Uint64
	Waiting                    [protocol.Lanes]atomic.Int64

	Memory    atomic.Int64 // bytes that users in memory take (size.go)
	Mailboxes atomic.Int64
	Devices   atomic.Int64
}
