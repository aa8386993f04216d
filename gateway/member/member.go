package member

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"ramen/gateway"
	"ramen/protocol"
	"ramen/topology"
	"ramen/topology/registry"
)

// The times of a member.
const (
	takeTimeout    = 2 * time.Second        // of one attempt: what is claimed by then is served, the rest is tried again
	releaseTimeout = 10 * time.Second       // for what is being written
	retryPause     = 200 * time.Millisecond // behind an attempt that failed
	putTimeout     = 750 * time.Millisecond
)

// Config is what a member is of.
type Config struct {
	Self      topology.Member      // as it registers
	Addresses map[string]string    // of its ports, by name
	Load      func() registry.Load // as it is told; nil: none is
	Backend   registry.Backend
	Views     *registry.Views
	// LastEpoch is the highest epoch that the store knows.
	LastEpoch func(context.Context) (protocol.Epoch, error)
	Log       *slog.Logger
}

// Gateway is what a member does with its gateway.
type Gateway interface {
	Take(ctx context.Context, shards []protocol.ShardID, epoch protocol.Epoch, lease time.Time) error
	Release(ctx context.Context, shards []protocol.ShardID) error
	Lose(id protocol.ShardID, below protocol.Epoch)
	Renew(until time.Time)
}

// Member is one gateway of a cluster.
type Member struct {
	cfg     Config
	g       Gateway
	session *registry.Session
	started time.Time
	stop    context.CancelFunc
	work    sync.WaitGroup
	again   chan struct{} // of capacity 1: look at the view again

	mu      sync.Mutex
	state   topology.MemberState                // guarded by mu
	failing time.Time                           // guarded by mu: since when the store has taken no claim; zero: it does
	epoch   protocol.Epoch                      // that the store knew at the start
	held    registry.Holdings                   // guarded by mu
	busy    map[protocol.ShardID]protocol.Epoch // guarded by mu: being taken or released at an epoch
	view    uint64                              // guarded by mu: the version that was acted upon
	told    chan struct{}                       // guarded by mu: closed when held or view changes
	term    int                                 // guarded by mu: how often the registration has ended
}

// New is a member that does nothing before Start. Its OnShard is for the gateway.
func New(cfg Config) *Member {
	return &Member{cfg: cfg, again: make(chan struct{}, 1), state: cfg.Self.State,
		held: make(registry.Holdings), busy: make(map[protocol.ShardID]protocol.Epoch), told: make(chan struct{})}
}

// Start registers the gateway and follows views, until Close. It returns once the highest epoch of the store is known.
func (m *Member) Start(ctx context.Context, g Gateway) error {
	last, err := m.cfg.LastEpoch(ctx)
	if err != nil {
		return fmt.Errorf("member: read the highest epoch of the store: %w", err)
	}
	m.g, m.epoch, m.started = g, last, time.Now()
	run, stop := context.WithCancel(context.Background())
	m.stop = stop
	m.session = registry.NewSession(registry.SessionConfig{
		Backend: m.cfg.Backend, Key: registry.GatewaysKey + string(m.cfg.Self.ID), Value: m.registration, Log: m.cfg.Log,
		Renewed: func(sent time.Time) { g.Renew(sent.Add(registry.ActFor)) }, Ended: m.ended,
	})
	m.work.Go(func() { m.follow(run) })
	m.work.Go(func() { m.tell(run) })
	return nil
}

// Close ends the registration. The gateway is closed before, so that nothing is served any more.
func (m *Member) Close(ctx context.Context) error {
	if m.stop == nil {
		return nil
	}
	m.stop()
	m.work.Wait()
	return m.session.Close(ctx)
}

