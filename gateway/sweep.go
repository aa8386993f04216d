package gateway

import (
	"context"
	"errors"
	"math"
	"sync"
	"time"

	"ramen/link"
	"ramen/protocol"
	"ramen/store"
)

// sweepSteps is in how many portions the sweeper visits all shards, once a second. sleepSteps is how many it passes over at most
// while nothing in them is due, and does when it wakes: each wake costs an idle process two switches.
const (
	sweepSteps = 20
	sleepSteps = 5
)

// seenEvery is how often a mailbox's remembered ids are swept, in ms.
const seenEvery = 60_000

// sweep is the sweeper's goroutine: messages whose time is over, windows that stay full, mailboxes that nobody needs,
// writes whose outcome is unknown.
func (g *Gateway) sweep(ctx context.Context) {
	const every = time.Second / sweepSteps
	timer := time.NewTimer(every)
	defer timer.Stop()
	for next, n := 0, 1; ; {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		for range n {
			g.sweepStep(next % sweepSteps)
			next++
		}
		g.endStalled()
		n = g.stepsToDue(next)
		timer.Reset(time.Duration(n) * every)
	}
}

// stepsToDue is how many steps from next on it is to the first with something due, that one included.
func (g *Gateway) stepsToDue(next int) int {
	nowMS := g.nowMS()
	for n := 1; n < sleepSteps; n++ {
		atMS := nowMS + int64(n)*1000/sweepSteps
		for i := (next + n - 1) % sweepSteps; i < len(g.shards); i += sweepSteps {
			if s := &g.shards[i]; s.epochNow() != 0 && s.dueMS.Load() <= atMS {
				return n
			}
		}
	}
	return sleepSteps
}

// sweepStep visits a portion of the shards.
func (g *Gateway) sweepStep(step int) {
	for i := step; i < len(g.shards); i += sweepSteps {
		if s := &g.shards[i]; s.epochNow() != 0 {
			g.sweepShard(s)
		} else {
			g.giveUpFenced(s)
		}
	}
}

// sweepShard visits the mailboxes of a shard that need it.
func (g *Gateway) sweepShard(s *shard) {
	nowMS := g.nowMS()
	if s.dueMS.Load() > nowMS {
		return
	}
	var again []*mailbox
	for _, b := range s.dueNow(nowMS, g.cfg.MailboxIdle.Milliseconds()) {
		unsure, woken := b.sweep(nowMS)
		if woken {
			g.pushAll(b)
		}
		if unsure {
			again = append(again, b)
			continue
		}
		g.releaseSwept(b)
	}
	for len(again) > 0 {
		n, bytes := 0, int32(0)
		for n < len(again) && bytes < commitBytes {
			bytes += again[n].unsured.Load()
			n++
		}
		g.writeAgain(s, again[:n])
		again = again[n:]
	}
}

// dueNow pins and names the mailboxes that need a visit, takes those out of memory that nobody has used for idleMS, and
// finds when to come again.
func (s *shard) dueNow(nowMS, idleMS int64) (visit []*mailbox) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dueMS.Store(math.MaxInt64) // first: who finds something due meanwhile lowers it again
	next := int64(math.MaxInt64)
	for _, b := range s.mailboxes {
		if b.loading != nil {
			continue // its end says when
		}
		if b.pins == 0 {
			if b.touchedMS+idleMS <= nowMS {
				s.unloadLocked(b)
				continue
			}
			next = min(next, b.touchedMS+idleMS)
		}
		if due := b.dueMS(); due <= nowMS {
			b.pins++
			visit = append(visit, b)
		} else {
			next = min(next, due)
		}
	}
	s.sweepBy(next)
	return visit
}

// dueMS is when b is to be visited.
func (b *mailbox) dueMS() int64 {
	if b.wake.Load() {
		return 0
	}
	due := b.sweepAtMS.Load()
	if next := b.nextExpiryMS.Load(); next != 0 {
		due = min(due, next)
	}
	return due
}

// sweepAgain has b visited at ms, whatever else is due in it.
func (b *mailbox) sweepAgain(ms int64) {
	b.sweepAtMS.Store(ms)
	b.shard.sweepBy(ms)
}

// sweep expires what is over. It reports whether a write with an unknown outcome is to be made sure, and whether what
// expired may have held something up.
func (b *mailbox) sweep(nowMS int64) (unsure, woken bool) {
	b.sweepAll(nowMS)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.gone {
		return false, false
	}
	b.sweepLocked(nowMS)
	woken = b.wake.Swap(false)
	if len(b.unsureLocked()) > 0 {
		b.sweepAgain(nowMS + 1000)
		return true, woken
	}
	if b.sweepAtMS.Load() <= nowMS {
		b.sweepSeenLocked(nowMS)
		b.forgetUnseenLocked()
		b.sweepAtMS.Store(nowMS + seenEvery)
	}
	b.shard.sweepBy(b.dueMS())
	return false, woken
}

