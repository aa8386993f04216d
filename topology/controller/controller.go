package controller

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"ramen/protocol"
	"ramen/topology"
	"ramen/topology/registry"
)

// The times of a controller.
const (
	lookEvery     = 250 * time.Millisecond // where nothing changes
	commitTimeout = 750 * time.Millisecond // of one write
	firstView     = registry.LeaseLength   // a registry that was lost before has no owners left behind it
	mirrorLag     = time.Second            // for how long the mirror is waited for; a registry that was made anew does not come so far
)

// Config is what a controller is of.
type Config struct {
	Self       registry.Gateway // what is said of this controller; its ID is its own
	Shards     int              // of a cluster that is to be made
	Moves      int              // the most planned moves at once
	Backend    registry.Backend
	Mirror     *registry.Mirror // of Backend; its maker closes it, after the controller
	Probe      bool             // find out by gateways' ports that their processes have gone
	Log        *slog.Logger
	Registerer prometheus.Registerer // nil: no metrics
}

// Controller writes views while it is elected.
type Controller struct {
	cfg     Config
	session *registry.Session
	metrics metrics
	stop    context.CancelFunc
	done    chan struct{}

	// owned by the loop
	watchman *watchman         // nil: not elected, or without Probe
	made     string            // the registry that was seen last
	since    time.Time         // when it was seen first
	past     registry.Past     // what members have seen of a registry that was lost
	pastAt   time.Time         // when that came
	after    registry.Revision // of the last write here
	wrote    time.Time         // when that was
	unread   string            // the last error in what members have written
	leads    bool              // it is elected
}

// Start has a controller take part until Close.
func Start(cfg Config) *Controller {
	ctx, stop := context.WithCancel(context.Background())
	c := &Controller{cfg: cfg, stop: stop, done: make(chan struct{})}
	c.metrics.init(cfg.Registerer)
	c.session = registry.NewSession(registry.SessionConfig{
		Backend: cfg.Backend, Key: registry.ControllersKey + string(cfg.Self.ID), Value: cfg.Self.Encode, Log: cfg.Log,
	})
	go c.run(ctx)
	return c
}

// Close ends it. Another is elected at once.
func (c *Controller) Close(ctx context.Context) error {
	c.stop()
	<-c.done
	return c.session.Close(ctx)
}

func (c *Controller) setLeader(leads bool) {
	was := c.leads
	c.leads = leads
	switch {
	case leads && !was:
		c.cfg.Log.Info("this controller is elected", "controller", c.cfg.Self.ID)
		c.metrics.leads.Set(1)
	case !leads && was:
		c.cfg.Log.Info("this controller is no longer elected", "controller", c.cfg.Self.ID)
		c.metrics.leads.Set(0)
	}
}

func (c *Controller) run(ctx context.Context) {
	defer close(c.done)
	defer c.unwatch()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		s, changed := c.cfg.Mirror.Snapshot()
		if s.Entries != nil && (s.At >= c.after || time.Since(c.wrote) > mirrorLag) {
			if err := c.round(ctx, s); err != nil && ctx.Err() == nil {
				c.cfg.Log.Debug("controller could not write", "error", err)
				changed = nil // not at once again
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
		case <-tick.C:
		}
	}
}

// round does what s asks for: at most one write.
func (c *Controller) round(ctx context.Context, s registry.Snapshot) error {
	lease, _ := c.session.Lease()
	if lease == registry.NoLease {
		c.setLeader(false)
		return nil
	}
	if s.ID() != c.made {
		c.made, c.since, c.past = s.ID(), time.Now(), registry.Past{}
	}
	leader, elected := s.Entries[registry.LeaderKey]
	leads := elected && string(leader.Value) == string(c.cfg.Self.ID)
	c.setLeader(leads)
	if !leads {
		c.unwatch()
	}
	switch {
	case !elected:
		return c.commit(ctx, []registry.Condition{{Key: registry.LeaderKey}}, registry.Put{Key: registry.LeaderKey, Value: []byte(c.cfg.Self.ID), Lease: lease})
	case !leads:
		return nil
	case c.made == "":
		id := rand.Text()
		c.cfg.Log.Info("a cluster is made", "shards", c.cfg.Shards, "id", id)
		return c.commit(ctx, []registry.Condition{{Key: registry.LeaderKey, Created: leader.Created}, {Key: registry.ShardsKey}},
			registry.Put{Key: registry.ShardsKey, Value: registry.EncodeShards(c.cfg.Shards, id)})
	}
	return c.lead(ctx, s, leader)
}

// lead writes the view that follows from s, where it is another.
func (c *Controller) lead(ctx context.Context, s registry.Snapshot, leader registry.Entry) error {
	shards, _, err := registry.DecodeShards(s.Entries[registry.ShardsKey].Value)
	if err != nil {
		return err
	}
	if shards != c.cfg.Shards {
		c.cfg.Log.Debug("the cluster was made with another number of shards than is configured here; its own counts", "shards", shards, "configured", c.cfg.Shards)
	}
	old, err := s.View()
	if err != nil {
		return err
	}
	if old == nil {
		if wait := firstView - time.Since(c.since); wait > 0 {
			return nil
		}
		old = &topology.View{Version: 1, Shards: make([]topology.Shard, shards)}
	}
	in := c.inputs(s)
	in.First = s.Entries[registry.ViewKey].Modified == 0
	if in.Past != c.past {
		c.past, c.pastAt = in.Past, time.Now()
	}
	in.Stopped = time.Since(c.pastAt) >= registry.LeaseLength
	c.watch(ctx, in.Gateways)
	next := Step(old, in)
	c.metrics.describe(next)
	if next == old {
		return nil
	}
	if err := next.CheckAfter(old); err != nil {
		return fmt.Errorf("controller: %w", err)
	}
	at := s.Entries[registry.ViewKey].Modified
	err = c.commit(ctx, []registry.Condition{{Key: registry.LeaderKey, Created: leader.Created}, {Key: registry.ViewKey, Modified: at}},
		registry.Put{Key: registry.ViewKey, Value: registry.EncodeView(next)})
	if err == nil {
		c.tell(old, next)
	}
	return err
}

