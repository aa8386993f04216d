package cassandra

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"ramen/protocol"
	"ramen/store"
)

const (
	selectItems    = "SELECT item, value FROM users WHERE shard = ? AND user = ? AND item < ?"
	selectForgoten = "SELECT value FROM users WHERE shard = ? AND user = ? AND item >= ? AND item < ?"
	selectSteps    = "SELECT step, WRITETIME(step) FROM messages WHERE shard = ? AND user = ? AND epoch = ? AND slot = ? AND micros >= ?"
)

// pageRows is how many rows a host sends at once. A row may have a payload of 1 MiB, and most have a few hundred bytes.
const pageRows = 200

// bucketsAtOnce is how many buckets of one user are read at once.
const bucketsAtOnce = 4

// Load implements store.Store.
func (s *Store) Load(ctx context.Context, at store.Owner, user protocol.UserID) (store.Mailbox, error) {
	if err := s.enter(); err != nil {
		return store.Mailbox{}, s.wrap("load mailbox", user, err)
	}
	defer s.calls.Done()
	select {
	case s.loads <- struct{}{}:
		defer func() { <-s.loads }()
	case <-ctx.Done():
		return store.Mailbox{}, s.wrap("load mailbox", user, ctx.Err())
	}
	began := time.Now()
	m, err := s.load(ctx, at, user)
	s.metrics.observe(callLoad, began, err)
	return m, s.wrap("load mailbox", user, err)
}

func (s *Store) load(ctx context.Context, at store.Owner, user protocol.UserID) (store.Mailbox, error) {
	var m store.Mailbox
	if err := s.fence(at); err != nil {
		return m, err
	}
	waiting := s.forgets.look(userKey{at.Shard, user}) // before it is read: what is written by now is read
	u, err := read(ctx, s, func(ctx context.Context) (*partition, error) { return s.readUser(ctx, at.Shard, user) })
	if err != nil {
		return m, err
	}
	if err := s.learnTTL(ctx, u.index); err != nil {
		return m, err
	}
	l := &loading{s: s, shard: at.Shard, user: user, floor: u.floor, nowMS: time.Now().UnixMilli()}
	for i, below := range waiting.Below {
		l.floor[i] = later(l.floor[i], below)
	}
	l.forgotten = waiting.Refs
	if err := l.readAll(ctx, l.parts(u.index)); err != nil {
		return m, err
	}
	m = l.mailbox()
	m.Devices = u.devices
	return m, nil
}

// partition is what stands in a user's own.
type partition struct {
	floor   protocol.Positions
	devices []store.Device
	index   []indexed
}

func (s *Store) readUser(ctx context.Context, shard protocol.ShardID, user protocol.UserID) (*partition, error) {
	rows := s.session.Query(selectItems, int32(shard), string(user), []byte{itemIndex + 1}).
		RoutingKey(usersKey(shard, user)).PageSize(1000).Trace(s.tracer).IterContext(ctx)
	u := new(partition)
	var item, value []byte
	var fault error
	for fault == nil && rows.Scan(&item, &value) {
		fault = u.add(item, value)
	}
	if err := rows.Close(); err != nil {
		return nil, err
	}
	return u, fault
}

func (u *partition) add(item, value []byte) (err error) {
	switch {
	case len(item) == 0:
		return &damageError{"item", errShort}
	case item[0] == itemFloor:
		err = raiseFloor(&u.floor, item, value)
	case item[0] == itemDevice:
		var d store.Device
		d, err = decodeDevice(item, value)
		u.devices = append(u.devices, d)
	case item[0] == itemIndex:
		var x indexed
		x, err = decodeIndexed(item, value)
		u.index = append(u.index, x)
	}
	return err
}

// loading is a mailbox that is being loaded.
type loading struct {
	s     *Store
	shard protocol.ShardID
	user  protocol.UserID
	floor protocol.Positions // of each lane: what is below is needed no more
	nowMS int64

	mu        sync.Mutex
	steps     []step      // guarded by mu
	forgotten []store.Ref // guarded by mu
}

// part is what is read of one bucket.
type part struct {
	bucket
	micros uint64 // from there on
}

// parts is the buckets that may have something that is needed: entries no lower than the floor of their lane, and ids that were
// accepted not long ago.
func (l *loading) parts(index []indexed) []part {
	from := make(map[bucket]uint64)
	for i := range index {
		x := &index[i]
		micros, needed := l.needed(x)
		if !needed {
			continue
		}
		if before, ok := from[x.bucket]; !ok || micros < before {
			from[x.bucket] = micros
		}
	}
	parts := make([]part, 0, len(from))
	for b, micros := range from {
		parts = append(parts, part{b, micros})
	}
	slices.SortFunc(parts, func(a, b part) int {
		return cmp.Or(cmp.Compare(a.epoch, b.epoch), cmp.Compare(a.slot, b.slot))
	})
	return parts
}

