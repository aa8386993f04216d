package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"
	"time"

	"ramen/link"
	"ramen/protocol"
	"ramen/store"
	"ramen/store/memory"
)

// member is a gateway of a cluster on one disk, and what was seen of it: from outside, what its shards may do at a time.
type member struct {
	c     *lifeCluster
	name  string
	store *memory.Store
	g     *Gateway

	mu     sync.Mutex
	tenure [testShards][]*tenure // the newest last
	leases map[leased]time.Time  // zero: none
}

type leased struct {
	shard protocol.ShardID
	epoch protocol.Epoch
}

// tenure is one ownership of a shard as the test sees it.
type tenure struct {
	epoch   protocol.Epoch
	state   State
	since   time.Time // of the state
	writing int       // calls of the store under way
}

// lifeCluster is what a schedule runs on.
type lifeCluster struct {
	t       *testing.T
	disk    *memory.Disk
	members []*member
	r       *rand.Rand

	mu       sync.Mutex
	epoch    protocol.Epoch
	owner    [testShards]int // the member that took it last
	owned    [testShards]protocol.Epoch
	accepted map[string]bool
	received map[string]bool
	streams  []*lifeStream
	counts   map[string]int
}

// lifeStream is a device's end of one stream.
type lifeStream struct {
	m      *member
	shard  protocol.ShardID
	epoch  protocol.Epoch
	mu     sync.Mutex
	s      link.Stream
	ended  bool
	closed bool
}

func lifeUser(shard protocol.ShardID) protocol.UserID { return protocol.UserID(fmt.Sprint("u", shard)) }

func (c *lifeCluster) count(what string) {
	c.mu.Lock()
	c.counts[what]++
	c.mu.Unlock()
}

func (c *lifeCluster) random(n int) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.r.IntN(n)
}

func newLifeCluster(t *testing.T, seed uint64) *lifeCluster {
	c := &lifeCluster{t: t, disk: memory.NewDisk(memory.Config{}), r: rand.New(rand.NewPCG(seed, 3)),
		accepted: make(map[string]bool), received: make(map[string]bool), counts: make(map[string]int)}
	for i := range 2 {
		c.members = append(c.members, c.join(fmt.Sprint("g", i)))
	}
	return c
}

func (c *lifeCluster) join(name string) *member {
	m := &member{c: c, name: name, store: c.disk.Open(), leases: make(map[leased]time.Time)}
	cfg := Default()
	cfg.ShardCount, cfg.OpensPerSecond, cfg.PublishesPerSecond = testShards, 0, 0
	cfg.SaveInterval = 200 * time.Millisecond
	g, err := New(cfg, Deps{Store: m.store, Owner: name, Log: slog.New(slog.NewTextHandler(io.Discard, nil)), OnShard: m.onShard})
	if err != nil {
		c.t.Fatal(err)
	}
	m.g = g
	m.store.Script(m.script)
	return m
}

// onShard checks that a life goes the way that is drawn.
func (m *member) onShard(e Event) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	list := m.tenure[e.Shard]
	if e.From == StateNone {
		if n := len(list); n > 0 && (list[n-1].state != StateNone || list[n-1].epoch >= e.Epoch) {
			m.c.t.Errorf("%s: shard %d begins a life at epoch %d within that at %d, %s", m.name, e.Shard, e.Epoch, list[n-1].epoch, list[n-1].state)
		}
		list = append(list, &tenure{epoch: e.Epoch})
		m.tenure[e.Shard] = list
	}
	o := list[len(list)-1]
	if o.epoch != e.Epoch || o.state != e.From || !follows[e.From][e.To] {
		m.c.t.Errorf("%s: shard %d: %s at %d to %s at %d; it was %s at %d", m.name, e.Shard, e.From, e.Epoch, e.To, e.Epoch, o.state, o.epoch)
	}
	if (e.To == StateReleasing || e.To == StateLost) && e.Loss.Below <= e.Epoch {
		m.c.t.Errorf("%s: shard %d at epoch %d is lost below %d", m.name, e.Shard, e.Epoch, e.Loss.Below)
	}
	if e.From == StateReleasing && e.To == StateNone && o.writing > 0 {
		m.c.t.Errorf("%s: shard %d at epoch %d is released with %d writes under way", m.name, e.Shard, e.Epoch, o.writing)
	}
	m.c.count("to " + e.To.String())
	o.state, o.since = e.To, now
}

