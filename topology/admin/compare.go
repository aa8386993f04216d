package admin

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"ramen/protocol"
	"ramen/topology"
	"ramen/topology/registry"
)

// maxProblems bounds what is told of what is wrong.
const maxProblems = 50

// compare says where the members and the view contradict each other. While shards move that may be so for a moment.
func (k *known) compare() []string {
	problems := append([]string{}, k.faults...)
	bad := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	names := make(map[string][]string)
	for id := range k.roles["gateway"] {
		names[id.Name()] = append(names[id.Name()], string(id))
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if ids := names[name]; len(ids) > 1 {
			slices.Sort(ids)
			bad("%d gateways are named %s: %s; each needs a name of its own", len(ids), name, strings.Join(ids, ", "))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(k.drains)) {
		if names[name] == nil {
			bad("%s is draining, and no gateway of that name is registered", name)
		}
	}
	for _, shard := range slices.Sorted(maps.Keys(k.pins)) {
		if name := k.pins[shard]; names[name] == nil {
			bad("shard %d is pinned to %s, and no gateway of that name is registered", shard, name)
		}
	}
	for i, s := range k.view.Shards {
		k.compareShard(i, s, bad)
	}
	if n := len(problems); n > maxProblems {
		problems = append(problems[:maxProblems], fmt.Sprintf("and %d more", n-maxProblems))
	}
	return problems
}

func (k *known) compareShard(i int, s topology.Shard, bad func(string, ...any)) {
	id := protocol.ShardID(i)
	var served []string
	for _, m := range slices.Sorted(maps.Keys(k.holdings)) {
		h := k.holdings[m][id]
		if h.State != registry.Serving {
			continue
		}
		served = append(served, fmt.Sprintf("%s at epoch %d", m, h.Epoch))
		if k.acted[m] >= k.view.Version && (m != s.Member || h.Epoch != s.Epoch) {
			bad("shard %d: member %s serves it at epoch %d; the view %d gives it to %q at epoch %d", i, m, h.Epoch, k.view.Version, s.Member, s.Epoch)
		}
	}
	if len(served) > 1 {
		bad("shard %d is served by several: %s", i, strings.Join(served, ", "))
	}
	if s.State != topology.ShardServing || k.acted[s.Member] < k.view.Version {
		return
	}
	if h := k.holdings[s.Member][id]; h.State != registry.Serving || h.Epoch != s.Epoch {
		bad("shard %d: the view %d has member %s serve it at epoch %d, which says that it is %s at epoch %d", i, k.view.Version, s.Member, s.Epoch, h.State, h.Epoch)
	}
}
