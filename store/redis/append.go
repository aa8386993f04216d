package redis

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"time"

	"ramen/protocol"
	"ramen/store"
	"ramen/store/codec"
)

// slack is how long a key outlives what is in it: clocks differ, and what has expired is the gateway's to say.
const slack = time.Minute

// markTTL is how long the mark of a mailbox stays at least: longer than a gateway has a mailbox in memory that nobody uses.
const markTTL = time.Hour

// Append implements store.Store. Last that is not zero is compared with what the mailbox has; with a zero one what is not behind the
// mailbox's last position counts as written before.
func (s *Store) Append(ctx context.Context, batch []store.Append, answer func(i int, err error)) {
	var few [4]*queue
	touched := few[:0]
	now := nowMS()
	for i := range batch {
		a := &batch[i]
		if err := checkAppend(a); err != nil {
			answer(i, fmt.Errorf("store/redis: append user %q: %w", a.User, err))
			continue
		}
		c := newCall(ctx, kindAppend, a.Owner)
		c.answer, c.i, c.durable = answer, i, true
		if len(a.Entries) == 0 && len(a.Kills) > 0 {
			c.answer = s.remembering(a, answer)
		}
		s.encodeAppend(c, a, now)
		if q := s.submit(c); q != nil {
			touched = addQueue(touched, q)
		}
	}
	for _, q := range touched {
		q.kick()
	}
}

func checkAppend(a *store.Append) error {
	if err := checkUser(a.User); err != nil {
		return err
	}
	last := a.Last
	for i := range a.Entries {
		m := a.Entries[i].Message
		if m == nil || m.Priority < protocol.PriorityHigh || m.Priority > protocol.PriorityLow {
			return fmt.Errorf("entry %d needs a message of high, medium or low priority", i)
		}
		if p := a.Entries[i].Position; i > 0 && !last.Less(p) {
			return fmt.Errorf("entry %d is not behind the one before it", i)
		} else {
			last = p
		}
	}
	return nil
}

// checkUser refuses what cannot be a part of a key.
func checkUser(user protocol.UserID) error {
	if user == "" || strings.IndexByte(string(user), 0) >= 0 {
		return fmt.Errorf("%q cannot be a user", user)
	}
	return nil
}

// encodeAppend makes c the call of the append script for a. Nothing of c shares memory with a.
func (s *Store) encodeAppend(c *call, a *store.Append, now int64) {
	if int(a.Shard) >= len(s.keys) {
		return // submit refuses it
	}
	k := &s.keys[a.Shard]
	add(c, k.claim)
	s.addMailbox(c, k, a.User)
	add(c, k.expiry)
	keys := "3"
	if len(a.Entries) == 0 && len(a.Kills) > 0 {
		c.addBeside(k, staged, a.User)
		keys = "4"
	}
	c.addToken()
	c.addMark(a.Last)
	earliest, latest := int64(math.MaxInt64), now
	var last protocol.Position
	for i := range a.Entries {
		e := &a.Entries[i]
		earliest, latest = min(earliest, e.Message.ExpiresMS), max(latest, e.Message.ExpiresMS)
		last = e.Position
	}
	c.addInt(s.ttl(latest-now, s.cfg.IDRetention))
	c.addInt(now - s.cfg.IDRetention.Milliseconds() - slack.Milliseconds())
	c.addInt(int64(len(a.Entries)))
	c.addMark(last)
	add(c, a.User)
	if s.cfg.Cache {
		s.addLimit(c, a)
	} else {
		c.addInt(earliest)
	}
	for i := range a.Entries {
		s.addEntry(c, &a.Entries[i], now)
	}
	for _, ref := range a.Kills {
		c.arena = appendEntryField(c.arena, ref)
		c.end()
	}
	c.run(appendScript, keys)
}

// addEntry adds the field and the value of an entry, and what its id is kept as.
func (s *Store) addEntry(c *call, e *store.Entry, now int64) {
	from := len(c.arena)
	c.arena = appendEntryField(c.arena, store.Ref{Priority: e.Message.Priority, Position: e.Position})
	c.end()
	value := len(c.arena)
	c.arena, c.head = codec.AppendEntry(c.arena, e, c.head)
	c.arena = seal(c.arena, c.arena[from:value], value)
	c.end()
	c.arena = appendSeen(c.arena, e.Message.ID, store.AcceptedMS(e.Message.CreatedMS, now))
	c.end()
}

// addEarliest adds the place in an index; a cache has none.
func (s *Store) addEarliest(c *call, ms int64) {
	if s.cfg.Cache {
		c.end()
		return
	}
	c.addInt(ms)
}

// addLimit adds now and then the most that a mailbox may have in a cache, so that one which grows beyond is dropped by the append with which it
// does: whoever loads it would hold up the cache for all others.
func (s *Store) addLimit(c *call, a *store.Append) {
	if rand.N(weighEvery) < bytesOf(a) {
		add(c, s.cacheLimit)
		return
	}
	c.end()
}

// weighEvery is after how many bytes a cached mailbox is weighed, on average: that takes the server some 10 µs.
const weighEvery = 16 << 10

// bytesOf is about what an append adds to a mailbox.
func bytesOf(a *store.Append) (n int) {
	const ofEntry = 200 // its fields and values beside the texts
	for i := range a.Entries {
		n += ofEntry + len(a.Entries[i].Message.Payload)
	}
	return n
}

func appendSeen(b []byte, id protocol.MessageID, acceptedMS int64) []byte {
	return append(binary.BigEndian.AppendUint64(b, uint64(acceptedMS)), id...)
}

func (s *Store) addMailbox(c *call, k *shardKeys, user protocol.UserID) {
	c.arena = append(append(c.arena, k.mailbox...), user...)
	c.end()
}

// mostTTL bounds what is asked of the server.
const mostTTL = 400 * 24 * time.Hour

// ttl is for how many ms a mailbox is kept of which something lives that long.
func (s *Store) ttl(ms int64, atLeast time.Duration) int64 {
	return min(max(ms, atLeast.Milliseconds(), markTTL.Milliseconds()), mostTTL.Milliseconds()) + slack.Milliseconds()
}