// ofLocked is the tenure of a shard at an epoch. With m.mu held.
func (m *member) ofLocked(shard protocol.ShardID, epoch protocol.Epoch) *tenure {
	for _, o := range m.tenure[shard] {
		if o.epoch == epoch {
			return o
		}
	}
	return nil
}

// actLocked fails unless the owner may do what now. What began at the very moment at which a state ended is none the worse: nothing says
// which of the two was first.
func (m *member) actLocked(what string, shard protocol.ShardID, epoch protocol.Epoch, states ...State) {
	now := time.Now()
	o := m.ofLocked(shard, epoch)
	if o == nil {
		m.c.t.Errorf("%s: %s of shard %d at epoch %d, which it never owned", m.name, what, shard, epoch)
		return
	}
	if lease := m.leases[leased{shard, epoch}]; !lease.IsZero() && now.After(lease) {
		m.c.t.Errorf("%s: %s of shard %d at epoch %d, %v after the lease has ended", m.name, what, shard, epoch, now.Sub(lease))
	}
	for _, s := range states {
		if o.state == s {
			return
		}
	}
	if o.since.Before(now) {
		m.c.t.Errorf("%s: %s of shard %d at epoch %d, which is %s for %v", m.name, what, shard, epoch, o.state, now.Sub(o.since))
	}
}

// script watches what is written, and lets it take its time.
func (m *member) script(ctx context.Context, op memory.Op) memory.Fault {
	save := op.Kind == memory.OpSaveDevices || op.Kind == memory.OpForget
	if op.Kind == memory.OpLoad {
		m.mu.Lock()
		m.actLocked("load", op.Shard, op.Epoch, StateServing)
		m.mu.Unlock()
	}
	if save || op.Kind == memory.OpAppend {
		m.mu.Lock()
		m.actLocked(op.Kind.String(), op.Shard, op.Epoch, StateServing, StateReleasing)
		o := m.ofLocked(op.Shard, op.Epoch)
		o.writing++
		save = save && o.state != StateReleasing
		m.mu.Unlock()
		defer func() {
			m.mu.Lock()
			o.writing--
			m.mu.Unlock()
		}()
	}
	if save || op.Kind == memory.OpAdmit { // others wait for it with a mutex, which stops the time of a test; those of a release have nobody wait
		return memory.Fault{}
	}
	delay := time.Duration(m.c.random(60)) * time.Millisecond
	if m.c.random(12) == 0 {
		delay *= 10
	}
	select {
	case <-time.After(delay):
		return memory.Fault{}
	case <-ctx.Done():
		return memory.Fault{Err: fmt.Errorf("scripted: %w", store.ErrUnknown), Lost: m.c.random(2) == 0}
	}
}

func (s *lifeStream) Push(_ link.Generation, batch []protocol.Push, _ bool) {
	s.m.mu.Lock()
	s.m.actLocked("push", s.shard, s.epoch, StateServing)
	s.m.mu.Unlock()
	c := s.m.c
	c.mu.Lock()
	bytes, ack := 0, c.r.IntN(3) > 0
	for i := range batch {
		c.received[string(batch[i].Message.ID)] = true
		bytes += batch[i].Cost()
	}
	c.mu.Unlock()
	if ack {
		s.s.Ack(batch[len(batch)-1].Seq, "")
	}
	s.s.Credit(bytes)
}

func (s *lifeStream) Acked(link.Generation, protocol.Seq) {}

func (s *lifeStream) Closed(link.Generation, protocol.Reason, string) { s.end() }

