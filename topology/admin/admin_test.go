package admin

import (
	"errors"
	"io"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"ramen/protocol"
	"ramen/topology"
	"ramen/topology/registry"
	"ramen/topology/registry/memory"
)

// cluster is a registry with a view of four shards, of which g1 has the first two and g2 the others; both say so.
func cluster() map[string][]byte {
	member := func(id string) topology.Member {
		return topology.Member{ID: topology.MemberID(id), Address: id + ":7080", Weight: 1, State: topology.MemberServing}
	}
	view := &topology.View{Version: 7, Members: map[topology.MemberID]*topology.Member{}, Shards: []topology.Shard{
		{Member: "g1@a", Epoch: 3, State: topology.ShardServing}, {Member: "g1@a", Epoch: 3, State: topology.ShardServing},
		{Member: "g2@b", Epoch: 4, State: topology.ShardServing}, {Member: "g2@b", Epoch: 4, State: topology.ShardServing},
	}}
	keys := map[string][]byte{registry.ShardsKey: registry.EncodeShards(4, "id"), registry.LeaderKey: []byte("c1@c")}
	for i, id := range []string{"g1@a", "g2@b"} {
		m := member(id)
		view.Members[m.ID] = &m
		keys[registry.GatewaysKey+id] = registry.Gateway{Member: m, Epoch: 2}.Encode()
		epoch := protocol.Epoch(3 + i)
		first := protocol.ShardID(2 * i)
		keys[registry.HoldingsKey+id] = registry.Holdings{first: {Epoch: epoch, State: registry.Serving}, first + 1: {Epoch: epoch, State: registry.Serving}}.Encode(7)
	}
	keys[registry.ControllersKey+"c1@c"] = registry.Gateway{Member: member("c1@c")}.Encode()
	keys[registry.FrontendsKey+"g1@a"] = registry.Gateway{Member: member("g1@a"), Load: registry.Load{ViewVersion: 5, Streams: 9, Pushed: 2.5}}.Encode()
	keys[registry.ViewKey] = registry.EncodeView(view)
	return keys
}

// open is an Admin over these keys.
func open(t *testing.T, keys map[string][]byte) (*Admin, registry.Backend) {
	t.Helper()
	b := memory.New().Client()
	var puts []registry.Put
	for key, value := range keys {
		puts = append(puts, registry.Put{Key: key, Value: value})
	}
	if _, _, err := b.Commit(t.Context(), nil, puts); err != nil {
		t.Fatal(err)
	}
	m := registry.NewMirror(b, slog.New(slog.NewTextHandler(io.Discard, nil)))
	t.Cleanup(m.Close)
	if err := m.Await(t.Context()); err != nil {
		t.Fatal(err)
	}
	return New(Config{Backend: b, Mirror: m}), b
}

// TestMembersOfSeveralRolesAreOne, and what is told of each is there.
func TestMembersOfSeveralRolesAreOne(t *testing.T) {
	a, _ := open(t, cluster())
	s := a.Status()
	if err := a.Check(); err != nil || len(s.Problems) > 0 || s.Problems == nil {
		t.Errorf("a good cluster: %v %q", err, s.Problems)
	}
	if s.ID != "id" || s.Controller != "c1@c" || s.View.Version != 7 || s.View.Serving != 4 || len(s.Members) != 3 || len(s.Moves) != 0 {
		t.Errorf("%+v", s)
	}
	for _, m := range s.Members {
		if m.Name != "g1" {
			continue
		}
		if !slices.Equal(m.Roles, []string{"gateway", "frontend"}) || m.Shards.Serving != 2 || m.View != 7 || m.Behind != 0 || m.Streams != 9 || m.Pushed != 2.5 || m.Epoch != 2 || m.Address != "g1@a:7080" {
			t.Errorf("%+v", m)
		}
	}
}

