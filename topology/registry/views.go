package registry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"ramen/topology"
)

// Views is the topology that a registry has.
type Views struct {
	newest atomic.Pointer[version]
	past   atomic.Pointer[Past]
	last   Revision // of the value that newest was read from; the follower's
	lastOf string   // the registry that it was in
	seen   uint64   // the version that it had there; 0: it could not be read, or there was none
	done   chan struct{}
	stop   context.CancelFunc
}

type version struct {
	view  *topology.View
	next  chan struct{} // closed once there is a newer one
	since time.Time     // when it came
}

var _ topology.Topology = (*Views)(nil)

// ErrNoCluster is the answer where no controller has made the cluster yet.
var ErrNoCluster = errors.New("registry: there is no cluster yet: no controller has made it")

// NewViews waits until the cluster has been made, and follows its views until Close.
func NewViews(ctx context.Context, m *Mirror, log *slog.Logger) (*Views, error) {
	shards, err := awaitShards(ctx, m)
	if err != nil {
		return nil, err
	}
	run, stop := context.WithCancel(context.Background())
	v := &Views{done: make(chan struct{}), stop: stop}
	v.past.Store(new(Past))
	none := &topology.View{Version: 1, Shards: make([]topology.Shard, shards), Members: map[topology.MemberID]*topology.Member{}}
	v.newest.Store(&version{none, make(chan struct{}), time.Now()})
	s, _ := m.Snapshot()
	v.take(s, log)
	go v.follow(run, m, log)
	return v, nil
}

// awaitShards waits until it is known how many shards there are.
func awaitShards(ctx context.Context, m *Mirror) (int, error) {
	for {
		s, changed := m.Snapshot()
		if e, is := s.Entries[ShardsKey]; is {
			n, _, err := DecodeShards(e.Value)
			return n, err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			if err := m.Err(); err != nil {
				return 0, fmt.Errorf("registry: no controller answers: %w", err)
			}
			if s.Entries == nil {
				return 0, fmt.Errorf("registry: no controller answers: %w", context.Cause(ctx))
			}
			return 0, fmt.Errorf("%w: %w", ErrNoCluster, context.Cause(ctx))
		}
	}
}

// Close ends it. The last view stays.
func (v *Views) Close() {
	v.stop()
	<-v.done
}

// View implements topology.Topology.
func (v *Views) View() *topology.View { return v.newest.Load().view }

// Changed implements topology.Topology.
func (v *Views) Changed(old *topology.View) <-chan struct{} {
	now := v.newest.Load()
	if now.view.Version > old.Version {
		over := make(chan struct{})
		close(over)
		return over
	}
	return now.next
}

func (v *Views) follow(ctx context.Context, m *Mirror, log *slog.Logger) {
	defer close(v.done)
	for {
		s, changed := m.Snapshot()
		v.take(s, log)
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

// take has the view of s be the newest where it is newer.
func (v *Views) take(s Snapshot, log *slog.Logger) {
	at := s.Entries[ViewKey].Modified
	if at == v.last && s.ID() == v.lastOf {
		return
	}
	if s.ID() == "" { // it is about to be made anew
		return
	}
	now := v.newest.Load()
	if v.lastOf != "" && v.lastOf != s.ID() {
		v.leave(now.view)
	}
	same := v.lastOf == s.ID()
	v.last, v.lastOf = at, s.ID()
	view, err := s.View()
	if same && err == nil && (view == nil || view.Version < v.seen) { // it was restored from a backup: it goes on from there
		log.Warn("the registry has gone back to an earlier view", "version", now.view.Version)
		v.leave(now.view)
	}
	if v.seen = 0; view != nil {
		v.seen = view.Version
	}
	switch {
	case err != nil:
		log.Error("the view in the registry cannot be read; the one before stays in force", "version", now.view.Version, "error", err)
	case view == nil || view.Version <= now.view.Version:
	default:
		if err := view.CheckAfter(now.view); err != nil { // of a new registry, whose controller does not know yet what was seen here
			log.Warn("the view in the registry does not follow the one before, which stays in force", "error", err)
			return
		}
		v.newest.Store(&version{view, make(chan struct{}), time.Now()})
		close(now.next)
	}
}

// Past is the last view that was seen of a registry that was lost, or of what it was before it went back to an earlier state.
func (v *Views) Past() Past { return *v.past.Load() }

// leave notes the last view of a registry that was lost, or that has gone back.
func (v *Views) leave(last *topology.View) {
	past := Past{Version: last.Version}
	for _, s := range last.Shards {
		past.Epoch = max(past.Epoch, s.Epoch)
	}
	v.past.Store(&past)
}
