package redis

import (
	"strings"
	"testing"
	"time"

	"ramen/internal/testserver/redistest"
	"ramen/protocol"
)

// TestWhoIsKeptByAFullNodeIsAbsent: a node of a cluster that is full does not take that an owner is there, and says to others that it is not, while
// shards of other nodes are claimed as ever. What gateway/lease makes of that is its TestWhoCannotSayThatItIsThere.
func TestWhoIsKeptByAFullNodeIsAbsent(t *testing.T) {
	c := redistest.StartCluster(t, redistest.Options{})
	s := open(t, clusterConfig(t, c))
	full, _ := c.Serving(t, presenceKey(s.cfg.Prefix, "owner"))
	var shard protocol.ShardID
	for ; ; shard++ {
		if n, _ := c.Serving(t, s.keys[shard].claim); n != full {
			break
		}
	}
	if err := full.Client(t).ConfigSet(t.Context(), "maxmemory", "1").Err(); err != nil {
		t.Fatal(err)
	}
	if err := s.Renew(within(t), "owner", time.Minute); err == nil || !strings.Contains(err.Error(), "OOM") {
		t.Errorf("renew: %v", err)
	}
	claim(t, s, 1, "owner", shard)
	claims, errs := s.Claims(within(t), []protocol.ShardID{shard})
	if errs != nil || claims[0].Owner != "owner" || claims[0].Present || claims[0].PresenceUnread {
		t.Errorf("claims %+v, %v", claims, errs)
	}
}
