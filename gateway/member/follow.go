package member

import (
	"context"
	"time"

	"ramen/protocol"
	"ramen/topology"
	"ramen/topology/registry"
)

// follow acts upon views.
func (m *Member) follow(ctx context.Context) {
	for {
		v := m.cfg.Views.View()
		m.act(ctx, v)
		select {
		case <-ctx.Done():
			return
		case <-m.cfg.Views.Changed(v):
		case <-m.again:
		}
	}
}

// orders is what a view asks for.
type orders struct {
	take    map[protocol.Epoch][]protocol.ShardID
	release []protocol.ShardID
	lose    map[protocol.ShardID]protocol.Epoch // to the epoch below which nobody serves it
	term    int                                 // in which it asks for that
	wait    bool                                // something is under way that it asks to end
}

// act begins what v asks for and is not under way.
func (m *Member) act(ctx context.Context, v *topology.View) {
	o := m.orders(v)
	for id, below := range o.lose {
		m.g.Lose(id, below)
	}
	if !o.wait {
		m.actedUpon(v.Version)
	}
	for epoch, shards := range o.take {
		m.work.Go(func() { m.take(ctx, shards, epoch, o.term) })
	}
	if len(o.release) > 0 {
		m.work.Go(func() { m.release(ctx, o.release) })
	}
}

// orders compares v with what is held, and marks as busy what is to be taken and released.
func (m *Member) orders(v *topology.View) (o orders) {
	o.take, o.lose = make(map[protocol.Epoch][]protocol.ShardID), make(map[protocol.ShardID]protocol.Epoch)
	m.mu.Lock()
	defer m.mu.Unlock()
	o.term = m.term
	for i, s := range v.Shards {
		id := protocol.ShardID(i)
		h := m.held[id]
		at, busy := m.busy[id]
		mine := s.Member == m.cfg.Self.ID
		below := s.Epoch
		if s.Member == "" { // nobody serves it
			below++
		}
		switch {
		case h.State == registry.Serving && below > h.Epoch && !mine: // it was taken for gone
			o.lose[id] = below
		case busy:
			o.wait = o.wait || !mine && below > at
		case !mine:
			if h.State != 0 && h.State != registry.Serving { // somebody else's: nothing is to be told any more
				delete(m.held, id)
			}
		case s.State == topology.ShardReleasing && h.Epoch < s.Epoch: // it was never taken
			m.noteLocked(id, registry.Holding{Epoch: s.Epoch, State: registry.Released, Below: s.Epoch + 1})
		case s.State == topology.ShardReleasing && h.State == registry.Serving:
			m.busy[id] = s.Epoch
			o.release = append(o.release, id)
		case (s.State == topology.ShardTaking || s.State == topology.ShardServing) && h.Epoch < s.Epoch:
			m.busy[id] = s.Epoch
			o.take[s.Epoch] = append(o.take[s.Epoch], id)
		}
	}
	return o
}

// actedUpon has tell say that what a view has others have is not served here any more.
func (m *Member) actedUpon(version uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.view != version {
		m.view = version
		m.changedLocked()
	}
}

// take takes shards at an epoch, where the registration still stands under which that was asked for. Those that could not be taken are taken
// again a little later, where the view still says so.
func (m *Member) take(ctx context.Context, shards []protocol.ShardID, epoch protocol.Epoch, term int) {
	lease := m.session.Sent().Add(registry.ActFor) // before it is asked whether the term is the same: of no later registration
	if m.termNow() != term {
		m.free(shards)
		return
	}
	call, cancel := context.WithTimeout(ctx, takeTimeout)
	err := m.g.Take(call, shards, epoch, lease)
	cancel()
	if m.termNow() != term { // it was taken under a registration that has ended meanwhile
		for _, id := range shards {
			m.g.Lose(id, 0)
		}
	}
	m.noteTake(ctx, shards, epoch, err)
	if err != nil {
		m.cfg.Log.Warn("shards could not be taken", "epoch", epoch, "member", m.cfg.Self.ID, "first", shards[0], "shards", len(shards), "error", err)
		pause(ctx, retryPause)
	}
	m.free(shards)
}

func (m *Member) termNow() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.term
}

func (m *Member) release(ctx context.Context, shards []protocol.ShardID) {
	call, cancel := context.WithTimeout(ctx, releaseTimeout)
	err := m.g.Release(call, shards)
	cancel()
	if err != nil {
		m.cfg.Log.Warn("shards were not released in order", "member", m.cfg.Self.ID, "first", shards[0], "shards", len(shards), "error", err)
		pause(ctx, retryPause)
	}
	m.free(shards)
}

// free says that nothing is under way for shards any more.
func (m *Member) free(shards []protocol.ShardID) {
	m.mu.Lock()
	for _, id := range shards {
		delete(m.busy, id)
	}
	m.mu.Unlock()
	m.look()
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