// releaseSwept gives the sweeper's pin back without making the mailbox look used.
func (g *Gateway) releaseSwept(b *mailbox) {
	b.shard.mu.Lock()
	if b.pins--; b.pins == 0 {
		b.shard.sweepBy(b.touchedMS + g.cfg.MailboxIdle.Milliseconds())
	}
	b.shard.mu.Unlock()
}

// writeAgain writes what the store could not tell the outcome of. It does not wait: the store may be down.
func (g *Gateway) writeAgain(s *shard, boxes []*mailbox) {
	j := g.newJob()
	for _, b := range boxes {
		j.ops = append(j.ops, op{box: b})
	}
	j.after = func() {
		for _, b := range boxes {
			g.pushAll(b)
			g.releaseSwept(b)
		}
	}
	g.submit(g.committers[g.committerIndex(s)], j)
}

// pushAll pushes to every stream of a mailbox.
func (g *Gateway) pushAll(b *mailbox) {
	b.mu.Lock()
	var streams []*stream
	for d := b.devices; d != nil; d = d.next {
		if d.stream != nil {
			streams = append(streams, d.stream)
		}
	}
	b.mu.Unlock()
	for _, s := range streams {
		s.deliver()
	}
}

// forgetUnseenLocked forgets devices that were not seen for longer than configured. SPEC 1.
func (b *mailbox) forgetUnseenLocked() {
	before := b.g.unseenBefore(time.Now())
	for d := b.devices; d != nil; {
		next := d.next
		if d.stream == nil && d.sinceMS < before {
			b.forgetDeviceLocked(d)
		}
		d = next
	}
}

// lapseBatch is how many users of a shard are named at once by a store that can.
const lapseBatch = 256

// lapse is the lapser's goroutine: once an interval it visits every shard.
func (g *Gateway) lapse(ctx context.Context, l store.Lapser) {
	tick := time.NewTicker(max(g.cfg.LapseInterval/time.Duration(len(g.shards)), time.Millisecond))
	defer tick.Stop()
	for i := 0; ; i = (i + 1) % len(g.shards) {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if s := &g.shards[i]; s.epochNow() != 0 {
			if err := g.lapseShard(ctx, l, s); err != nil && ctx.Err() == nil {
				g.log.Warn("store did not name users with lapsed messages", "shard", s.id, "error", err)
			}
		}
	}
}

// lapseShard loads the users of a shard with something in the store that time has ended, which counts and forgets it.
func (g *Gateway) lapseShard(ctx context.Context, l store.Lapser, s *shard) error {
	at := store.Owner{Shard: s.id, Epoch: s.epochNow()}
	for after := protocol.UserID(""); ; {
		call, cancel := context.WithTimeout(ctx, g.cfg.LoadTimeout)
		users, err := l.Lapsed(call, at, after, g.nowMS(), g.unseenBefore(time.Now()), lapseBatch)
		cancel()
		if errors.Is(err, store.ErrFenced) {
			g.fenced(at)
		}
		if err != nil {
			return err
		}
		for _, u := range users {
			if b, err := g.acquire(ctx, link.Route{Shard: s.id, Epoch: at.Epoch}, u); err == nil {
				g.releaseSwept(b)
			}
		}
		if len(users) < lapseBatch {
			return nil
		}
		after = users[len(users)-1]
	}
}

// stalls are the streams whose window is full, each with the time at which it ends unless something is acked.
type stalls struct {
	looked time.Time // when over was last called; owned by the sweeper

	mu sync.Mutex
	at map[*stream]time.Time // guarded by mu
}

// longSleep is how long the sweeper must not have looked for the process not to have run: it was stopped, or frozen with its
// container. Its sleeps are a quarter of it.
const longSleep = time.Second

func (t *stalls) init() { t.at = make(map[*stream]time.Time) }

func (t *stalls) add(s *stream, at time.Time) {
	t.mu.Lock()
	t.at[s] = at
	t.mu.Unlock()
}

func (t *stalls) remove(s *stream) {
	t.mu.Lock()
	delete(t.at, s)
	t.mu.Unlock()
}

// over is the streams whose time has come. Time in which the process did not run is no time that they had: acks that came
// meanwhile are yet to be read.
func (t *stalls) over(now time.Time) (over []*stream) {
	paused := now.Sub(t.looked)
	if t.looked.IsZero() || paused < longSleep {
		paused = 0
	}
	t.looked = now
	t.mu.Lock()
	defer t.mu.Unlock()
	for s, at := range t.at {
		if paused > 0 {
			at = at.Add(paused)
			t.at[s] = at
		}
		if !now.Before(at) {
			over = append(over, s)
		}
	}
	return over
}

// endStalled ends the streams that acked nothing for too long with a full window. SPEC 2.9.
func (g *Gateway) endStalled() {
	for _, s := range g.stalls.over(time.Now()) {
		b := s.d.mb
		b.mu.Lock()
		if s.full && !s.detached() && s.stalledLocked(g.nowMS()) {
			limit := g.cfg.ackTimeout(s.d.transport)
			s.endLocked(protocol.ReasonAckTimeout, "the window is full and nothing was acked for "+limit.String()+"; ack pushes once they are processed")
		}
		b.mu.Unlock()
		s.deliver()
	}
}
