package testbed

import (
	"fmt"
	"strings"
	"testing"

	"ramen/protocol"
	"ramen/store"
)

// TestTwoOwnersAreFound, by what gateways serve and by what the store has; and owners that follow each other are none.
func TestTwoOwnersAreFound(t *testing.T) {
	type look func(o *owners)
	at := func(gateway string, epoch protocol.Epoch) look {
		return func(o *owners) {
			claims, served := o.known()
			o.serves(gateway, map[protocol.ShardID]protocol.Epoch{7: epoch}, claims, served)
		}
	}
	claim := func(by string, epoch protocol.Epoch) look {
		return func(o *owners) {
			claims, _ := o.known()
			o.claimed(7, store.Claimed{Epoch: epoch, Owner: by}, claims)
		}
	}
	// stale is an answer to what was asked before something else was known.
	stale := func(gateway string, epoch protocol.Epoch, meanwhile ...look) look {
		return func(o *owners) {
			claims, served := o.known()
			for _, m := range meanwhile {
				m(o)
			}
			o.serves(gateway, map[protocol.ShardID]protocol.Epoch{7: epoch}, claims, served)
		}
	}
	for _, c := range []struct {
		name  string
		looks []look
		found string // empty: nothing
	}{
		{"one after the other", []look{claim("x", 1), at("a", 1), claim("y", 2), at("b", 2), at("b", 2), claim("y", 2), claim("x", 5), at("a", 5)}, ""},
		{"an answer that was asked for before", []look{at("a", 1), stale("a", 1, claim("y", 2), at("b", 2))}, ""},
		{"a store that has lost its claims", []look{claim("x", 3), claim("", 0), claim("y", 4)}, ""},
		{"an older owner serves on", []look{at("a", 1), at("b", 2), at("a", 1)}, "two owners: a serves shard 7 at epoch 1, and b has served it at epoch 2"},
		{"an older owner serves on behind a claim", []look{at("a", 1), claim("y", 2), at("a", 1)}, "two owners: a serves shard 7 at epoch 1, and the store had it claimed at epoch 2 by y"},
		{"two at one epoch", []look{at("a", 1), at("b", 1)}, "two owners: b serves shard 7 at epoch 1, and a has served it at epoch 1"},
		{"an epoch that goes back", []look{claim("x", 3), claim("y", 2)}, "the epoch of shard 7 went back in the store: from 3 of x to 2 of y"},
		{"two claims of one epoch", []look{claim("x", 3), claim("y", 3)}, "shard 7 is claimed at epoch 3 by two: x and y"},
	} {
		t.Run(strings.ReplaceAll(c.name, " ", "_"), func(t *testing.T) {
			var found []string
			o := newOwners(func(format string, args ...any) { found = append(found, fmt.Sprintf(format, args...)) })
			for _, l := range c.looks {
				l(o)
			}
			if got := strings.Join(found, "; "); got != c.found {
				t.Errorf("found %q, want %q", got, c.found)
			}
		})
	}
}

// TestServedShardsAreRead as a gateway tells them.
func TestServedShardsAreRead(t *testing.T) {
	got := servedShards("shard\tstate\tepoch\tbelow\tmailboxes\twrites\tserved\n3\tserving\t9\t0\t2\t0\ttrue\n4\tserving\t9\t0\t2\t0\tfalse\n5\tlost\t8\t9\t0\t0\tfalse\n6\tserving\t8\t9\t0\t0\n")
	if len(got) != 1 || got[3] != 9 {
		t.Errorf("got %v, want shard 3 at epoch 9", got)
	}
}