// TestFrontendIsBehindOnceItCouldHaveToldOtherwise: its version is told now and then, a gateway's at once.
func TestFrontendIsBehindOnceItCouldHaveToldOtherwise(t *testing.T) {
	keys := cluster()
	keys[registry.FrontendsKey+"f1@f"] = registry.Gateway{Member: topology.Member{ID: "f1@f"}, Load: registry.Load{ViewVersion: 5}}.Encode()
	keys[registry.HoldingsKey+"g2@b"] = registry.Holdings{}.Encode(4)
	_, b := open(t, keys)
	s, err := b.All(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for age, want := range map[time.Duration]map[string]uint64{time.Second: {"f1": 0, "g1": 0, "g2": 3}, time.Minute: {"f1": 2, "g1": 0, "g2": 3}} {
		for _, m := range Describe(s, time.Now(), age).Members {
			if m.Behind != want[m.Name] {
				t.Errorf("with a view of %v ago %s is %d behind, want %d", age, m.Name, m.Behind, want[m.Name])
			}
		}
	}
}

// TestMemberWithoutRegistrationHasGone, also before the view says so.
func TestMemberWithoutRegistrationHasGone(t *testing.T) {
	keys := cluster()
	delete(keys, registry.GatewaysKey+"g2@b")
	delete(keys, registry.HoldingsKey+"g2@b")
	a, _ := open(t, keys)
	for _, m := range a.Status().Members {
		if want := map[bool]string{true: "gone", false: "serving"}[m.Name == "g2"]; m.State != want || m.Name == "g2" && m.Shards.Serving != 2 {
			t.Errorf("%s: %+v, want it %s", m.Name, m, want)
		}
	}
}

// TestContradictionsAreTold: each fault that is put into a good registry is told, and no other.
func TestContradictionsAreTold(t *testing.T) {
	holdings := func(version uint64, h registry.Holdings) []byte { return h.Encode(version) }
	serving := func(epoch protocol.Epoch) registry.Holding {
		return registry.Holding{Epoch: epoch, State: registry.Serving}
	}
	for name, c := range map[string]struct {
		key   string
		value []byte
		want  []string
	}{
		"served by two":        {registry.HoldingsKey + "g1@a", holdings(6, registry.Holdings{0: serving(3), 1: serving(3), 2: serving(3)}), []string{"shard 2 is served by several: g1@a at epoch 3, g2@b at epoch 4"}},
		"served by another":    {registry.HoldingsKey + "g1@a", holdings(7, registry.Holdings{0: serving(3), 1: serving(3), 2: serving(3)}), []string{"member g1@a serves it at epoch 3; the view 7 gives it to \"g2@b\" at epoch 4", "served by several"}},
		"not served":           {registry.HoldingsKey + "g1@a", holdings(7, registry.Holdings{0: serving(3)}), []string{"shard 1: the view 7 has member g1@a serve it at epoch 3, which says that it is none"}},
		"not served, but late": {registry.HoldingsKey + "g1@a", holdings(6, registry.Holdings{0: serving(3)}), nil},
		"another epoch":        {registry.HoldingsKey + "g1@a", holdings(7, registry.Holdings{0: serving(2), 1: serving(3)}), []string{"serves it at epoch 2; the view 7", "says that it is serving at epoch 2"}},
		"one name twice":       {registry.GatewaysKey + "g1@z", registry.Gateway{Member: topology.Member{ID: "g1@z"}}.Encode(), []string{"2 gateways are named g1: g1@a, g1@z"}},
		"who is not there":     {registry.DrainingKey + "g9", []byte("1"), []string{"g9 is draining, and no gateway of that name"}},
		"pinned to nobody":     {registry.PinsKey + "2", []byte("g9"), []string{"shard 2 is pinned to g9, and no gateway"}},
		"no member":            {registry.FrontendsKey + "f1@f", []byte("\xff"), []string{"registry: member"}},
		"no view":              {registry.ViewKey, []byte("\xff"), []string{"registry: view"}},
	} {
		keys := cluster()
		keys[c.key] = c.value
		a, _ := open(t, keys)
		got := a.Status().Problems
		if len(got) != len(c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
			continue
		}
		for i, want := range c.want {
			if !strings.Contains(got[i], want) {
				t.Errorf("%s: %q, want %q", name, got[i], want)
			}
		}
		if err := a.Check(); (err != nil) != (len(c.want) > 0) {
			t.Errorf("%s: Check says %v", name, err)
		}
	}
}

// TestAClusterThatIsNotMadeIsToldSo: nothing is changed, and what is seen is empty.
func TestAClusterThatIsNotMadeIsToldSo(t *testing.T) {
	a, b := open(t, map[string][]byte{"other": {1}})
	if s := a.Status(); s.ID != "" || len(s.Members) != 0 || len(s.Problems) != 0 || len(a.Shards().Shards) != 0 {
		t.Errorf("%+v", s)
	}
	_, err := a.Drain(t.Context(), "g1")
	if e, is := errors.AsType[*protocol.Error](err); !is || e.Code != protocol.CodeUnavailable {
		t.Errorf("drain: %v", err)
	}
	if all, err := b.All(t.Context()); err != nil || len(all.Entries) != 1 {
		t.Errorf("what is there: %v %v", all, err)
	}
}

// TestChangesAreKeysOfTheRegistry that the elected controller reads.
func TestChangesAreKeysOfTheRegistry(t *testing.T) {
	a, b := open(t, cluster())
	now := func() registry.Snapshot {
		t.Helper()
		s, err := b.All(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	if d, err := a.Drain(t.Context(), "g1"); err != nil || d.Shards != 2 || !now().Draining()["g1"] || len(a.Status().Draining) != 1 {
		t.Errorf("drain: %+v %v", d, err)
	}
	if _, err := a.Drain(t.Context(), "g2"); err == nil || now().Draining()["g2"] {
		t.Errorf("the last one is drained: %v", err)
	}
	if _, err := a.Move(t.Context(), 3, "g1"); err == nil || len(now().Pins()) > 0 {
		t.Errorf("moved to who drains: %v", err)
	}
	if err := a.Undrain(t.Context(), "g1"); err != nil || len(now().Draining()) > 0 {
		t.Errorf("undrain: %v", err)
	}
	if m, err := a.Move(t.Context(), 3, "g1"); err != nil || m.Member != "g2@b" || now().Pins()[3] != "g1" {
		t.Errorf("move: %+v %v", m, err)
	}
	if err := a.Unpin(t.Context(), 3); err != nil || len(now().Pins()) > 0 {
		t.Errorf("unpin: %v", err)
	}
	if err := a.Unpin(t.Context(), 3); err == nil {
		t.Error("unpinned twice")
	}
}
