package mailbox

import (
	"strconv"
	"sync/atomic"
	"time"

	"ramen/protocol"
	"ramen/store"
)

// Limits bounds what one user may have. What they mean to an operator stands in the gateway's configuration.
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

// Common is what all mailboxes of a process share.
type Common struct {
	// immutable
	Limits   Limits
	Identity store.Identity
	Sealer   protocol.Sealer

	Ledger    Ledger
	Positions Positions
	streams   atomic.Uint64 // numbers given to streams
}

// Scope is what the mailboxes of one ownership of a shard share.
type Scope struct {
	*Common
	Owner store.Owner
}

// NewStream is the number of a stream that is opened for the first time.
func (s *Scope) NewStream() protocol.StreamNumber {
	return protocol.StreamNumber{Epoch: s.Owner.Epoch, Counter: s.streams.Add(1)}
}

// streamName is the opaque name of a stream: unique over restarts, since the epoch is raised by each, and over stores, since a
// wiped one begins with the same epochs again.
func (c *Common) streamName(n protocol.StreamNumber) string {
	return "s" + strconv.FormatUint(uint64(c.Identity.Generation), 36) + "." + strconv.FormatUint(uint64(n.Epoch), 36) + "." + strconv.FormatUint(n.Counter, 36)
}

// retainedMS is until when the id of a message that was accepted at createdMS is remembered at least.
func (c *Common) retainedMS(createdMS int64) int64 {
	return createdMS + c.Limits.IDRetention.Milliseconds()
}

// Positions gives the µs of positions. Safe for concurrent use.
type Positions struct{ last atomic.Uint64 }

// next is now, and always more than what was given last: so a clock that is set back moves nothing behind a cursor.
func (p *Positions) next(now uint64) uint64 {
	for {
		last := p.last.Load()
		next := max(now, last+1)
		if p.last.CompareAndSwap(last, next) {
			return next
		}
	}
}

// Ledger counts every message in and out of memory. At any quiet moment
// accepted + loaded = acked + expired + collapsed + recalled + unloaded + waiting. SPEC 8. It has the gauges beside them, too. Safe
// for concurrent use.
type Ledger struct {
	Accepted, Loaded, Unloaded atomic.Uint64
	Ended                      [Removals]atomic.Uint64
	Waiting                    [protocol.Lanes]atomic.Int64

	Memory    atomic.Int64 // bytes that users in memory take (size.go)
	Mailboxes atomic.Int64
	Devices   atomic.Int64
}