// registration is the gateway as it is now.
func (m *Member) registration() []byte {
	var load registry.Load
	if m.cfg.Load != nil {
		load = m.cfg.Load()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	r := registry.Gateway{Member: m.cfg.Self, Epoch: m.epoch, Past: m.cfg.Views.Past(), StartedMS: m.started.UnixMilli(), Addresses: m.cfg.Addresses, Load: load}
	r.State = m.state
	return r.Encode()
}

// ErrNoRegistration is why a member of a cluster serves nobody: it is not registered.
var ErrNoRegistration = errors.New("member: the gateway is not registered with the cluster: no controller answers")

// Ready answers nil while the gateway takes part.
func (m *Member) Ready() error {
	if l, _ := m.session.Lease(); l == registry.NoLease || time.Since(m.session.Sent()) > registry.ActFor {
		return ErrNoRegistration
	}
	return nil
}

// ErrNobodyElse is why a Drain has ended early: no other gateway takes shards.
var ErrNobodyElse = errors.New("member: no other gateway takes shards")

// aloneFor is for how long another gateway is waited for that takes shards: one that is started again meanwhile.
const aloneFor = registry.LeaseLength

// Drain has all shards move to others, and waits until nothing is held, ctx ends, or no other gateway has been there for a while.
func (m *Member) Drain(ctx context.Context) error {
	m.mu.Lock()
	m.state = topology.MemberDraining
	m.mu.Unlock()
	m.session.Update()
	accompanied := time.Now() // when another gateway was seen last
	for {
		m.mu.Lock()
		left, changed := m.leftLocked(), m.told
		m.mu.Unlock()
		if left == 0 {
			return nil
		}
		if m.hasSuccessor() {
			accompanied = time.Now()
		} else if time.Since(accompanied) > aloneFor {
			return fmt.Errorf("member: %d shards have not moved: %w", left, ErrNobodyElse)
		}
		select {
		case <-changed:
		case <-time.After(registry.RenewEvery): // the registration may have ended
		case <-ctx.Done():
			return fmt.Errorf("member: %d shards have not moved: %w", left, context.Cause(ctx))
		}
	}
}

// hasSuccessor reports whether the view has another gateway that takes shards.
func (m *Member) hasSuccessor() bool {
	for id, other := range m.cfg.Views.View().Members {
		if id != m.cfg.Self.ID && other.State == topology.MemberServing && other.Weight > 0 {
			return true
		}
	}
	return false
}

// leftLocked is how many shards are served, or are the gateway's by the view while that counts: the registration stands. With mu held.
func (m *Member) leftLocked() int {
	n, registered := 0, m.Ready() == nil
	for i, s := range m.cfg.Views.View().Shards {
		if h := m.held[protocol.ShardID(i)]; registered && (h.State == registry.Serving || s.Member == m.cfg.Self.ID) {
			n++
		}
	}
	return n
}

// ended says that the registration has ended: whatever is served may be another's, and is lost before it is registered anew.
func (m *Member) ended() {
	m.mu.Lock()
	m.term++
	var lose []protocol.ShardID
	for id, h := range m.held {
		if h.State == registry.Serving {
			lose = append(lose, id)
		}
	}
	for id := range m.busy {
		lose = append(lose, id)
	}
	m.mu.Unlock()
	for _, id := range lose {
		m.g.Lose(id, 0) // nobody is known to have it yet
	}
	m.look()
}

// look has the view looked at again.
func (m *Member) look() {
	select {
	case m.again <- struct{}{}:
	default:
	}
}

// changedLocked has tell write what is held. With mu held.
func (m *Member) changedLocked() {
	close(m.told)
	m.told = make(chan struct{})
}

// OnShard is for gateway.Deps: what is told of shards follows from it.
func (m *Member) OnShard(e gateway.Event) {
	m.mu.Lock()
	defer m.mu.Unlock()
	h := registry.Holding{Epoch: e.Epoch}
	switch {
	case e.To == gateway.StateServing:
		h.State = registry.Serving
	case e.To == gateway.StateLost:
		h.State, h.Below = registry.Lost, e.Loss.Below
	case e.To == gateway.StateNone && e.From == gateway.StateReleasing:
		h.State, h.Below = registry.Released, e.Epoch+1
	default:
		return // on the way, or an attempt that is made again
	}
	m.noteLocked(e.Shard, h)
}

// noteLocked notes what is held of a shard. With mu held.
func (m *Member) noteLocked(id protocol.ShardID, h registry.Holding) {
	if old := m.held[id]; h.Epoch < old.Epoch || h == old {
		return
	}
	m.held[id] = h
	m.changedLocked()
}

// tell writes what is held, each time that it has changed, or that the registration was made anew.
func (m *Member) tell(ctx context.Context) {
	for {
		m.mu.Lock()
		value, changed := m.held.Encode(m.view), m.told
		m.mu.Unlock()
		lease, renewed := m.session.Lease()
		var again <-chan time.Time
		if lease != registry.NoLease {
			put, cancel := context.WithTimeout(ctx, putTimeout)
			err := m.session.Put(put, registry.HoldingsKey+string(m.cfg.Self.ID), value)
			cancel()
			if err != nil {
				again = time.After(retryPause)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
		case <-renewed:
		case <-again:
		}
	}
}
