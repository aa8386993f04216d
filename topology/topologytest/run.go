package topologytest

import (
	"maps"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"ramen/topology"
)

// Patience is how long a test waits for what must come.
const Patience = 10 * time.Second

// Subject is a topology, and how it is changed.
type Subject struct {
	topology.Topology
	Change func() // brings a newer view before long, each time another; nil: this topology never changes
}

// Run checks what package topology promises. start cleans up with t.
func Run(t *testing.T, start func(t *testing.T) Subject) {
	for _, c := range []struct {
		name string
		test func(t *testing.T, s Subject)
	}{
		{"ViewIsSound", viewIsSound},
		{"ViewIsImmutable", viewIsImmutable},
		{"ViewsFollowEachOther", viewsFollow},
		{"ChangedIsClosedByANewerViewAlone", changedByNewer},
		{"ChangedOfAnOldViewIsClosed", changedOfOld},
		{"FollowersReachTheNewest", followersReach},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, start(t)) })
	}
}

// change brings a newer view and waits for it.
func (s Subject) change(t *testing.T) *topology.View {
	t.Helper()
	v := s.View()
	changed := s.Changed(v)
	s.Change()
	await(t, changed)
	return s.View()
}

func await(t *testing.T, changed <-chan struct{}) {
	t.Helper()
	late := time.NewTimer(Patience)
	defer late.Stop()
	select {
	case <-changed:
	case <-late.C:
		t.Fatalf("waited %v for a newer view", Patience)
	}
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func viewIsSound(t *testing.T, s Subject) {
	if err := s.View().Check(); err != nil {
		t.Error(err)
	}
	if s.Change == nil {
		return
	}
	for range 10 {
		if err := s.change(t).Check(); err != nil {
			t.Error(err)
		}
	}
}

func copyOf(v *topology.View) *topology.View {
	c := &topology.View{Version: v.Version, Shards: slices.Clone(v.Shards), Members: maps.Clone(v.Members)}
	for id, m := range c.Members {
		other := *m
		c.Members[id] = &other
	}
	return c
}

func viewIsImmutable(t *testing.T, s Subject) {
	v := s.View()
	before := copyOf(v)
	for range 10 {
		if s.Change != nil {
			s.change(t)
		}
	}
	if !reflect.DeepEqual(v, before) {
		t.Errorf("a view changed from %+v to %+v", before, v)
	}
	if s.Change == nil && s.View() != v {
		t.Error("the view of a topology that never changes is another")
	}
}

// viewsFollow: whoever reads views while they change sees each follow from the one before.
func viewsFollow(t *testing.T, s Subject) {
	if s.Change == nil {
		t.Skip("this topology never changes")
	}
	stop := make(chan struct{})
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for last := s.View(); !closed(stop); {
				v := s.View()
				if v == last {
					continue
				}
				if err := v.CheckAfter(last); err != nil {
					t.Error(err)
					return
				}
				last = v
			}
		})
	}
	for range 30 {
		s.change(t)
	}
	close(stop)
	readers.Wait()
}

func changedByNewer(t *testing.T, s Subject) {
	v := s.View()
	changed := s.Changed(v)
	if changed != nil && closed(changed) {
		t.Error("changed, and the view is the newest")
	}
	if s.Change == nil {
		if changed != nil {
			t.Error("a topology that never changes has a channel for it")
		}
		return
	}
	other := s.Changed(v)
	next := s.change(t)
	await(t, changed)
	await(t, other)
	if next.Version <= v.Version {
		t.Errorf("view %d follows %d", next.Version, v.Version)
	}
	if closed(s.Changed(next)) {
		t.Error("changed, and the view is the newest")
	}
}

func changedOfOld(t *testing.T, s Subject) {
	if s.Change == nil {
		t.Skip("this topology never changes")
	}
	v := s.View()
	for range 3 {
		s.change(t)
		if !closed(s.Changed(v)) {
			t.Fatal("not changed, and there is a newer view")
		}
	}
}

// followersReach: whoever waits for what is newer than the view it has does not stop before the newest.
func followersReach(t *testing.T, s Subject) {
	if s.Change == nil {
		t.Skip("this topology never changes")
	}
	const changes = 50
	last := s.View().Version + changes
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			late := time.NewTimer(Patience)
			defer late.Stop()
			for v := s.View(); v.Version < last; v = s.View() {
				select {
				case <-s.Changed(v):
				case <-late.C:
					t.Errorf("a follower stands at view %d; the newest is %d or later", v.Version, last)
					return
				}
			}
		})
	}
	for range changes {
		s.change(t)
	}
	all.Wait()
}
