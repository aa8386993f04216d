package stream

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"ramen/protocol"
	"ramen/topology"
)

// shards is the streams of a set by the shard of their user, so that a newer view detaches those of a shard that has moved, or
// whose owner is gone, without their gateway's word; and so that detached ones wait for an owner without asking.
//
//	attach ──▶ live ──view, Lost──▶ waiting ──view with an owner──▶ the re-opener's queue
//	             ▲                     ▲  └── there is one already ──▶     │
//	             └──── reattach ───────┴────────────── failed ─────────────┘
//
// A shard of one frontend has few streams: a stream is found in it by looking through them, and has no room for where it is.
type shards struct {
	topology topology.Topology
	reopener *reopener
	of       []shard
}

// shard is the streams of one. mu is a leaf.
type shard struct {
	mu sync.Mutex
	// guarded by mu
	epoch     protocol.Epoch // of the view that was followed last
	reachable bool           // that view has somebody to ask
	below     protocol.Epoch // gateways have said that nobody serves the shard below
	live      []group        // one, but while the owner changes
	waiting   []*Stream      // detached, while there is nobody to ask
}

// group is the live streams of a shard at one epoch.
type group struct {
	epoch   protocol.Epoch
	streams []*Stream
}

func newShards(t topology.Topology, r *reopener) *shards {
	x := &shards{topology: t, reopener: r, of: make([]shard, len(t.View().Shards))}
	x.apply(t.View())
	return x
}

// run follows the topology until ctx is over, or for good where that never changes.
func (x *shards) run(ctx context.Context) {
	for {
		view := x.topology.View()
		x.apply(view)
		changed := x.topology.Changed(view)
		if changed == nil {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

// apply takes in a newer view.
func (x *shards) apply(v *topology.View) {
	for i := range x.of {
		id := protocol.ShardID(i)
		stale, ready := x.of[i].follow(v.Shards[i].Epoch, v.Reachable(id) != nil)
		for _, s := range slices.Backward(stale) { // the last is found first
			s.detachStale(&x.of[i])
		}
		for _, s := range ready {
			x.reopener.add(s)
		}
	}
}

// follow takes in what a newer view says, and answers the live streams that may be stale, and those that need wait no longer.
func (h *shard) follow(epoch protocol.Epoch, reachable bool) (stale, ready []*Stream) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.epoch == epoch && h.reachable == reachable {
		return nil, nil
	}
	h.epoch, h.reachable = epoch, reachable
	for _, g := range h.live {
		if g.epoch < h.leastLocked() {
			stale = append(stale, g.streams...)
		}
	}
	if h.readyLocked() {
		ready, h.waiting = h.waiting, nil
	}
	return stale, ready
}

// leastLocked is the epoch below which no stream is live.
func (h *shard) leastLocked() protocol.Epoch {
	least := h.epoch
	if !h.reachable {
		least++
	}
	return max(least, h.below)
}

// readyLocked reports whether there is somebody to ask.
func (h *shard) readyLocked() bool { return h.reachable && h.epoch >= h.below }

// attach adds a stream that was opened at epoch; false where that is over already.
func (h *shard) attach(s *Stream, epoch protocol.Epoch) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if epoch < h.leastLocked() {
		return false
	}
	for i := range h.live {
		if g := &h.live[i]; g.epoch == epoch {
			g.streams = append(g.streams, s)
			return true
		}
	}
	h.live = append(h.live, group{epoch, []*Stream{s}})
	return true
}

// leave takes out a stream that is live or waiting, or neither.
func (h *shard) leave(s *Stream) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.takeLocked(s, protocol.Epoch(1<<64-1)) {
		h.waiting, _ = without(h.waiting, s)
	}
}

// takeStale takes out a live stream whose epoch is over; false where it is not live at such a one.
func (h *shard) takeStale(s *Stream) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.takeLocked(s, h.leastLocked())
}

// takeLocked takes s out of the live streams at epochs below least.
func (h *shard) takeLocked(s *Stream, least protocol.Epoch) bool {
	for i := range h.live {
		g := &h.live[i]
		if g.epoch >= least {
			continue
		}
		var found bool
		if g.streams, found = without(g.streams, s); found {
			if len(g.streams) == 0 {
				h.live = slices.Delete(h.live, i, i+1)
			}
			return true
		}
	}
	return false
}

// without is list less s. The last takes its place; a list that has become short gives its room back.
func without(list []*Stream, s *Stream) (rest []*Stream, found bool) {
	for i := len(list) - 1; i >= 0; i-- {
		if list[i] != s {
			continue
		}
		last := len(list) - 1
		list[i], list[last] = list[last], nil
		if list = list[:last]; cap(list) > 16 && last < cap(list)/4 {
			list = slices.Clone(list)
		}
		return list, true
	}
	return list, false
}

// raise notes that nobody serves the shard below epoch.
func (h *shard) raise(epoch protocol.Epoch) {
	h.mu.Lock()
	h.below = max(h.below, epoch)
	h.mu.Unlock()
}

// least is the epoch below which to ask nobody.
func (h *shard) least() protocol.Epoch {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.below
}

// await has a detached stream wait where there is nobody to ask; false where there is somebody. s.mu is held, so that it is
// detached still.
func (h *shard) await(s *Stream) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.readyLocked() {
		return false
	}
	h.waiting = append(h.waiting, s)
	return true
}

// check recounts: every stream is in the shard of its user, and once in all.
func (x *shards) check() error {
	seen := make(map[*Stream]bool)
	var errs []error
	for i := range x.of {
		h := &x.of[i]
		h.mu.Lock()
		all := slices.Clone(h.waiting)
		for _, g := range h.live {
			all = append(all, g.streams...)
		}
		h.mu.Unlock()
		for _, s := range all {
			if topology.ShardOf(s.User(), len(x.of)) != protocol.ShardID(i) || seen[s] {
				errs = append(errs, fmt.Errorf("frontend: check: a stream is in shard %d that is another's, or twice in all", i))
			}
			seen[s] = true
		}
	}
	return errors.Join(errs...)
}