// watch has the ports of gateways be watched.
func (c *Controller) watch(ctx context.Context, gateways map[topology.MemberID]registry.Gateway) {
	if !c.cfg.Probe {
		return
	}
	if c.watchman == nil {
		c.watchman = newWatchman(ctx, func(g registry.Gateway) { c.end(ctx, g) })
	}
	c.watchman.watch(gateways)
}

func (c *Controller) unwatch() {
	if c.watchman != nil {
		c.watchman.close()
		c.watchman = nil
	}
}

// end ends the registration of a gateway whose process has gone.
func (c *Controller) end(ctx context.Context, g registry.Gateway) {
	s, _ := c.cfg.Mirror.Snapshot()
	e, is := s.Entries[registry.GatewaysKey+string(g.ID)]
	if !is || e.Lease == registry.NoLease {
		return
	}
	c.cfg.Log.Warn("nobody listens at a gateway's address: its process has gone, and its registration is ended", "member", g.ID, "address", g.Address)
	c.metrics.ended.Inc()
	ctx, cancel := context.WithTimeout(ctx, commitTimeout)
	defer cancel()
	if err := c.cfg.Backend.Revoke(ctx, e.Lease); err != nil {
		c.cfg.Log.Debug("registration was not ended; it ends by its time", "member", g.ID, "error", err)
	}
}

// inputs reads what s says. What cannot be read is told, and left out.
func (c *Controller) inputs(s registry.Snapshot) Inputs {
	in := Inputs{Draining: s.Draining(), Pins: s.Pins(), Moves: c.cfg.Moves, Holdings: make(map[topology.MemberID]registry.Holdings), Views: make(map[topology.MemberID]uint64)}
	var unread string
	for _, prefix := range []string{registry.GatewaysKey, registry.FrontendsKey} {
		members, err := s.Members(prefix)
		if err != nil {
			unread = err.Error()
		}
		for _, m := range members {
			in.Epoch = max(in.Epoch, m.Epoch)
			in.Past = registry.Past{Epoch: max(in.Past.Epoch, m.Past.Epoch), Version: max(in.Past.Version, m.Past.Version)}
		}
		if prefix == registry.GatewaysKey {
			in.Gateways = members
		}
	}
	for id := range in.Gateways {
		if e, is := s.Entries[registry.HoldingsKey+string(id)]; is {
			h, view, err := registry.DecodeHoldings(e.Value)
			if err != nil {
				unread = err.Error()
				continue
			}
			in.Holdings[id], in.Views[id] = h, view
		}
	}
	if unread != c.unread {
		if c.unread = unread; unread != "" {
			c.cfg.Log.Error("what a member has written cannot be read; it is left out", "error", unread)
		}
	}
	return in
}

func (c *Controller) commit(ctx context.Context, conditions []registry.Condition, puts ...registry.Put) error {
	ctx, cancel := context.WithTimeout(ctx, commitTimeout)
	defer cancel()
	_, at, err := c.cfg.Backend.Commit(ctx, conditions, puts)
	if err == nil {
		c.after, c.wrote = at, time.Now() // done or not: what it rests on was not the last
	}
	return err
}

// tell has the log know of what a view changes.
func (c *Controller) tell(old, next *topology.View) {
	c.metrics.views.Inc()
	for id, m := range next.Members {
		if was := old.Members[id]; was == nil || was.State != m.State {
			c.cfg.Log.Info("member changed its state", "member", id, "state", m.State.String(), "view", next.Version)
		}
	}
	for id := range old.Members {
		if next.Members[id] == nil {
			c.cfg.Log.Info("member owns nothing any more, and is forgotten", "member", id, "view", next.Version)
		}
	}
	for i, s := range next.Shards {
		if was := old.Shards[i]; was != s {
			c.tellShard(i, was, s, next.Version)
		}
	}
}

// tellShard tells of one shard. Another owner than before is told at info, and a first one, of which there are all at once, at debug.
func (c *Controller) tellShard(i int, was, s topology.Shard, view uint64) {
	level, reason := slog.LevelDebug, ""
	if s.State == topology.ShardTaking && s.Epoch != was.Epoch {
		switch {
		case was.State == topology.ShardReleasing:
			reason = givenMoved
		case was.Member != "":
			reason = givenLost
		default:
			reason = givenFree
		}
		c.metrics.given.WithLabelValues(reason).Inc()
		if was.Epoch > 0 {
			level = slog.LevelInfo
		}
	}
	c.cfg.Log.Log(context.Background(), level, "shard in the view", "shard", protocol.ShardID(i), "epoch", s.Epoch, "member", s.Member,
		"state", s.State.String(), "was", was.Member, "given", reason, "view", view)
}
