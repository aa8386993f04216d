package member

import (
	"context"
	"time"

	"ramen/protocol"
	"ramen/topology"
	"ramen/topology/registry"
)

// The times of a member whose store takes no claims.
const (
	failingFor = 5 * time.Second  // until its shards go to others
	asideFor   = 10 * time.Second // at least, until it is given shards again
	askEvery   = time.Second
)

// noteTake notes whether any of the shards that were to be taken is served, and has others be given them where none has been for a while: the
// store may answer those. Where no other takes shards the view stays as it is, and taking goes on.
func (m *Member) noteTake(ctx context.Context, shards []protocol.ShardID, epoch protocol.Epoch, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, id := range shards {
		if h := m.held[id]; err == nil || h.Epoch >= epoch && (h.State == registry.Serving || h.State == registry.Lost) { // the store has answered
			m.failing = time.Time{}
			return
		}
	}
	switch now := time.Now(); {
	case m.failing.IsZero():
		m.failing = now
	case now.Sub(m.failing) > failingFor && m.state == topology.MemberServing:
		m.state = topology.MemberJoining
		m.cfg.Log.Warn("the store has taken no claim for a while: others are to have the shards", "member", m.cfg.Self.ID, "error", err)
		m.session.Update()
		m.work.Go(func() { m.standAside(ctx) })
	}
}

// standAside waits until the store answers again, and has the gateway be given shards from then on.
func (m *Member) standAside(ctx context.Context) {
	pause(ctx, asideFor)
	for ctx.Err() == nil {
		ask, cancel := context.WithTimeout(ctx, takeTimeout)
		_, err := m.cfg.LastEpoch(ask)
		cancel()
		if err == nil {
			break
		}
		pause(ctx, askEvery)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.failing = time.Time{}
	if m.state == topology.MemberJoining && ctx.Err() == nil {
		m.state = topology.MemberServing
		m.cfg.Log.Info("the store answers again: the gateway takes shards", "member", m.cfg.Self.ID)
		m.session.Update()
	}
}
