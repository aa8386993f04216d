package gateway

import (
	"context"
	"sync"
	"sync/atomic"

	"ramen/link"
	"ramen/protocol"
	"ramen/store"
)

// shard is a share of the users, owned at an epoch or not at all.
type shard struct {
	g     *Gateway
	id    protocol.ShardID
	epoch atomic.Uint64 // 0: not owned
	dueMS atomic.Int64  // no mailbox of it needs the sweeper before; the sweeper alone raises it

	mu        sync.Mutex
	mailboxes map[protocol.UserID]*mailbox // guarded by mu
}

func (s *shard) epochNow() protocol.Epoch { return protocol.Epoch(s.epoch.Load()) }

// sweepBy has the sweeper visit s by ms. What it is to see there is stored before the call.
func (s *shard) sweepBy(ms int64) {
	for {
		due := s.dueMS.Load()
		if due <= ms || s.dueMS.CompareAndSwap(due, ms) {
			return
		}
	}
}

// acquire finds the user's mailbox, loading it from the store where it is not in memory, and pins it.
func (g *Gateway) acquire(ctx context.Context, at link.Route, user protocol.UserID) (*mailbox, error) {
	return g.acquireIf(ctx, at, user, g.admitUser)
}

// acquireIf is acquire where admit says whether one that is not in memory may come in.
func (g *Gateway) acquireIf(ctx context.Context, at link.Route, user protocol.UserID, admit func() error) (*mailbox, error) {
	if int(at.Shard) >= len(g.shards) {
		return nil, link.ErrNotOwner
	}
	s := &g.shards[at.Shard]
	s.mu.Lock()
	if epoch := s.epochNow(); epoch == 0 || epoch != at.Epoch {
		s.mu.Unlock()
		return nil, link.ErrNotOwner
	}
	if b := s.mailboxes[user]; b != nil {
		b.pins++
		l := b.loading
		s.mu.Unlock()
		return g.await(ctx, b, l)
	}
	if err := admit(); err != nil {
		s.mu.Unlock()
		return nil, err
	}
	b := &mailbox{shard: s, user: user, epoch: at.Epoch, pins: 1, loading: &loading{done: make(chan struct{})}}
	if s.mailboxes == nil {
		s.mailboxes = make(map[protocol.UserID]*mailbox)
	}
	s.mailboxes[user] = b
	s.mu.Unlock()
	return b, g.load(b)
}

// await waits until somebody else's load of b is done.
func (g *Gateway) await(ctx context.Context, b *mailbox, l *loading) (*mailbox, error) {
	if l == nil {
		return b, nil
	}
	select {
	case <-l.done:
		if l.err != nil {
			return nil, l.err // b was never in memory: its pins do not matter
		}
		return b, nil
	case <-ctx.Done():
		g.release(b)
		return nil, ctx.Err()
	}
}

// load fills b from the store. Its own deadline holds, not the caller's: others wait for it too.
func (g *Gateway) load(b *mailbox) error {
	ctx, cancel := context.WithTimeout(context.Background(), g.cfg.LoadTimeout)
	defer cancel()
	err := g.loadFrom(ctx, b)
	s := b.shard
	s.mu.Lock()
	l := b.loading
	b.loading = nil
	if err != nil && s.mailboxes[b.user] == b {
		delete(s.mailboxes, b.user)
	}
	s.mu.Unlock()
	s.sweepBy(b.sweepAtMS.Load())
	l.err = err
	close(l.done)
	return err
}

// loadFrom reads b. Mailboxes on their way are in memory twice, and not counted yet: no more at once than there is room for.
func (g *Gateway) loadFrom(ctx context.Context, b *mailbox) error {
	select {
	case g.loads <- struct{}{}:
		defer func() { <-g.loads }()
	case <-ctx.Done():
		return protocol.Errorf(protocol.CodeUnavailable, "too many users are being read from the store; retry with backoff")
	}
	kept, err := g.store.Load(ctx, b.owner(), b.user)
	if err != nil {
		return g.storeError(b.owner(), "load", err)
	}
	return b.fill(kept)
}

// mostLoads bounds the loads at once where memory is plenty: as many as the embedded store reads at once.
const mostLoads = 64

