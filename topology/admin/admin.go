package admin

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"ramen/protocol"
	"ramen/topology"
	"ramen/topology/registry"
)

// Config is what a cluster is reached by.
type Config struct {
	Backend registry.Backend
	Mirror  *registry.Mirror
	Etcd    Etcd   // that keeps the registry
	Scheme  string // of the peers' ports of etcd: http or https
}

// Admin sees and changes a cluster. It is safe for concurrent use.
type Admin struct{ cfg Config }

// New is one.
func New(cfg Config) *Admin { return &Admin{cfg} }

// Status is the cluster as it was last heard of.
func (a *Admin) Status() Status {
	s, _ := a.cfg.Mirror.Snapshot()
	return Describe(s, a.cfg.Mirror.Seen(), a.cfg.Mirror.ViewAge())
}

// Shards is its shards, likewise.
func (a *Admin) Shards() Shards {
	s, _ := a.cfg.Mirror.Snapshot()
	return DescribeShards(s)
}

// Check says where the members and the view contradict each other. While shards move that may be so for a moment.
func (a *Admin) Check() error {
	s, _ := a.cfg.Mirror.Snapshot()
	if problems := read(s).compare(); len(problems) > 0 {
		return fmt.Errorf("admin: %s", strings.Join(problems, "\n"))
	}
	return nil
}

// now is the registry as it is, asked for.
func (a *Admin) now(ctx context.Context) (registry.Snapshot, *known, error) {
	s, err := a.cfg.Backend.All(ctx)
	if err != nil {
		return s, nil, protocol.Errorf(protocol.CodeUnavailable, "the cluster's etcd does not answer: %v", err)
	}
	if s.ID() == "" {
		return s, nil, protocol.Errorf(protocol.CodeUnavailable, "the cluster has not been made yet: no controller is elected")
	}
	return s, read(s), nil
}

func (a *Admin) put(ctx context.Context, key string, value []byte) error {
	_, at, err := a.cfg.Backend.Commit(ctx, nil, []registry.Put{{Key: key, Value: value}})
	if err != nil {
		return protocol.Errorf(protocol.CodeUnavailable, "the cluster's etcd did not answer, and may have taken the change or not: %v", err)
	}
	a.follow(ctx, at)
	return nil
}

// followTime bounds the wait for the mirror. A registry that was made anew meanwhile does not come so far.
const followTime = time.Second

// follow waits until the mirror has a change: who asks this process next sees it.
func (a *Admin) follow(ctx context.Context, at registry.Revision) {
	late := time.NewTimer(followTime)
	defer late.Stop()
	for {
		s, changed := a.cfg.Mirror.Snapshot()
		if s.At >= at {
			return
		}
		select {
		case <-changed:
		case <-late.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

// Drain has the shards of the gateway of a name move to others, and keeps it empty, over its restarts too, until Undrain.
func (a *Admin) Drain(ctx context.Context, name string) (Drain, error) {
	_, k, err := a.now(ctx)
	if err == nil {
		err = k.mustHave(name)
	}
	if err != nil {
		return Drain{}, err
	}
	if !k.othersServe(name) {
		return Drain{}, protocol.Invalidf("no other gateway than %s may own shards: start one, undrain one, or give one a weight, before", name)
	}
	since := time.Now().UnixMilli()
	return Drain{name, since, k.left(name)}, a.put(ctx, registry.DrainingKey+name, strconv.AppendInt(nil, since, 10))
}

// Undrain ends a drain.
func (a *Admin) Undrain(ctx context.Context, name string) error {
	_, k, err := a.now(ctx)
	if err != nil {
		return err
	}
	if !k.drains[name] {
		return protocol.Errorf(protocol.CodeNotFound, "%q is not draining; draining: %s", name, list(slices.Sorted(maps.Keys(k.drains))))
	}
	return a.put(ctx, registry.DrainingKey+name, nil)
}

// Move has a shard move to the gateway of a name, and stay there while that may own shards, until Unpin.
func (a *Admin) Move(ctx context.Context, shard int, to string) (Move, error) {
	_, k, err := a.now(ctx)
	if err == nil {
		err = k.mustHaveShard(shard)
	}
	if err == nil {
		err = k.mustHave(to)
	}
	if err != nil {
		return Move{}, err
	}
	if !k.mayOwn(to) {
		return Move{}, protocol.Invalidf("%s takes no shards: it is draining, or its weight is 0", to)
	}
	s := k.view.Shards[shard]
	return Move{shard, s.State.String(), s.Member, s.Epoch}, a.put(ctx, registry.PinsKey+strconv.Itoa(shard), []byte(to))
}

// Unpin lets a shard that was moved go wherever it is best.
func (a *Admin) Unpin(ctx context.Context, shard int) error {
	_, k, err := a.now(ctx)
	if err == nil {
		err = k.mustHaveShard(shard)
	}
	if err != nil {
		return err
	}
	if k.pins[shard] == "" {
		return protocol.Errorf(protocol.CodeNotFound, "shard %d is not pinned", shard)
	}
	return a.put(ctx, registry.PinsKey+strconv.Itoa(shard), nil)
}

// gateways is the names of those that are registered.
func (k *known) gateways() []string {
	var names []string
	for id := range k.roles["gateway"] {
		names = append(names, id.Name())
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func (k *known) mustHave(name string) error {
	if !slices.Contains(k.gateways(), name) {
		return protocol.Errorf(protocol.CodeNotFound, "no gateway is registered as %q; gateways: %s", name, list(k.gateways()))
	}
	return nil
}

func (k *known) mustHaveShard(shard int) error {
	if n := len(k.view.Shards); shard < 0 || shard >= n {
		return protocol.Errorf(protocol.CodeNotFound, "there is no shard %d: the view has %d, from 0 on", shard, n)
	}
	return nil
}

// mayOwn reports whether a gateway of that name is given shards.
func (k *known) mayOwn(name string) bool {
	for id, g := range k.roles["gateway"] {
		if id.Name() == name && !k.drains[name] && g.State == topology.MemberServing && g.Weight > 0 {
			return true
		}
	}
	return false
}

func (k *known) othersServe(name string) bool {
	return slices.ContainsFunc(k.gateways(), func(other string) bool { return other != name && k.mayOwn(other) })
}

func list(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}