func (s *lifeStream) Lost(_ link.Generation, l link.Loss) {
	if l.Below <= s.epoch {
		s.m.c.t.Errorf("%s: a stream of shard %d at epoch %d is lost below %d", s.m.name, s.shard, s.epoch, l.Below)
	}
	s.m.c.count("lost")
	s.end()
}

func (s *lifeStream) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		s.m.c.t.Errorf("%s: a stream ends twice", s.m.name)
	}
	s.ended = true
}

// route is where a caller believes shard to be: mostly the latest owner.
func (c *lifeCluster) route(shard protocol.ShardID) (*member, link.Route) {
	c.mu.Lock()
	defer c.mu.Unlock()
	m, epoch := c.members[c.owner[shard]], c.owned[shard]
	if c.r.IntN(10) == 0 {
		m = c.members[c.r.IntN(len(c.members))]
	}
	return m, link.Route{Shard: shard, Epoch: epoch}
}

func (c *lifeCluster) publish(id string, shard protocol.ShardID) {
	m, at := c.route(shard)
	r := m.g.Publish(context.Background(), []link.Publish{{Route: at, User: lifeUser(shard), TTLMS: 3_600_000,
		Message: &protocol.Message{ID: protocol.MessageID(id), Priority: medium, Payload: []byte(`1`), ContentType: protocol.ContentTypeJSON}}})[0]
	if r.Status == link.StatusAccepted {
		m.mu.Lock()
		m.actLocked("accepted", at.Shard, at.Epoch, StateServing, StateReleasing)
		m.mu.Unlock()
		c.mu.Lock()
		c.accepted[id] = true
		c.counts["accepted"]++
		c.mu.Unlock()
		return
	}
	if r.Status != link.StatusRejected || r.Err == nil {
		c.t.Errorf("publish: %+v", r)
	}
	if errors.Is(r.Err, link.ErrNotOwner) {
		c.count("not owner")
	}
}

func (c *lifeCluster) open(shard protocol.ShardID) {
	m, at := c.route(shard)
	s := &lifeStream{m: m, shard: shard, epoch: at.Epoch}
	stream, _, err := m.g.Open(context.Background(), link.Open{Route: at, User: lifeUser(shard), Device: "d", Transport: protocol.TransportWS}, s)
	if err != nil {
		return
	}
	s.s = stream // before any credit: no push comes earlier
	c.mu.Lock()
	c.streams = append(c.streams, s)
	c.counts["open"]++
	c.mu.Unlock()
	stream.Credit(64 << 10)
}

// take has a member take a shard, from whoever has it.
func (c *lifeCluster) take(shard protocol.ShardID) {
	c.mu.Lock()
	c.epoch++
	i, epoch := c.r.IntN(len(c.members)), c.epoch
	var lease time.Time
	if c.r.IntN(3) > 0 {
		lease = time.Now().Add(time.Duration(300+c.r.IntN(1500)) * time.Millisecond)
	}
	c.mu.Unlock()
	m := c.members[i]
	m.mu.Lock()
	m.leases[leased{shard, epoch}] = lease
	m.mu.Unlock()
	if err := m.g.Take(context.Background(), []protocol.ShardID{shard}, epoch, lease); err != nil {
		c.count("not taken")
		return
	}
	m.mu.Lock()
	if lease = m.leases[leased{shard, epoch}]; !lease.IsZero() && time.Now().After(lease) {
		c.t.Errorf("%s: shard %d at epoch %d is taken %v after its lease has ended", m.name, shard, epoch, time.Since(lease))
	}
	m.mu.Unlock()
	c.mu.Lock()
	if epoch > c.owned[shard] {
		c.owner[shard], c.owned[shard] = i, epoch
	}
	c.mu.Unlock()
}

// renew renews the leases of a member that have not ended.
func (c *lifeCluster) renew() {
	m, now := c.members[c.random(len(c.members))], time.Now()
	until := now.Add(time.Duration(300+c.random(1000)) * time.Millisecond)
	m.mu.Lock()
	for k, end := range m.leases {
		if !end.IsZero() && now.Before(end) && end.Before(until) {
			m.leases[k] = until
		}
	}
	m.mu.Unlock()
	m.g.Renew(until)
}