// fill makes a mailbox of what the store has: what every device has acked, or time has ended, goes at once.
func (b *mailbox) fill(kept store.Mailbox) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.gone {
		return link.ErrNotOwner
	}
	b.loaded = true
	b.g.boxes.Add(1)
	b.g.memory.Add(b.bytesLocked())
	nowMS := b.g.nowMS()
	for i := range kept.Devices {
		r := &kept.Devices[i]
		d := &device{
			mb: b, id: r.ID, context: r.Context, acked: r.Acked,
			transport: r.Transport, sinceMS: r.LastSeenMS, expired: r.Expired, greeted: r.Greeted, doubtful: r.Live, durable: true,
		}
		d.flowLocked().pushed = r.Pushed
		d.restLocked()
		b.g.memory.Add(knownBytes(d.id, d.context))
		b.linkLocked(d)
	}
	b.g.devices.Add(int64(len(kept.Devices)))
	for _, id := range kept.Seen {
		if until := id.AcceptedMS + b.g.cfg.IDRetention.Milliseconds(); until > nowMS {
			b.rememberLocked(hashID(&b.g.identity.Key, id.ID), until)
		}
	}
	entries := b.dropReplacedLocked(kept.Entries)
	for i := range entries {
		b.restoreLocked(&entries[i])
	}
	b.sweepLocked(nowMS)
	b.forgetUnseenLocked()
	return nil
}

// restoreLocked puts an entry of the store's back into its lane.
func (b *mailbox) restoreLocked(k *store.Entry) {
	e := &entry{pos: k.Position, msg: k.Message, device: k.Device, where: k.Where, quota: int32(quotaBytes(k.Message, k.Where))}
	b.g.ledger.loaded.Add(1)
	b.enterLocked(e)
	b.rememberLocked(hashID(&b.g.identity.Key, e.msg.ID), max(e.msg.CreatedMS+b.g.cfg.IDRetention.Milliseconds(), e.msg.ExpiresMS))
	b.insertLocked(e)
	lane := e.msg.Priority.Lane()
	for d := b.devices; d != nil; d = d.next {
		if e.targets(d.id) && !d.acked.At[lane].Less(e.pos) {
			pending := e.pendingFor(d)
			d.tallyLocked().take(pending)
			b.settleLocked(e, pending) // acked before: only the store had not forgotten it yet
			if e.dead {
				return
			}
		}
	}
}

// pin keeps b in memory. The caller holds a pin already, or b.mu.
func (g *Gateway) pin(b *mailbox) {
	b.shard.mu.Lock()
	b.pins++
	b.shard.mu.Unlock()
}

// release gives a pin back.
func (g *Gateway) release(b *mailbox) {
	b.shard.mu.Lock()
	b.pins--
	if b.pins == 0 {
		b.touchedMS = g.nowMS()
		b.shard.sweepBy(b.touchedMS + g.cfg.MailboxIdle.Milliseconds())
	}
	b.shard.mu.Unlock()
}

// unloadLocked takes an unpinned mailbox out of memory, with s.mu held. What waits stays in the store.
func (s *shard) unloadLocked(b *mailbox) {
	delete(s.mailboxes, b.user)
	if len(s.mailboxes) == 0 {
		s.mailboxes = nil
	}
	b.unloaded() // without b.mu: nobody can hold what has no pin
}

// unloaded takes b out of the gauges and the ledger.
func (b *mailbox) unloaded() {
	g := b.g
	g.boxes.Add(-1)
	g.devices.Add(-int64(b.countDevices()))
	g.memory.Add(-b.bytesLocked())
	for i := range protocol.Lanes {
		l := b.laneLocked(i)
		n := int64(len(l.entries) - l.dead)
		g.ledger.unloaded.Add(uint64(n))
		g.ledger.waiting[i].Add(-n)
	}
}

// giveUp stops owning a shard: its mailboxes leave memory whoever holds them, and their streams are told to open at the
// new owner. What is to be saved lazily stays with the saver.
func (g *Gateway) giveUp(s *shard) { endBoxes(s.empty(false)) }

// giveUpFenced clears away a shard of which the store said that somebody else owns it, unless it was taken again.
func (g *Gateway) giveUpFenced(s *shard) { endBoxes(s.empty(true)) }

// empty disowns s and takes its mailboxes; with fenced nothing where it is owned.
func (s *shard) empty(fenced bool) map[protocol.UserID]*mailbox {
	s.mu.Lock()
	defer s.mu.Unlock()
	if fenced && s.epochNow() != 0 {
		return nil
	}
	s.epoch.Store(0)
	boxes := s.mailboxes
	s.mailboxes = nil
	return boxes
}

func endBoxes(boxes map[protocol.UserID]*mailbox) {
	for _, b := range boxes {
		for _, st := range b.disown() {
			st.deliver()
		}
	}
}

// disown ends b for whoever still holds it: from now on nothing changes in it, and no count. Its streams are lost.
func (b *mailbox) disown() (lost []*stream) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.gone = true
	for d := b.devices; d != nil; d = d.next {
		if s := d.stream; s != nil {
			s.loseLocked()
			lost = append(lost, s)
		}
	}
	b.sureLocked()
	if b.loaded {
		b.unloaded()
	}
	return lost
}
