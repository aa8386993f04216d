package redis

import (
	"fmt"
	"testing"

	"ramen/internal/testserver/redistest"
	"ramen/protocol"
	"ramen/store"
)

// TestMoreKillsThanMayWait: what was killed of late is done again with a claim, however much that is.
func TestMoreKillsThanMayWait(t *testing.T) {
	f := newFixture(t, redistest.Options{}, func(c *Config) { c.MaxInFlight = 8 })
	for i := range 40 {
		a := step(0, entry("a", 1))
		a.User = protocol.UserID(fmt.Sprint("u", i))
		f.mustAppend(a)
		a.Last, a.Entries, a.Kills = position(1), nil, []store.Ref{ref(a.Entries[0])}
		f.mustAppend(a)
	}
	claim(t, f.Store, 1, "first", 1)
}