// endLeaseUnseen has a lease end now, while nothing wakes the sweeper for it: as where the process was stopped meanwhile.
func (c *lifeCluster) endLeaseUnseen(shard protocol.ShardID) {
	m, _ := c.route(shard)
	own := m.g.shards[shard].own.Load()
	if own == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if k := (leased{shard, own.Owner.Epoch}); !m.leases[k].IsZero() && time.Now().Before(m.leases[k]) {
		m.leases[k] = time.Now()
		own.lease.Store(m.g.sinceStart())
	}
}

func (c *lifeCluster) release(shard protocol.ShardID) {
	m, _ := c.route(shard)
	if err := m.g.Release(context.Background(), []protocol.ShardID{shard}); err != nil {
		c.count("release failed")
	}
}

// step does one thing more, beside all that is under way.
func (c *lifeCluster) step(n int, calls *sync.WaitGroup) {
	shard := protocol.ShardID(c.random(testShards))
	switch c.random(20) {
	case 0, 1, 2, 3, 4, 5, 6:
		calls.Go(func() { c.publish("m"+strconv.Itoa(n), shard) })
	case 7, 8, 9:
		calls.Go(func() { c.open(shard) })
	case 10, 11:
		calls.Go(func() { c.take(shard) })
	case 12, 13:
		calls.Go(func() { c.release(shard) })
	case 14:
		m, _ := c.route(shard)
		m.g.Lose(shard, 0)
	case 15:
		c.renew()
	case 16:
		c.endLeaseUnseen(shard)
	case 17:
		c.mu.Lock()
		var s *lifeStream
		if len(c.streams) > 0 {
			s = c.streams[c.r.IntN(len(c.streams))]
		}
		c.mu.Unlock()
		if s != nil {
			s.mu.Lock()
			s.closed = true
			s.mu.Unlock()
			s.s.Close(protocol.ReasonGone)
		}
	default:
		time.Sleep(time.Duration(c.random(120)) * time.Millisecond)
	}
}

// end ends all, and looks for what was accepted.
func (c *lifeCluster) end() {
	for _, m := range c.members {
		m.store.Script(nil)
		if err := m.g.Check(); err != nil {
			c.t.Errorf("%s: %v", m.name, err)
		}
		if err := m.g.Close(context.Background()); err != nil {
			c.t.Errorf("%s: close: %v", m.name, err)
		}
		if list := m.g.Shards(); len(list) > 0 {
			for _, s := range list {
				if s.State != StateNone || s.Mailboxes > 0 || s.Writes > 0 {
					c.t.Errorf("%s: after the end %+v", m.name, s)
				}
			}
		}
		m.store.Close()
	}
	for _, s := range c.streams {
		s.mu.Lock()
		if !s.ended && !s.closed {
			c.t.Errorf("%s: a stream of shard %d at epoch %d was never told that it is lost", s.m.name, s.shard, s.epoch)
		}
		s.mu.Unlock()
	}
	m := c.join("last")
	m.store.Script(nil)
	c.epoch++
	all := []protocol.ShardID{0, 1, 2, 3}
	if err := m.g.Take(context.Background(), all, c.epoch, time.Time{}); err != nil {
		c.t.Fatal(err)
	}
	for _, shard := range all {
		page, err := m.g.Messages(context.Background(), link.Route{Shard: shard, Epoch: c.epoch}, lifeUser(shard), link.Page{Limit: 100_000})
		if err != nil {
			c.t.Fatal(err)
		}
		for _, x := range page.Messages {
			c.received[string(x.ID)] = true
		}
	}
	for id := range c.accepted {
		if !c.received[id] {
			c.t.Errorf("%s was accepted, and is neither received nor waiting", id)
		}
	}
	if err := m.g.Close(context.Background()); err != nil {
		c.t.Error(err)
	}
}