// needed is from where on the bucket is needed for an index item. Its ids count by the clock, and positions by their owner's, which may be
// another: how far the two were apart is in the item.
func (l *loading) needed(x *indexed) (micros uint64, yes bool) {
	sinceMS := l.nowMS - l.s.retention.Milliseconds() - l.s.slack.Milliseconds()
	micros = math.MaxUint64
	if x.firstMS+l.s.slotMS()+l.s.slack.Milliseconds() >= sinceMS { // it may have ids
		ago := (x.firstMS - sinceMS) * 1000 // how much later than the oldest id its first step is
		switch {
		case ago >= 0 && uint64(ago) >= x.firstMicros:
			micros = 0
		case ago >= 0:
			micros = x.firstMicros - uint64(ago)
		default:
			micros = x.firstMicros + uint64(-ago)
		}
		yes = true
	}
	floor := l.floor[x.priority.Lane()]
	switch at := l.s.bucketOf(floor); {
	case at.less(x.bucket), floor.IsZero():
		return 0, true
	case at == x.bucket:
		return min(micros, floor.Micros), true
	}
	return micros, yes
}

// readAll reads the parts, and what was forgotten of them.
func (l *loading) readAll(ctx context.Context, parts []part) error {
	if len(parts) == 0 {
		return nil
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var all sync.WaitGroup
	next := make(chan part, len(parts))
	for _, p := range parts {
		next <- p
	}
	close(next)
	for range min(bucketsAtOnce, len(parts)) {
		all.Go(func() {
			for p := range next {
				if err := l.readSteps(ctx, p); err != nil {
					cancel(err)
					return
				}
			}
		})
	}
	err := l.readForgotten(ctx, parts[0].bucket)
	if err != nil {
		cancel(err)
	}
	all.Wait()
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

func (l *loading) readSteps(ctx context.Context, p part) error {
	steps, err := read(ctx, l.s, func(ctx context.Context) ([]step, error) {
		rows := l.s.session.Query(selectSteps, int32(l.shard), string(l.user), int64(p.epoch), int64(p.slot), signed(p.micros)).
			RoutingKey(messagesKey(l.shard, l.user, p.bucket)).PageSize(pageRows).Trace(l.s.tracer).IterContext(ctx)
		var steps []step
		var value []byte
		var written int64 // Unix µs, by the clock of who wrote it
		var fault error
		for fault == nil && rows.Scan(&value, &written) {
			var one step
			one, fault = decodeStep(value)
			one.writtenMS = written / 1000
			steps = append(steps, one)
		}
		if err := rows.Close(); err != nil {
			return nil, err
		}
		return steps, fault
	})
	if err != nil {
		return fmt.Errorf("bucket %d of epoch %d: %w", p.slot, p.epoch, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.steps = append(l.steps, steps...)
	return nil
}

// signed is from where on to read by the order that Cassandra has: of the positions that do not fit its numbers, all.
func signed(micros uint64) int64 {
	if micros > math.MaxInt64 || micros == 0 {
		return math.MinInt64
	}
	return int64(micros)
}

// readForgotten reads what was forgotten of buckets from first on.
func (l *loading) readForgotten(ctx context.Context, first bucket) error {
	refs, err := read(ctx, l.s, func(ctx context.Context) ([]store.Ref, error) {
		rows := l.s.session.Query(selectForgoten, int32(l.shard), string(l.user), first.append([]byte{itemForgotten}), []byte{itemForgotten + 1}).
			RoutingKey(usersKey(l.shard, l.user)).PageSize(1000).Trace(l.s.tracer).IterContext(ctx)
		var refs []store.Ref
		var value []byte
		var fault error
		for fault == nil && rows.Scan(&value) {
			var some []store.Ref
			some, fault = decodeRefs(value)
			refs = append(refs, some...)
		}
		if err := rows.Close(); err != nil {
			return nil, err
		}
		return refs, fault
	})
	l.forgotten = append(l.forgotten, refs...)
	return err
}

// mailbox is what was read, put together.
func (l *loading) mailbox() (m store.Mailbox) {
	gone := make(map[store.Ref]struct{})
	for _, ref := range l.forgotten {
		gone[ref] = struct{}{}
	}
	newest := make(map[protocol.MessageID]protocol.Position)
	seen := make(map[protocol.MessageID]int64)
	sinceMS := l.nowMS - l.s.retention.Milliseconds()
	for _, one := range l.steps {
		for _, ref := range one.kills {
			gone[ref] = struct{}{}
		}
		for i := range one.entries {
			e := &one.entries[i]
			id := e.Message.ID
			newest[id] = later(newest[id], e.Position)
			if ms := store.AcceptedMS(e.Message.CreatedMS, one.writtenMS); ms > sinceMS {
				seen[id] = max(seen[id], ms)
			}
		}
	}
	for _, one := range l.steps {
		for _, e := range one.entries {
			ref := store.Ref{Priority: e.Message.Priority, Position: e.Position}
			if _, is := gone[ref]; is || newest[e.Message.ID] != e.Position || e.Position.Less(l.floor[ref.Priority.Lane()]) {
				continue
			}
			gone[ref] = struct{}{} // it may have been written more than once
			m.Entries = append(m.Entries, e)
		}
	}
	slices.SortFunc(m.Entries, func(a, b store.Entry) int {
		return cmp.Or(int(a.Message.Priority)-int(b.Message.Priority), a.Position.Compare(b.Position))
	})
	for id, ms := range seen {
		m.Seen = append(m.Seen, store.Seen{ID: id, AcceptedMS: ms})
	}
	return m
}
