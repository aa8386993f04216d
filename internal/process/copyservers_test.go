package process

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/url"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"ramen/internal/testprocess"
	"ramen/internal/testserver/cassandratest"
	"ramen/internal/testserver/redistest"
	"ramen/protocol"
	"ramen/store"
	"ramen/store/cassandra"
	"ramen/store/driver"
	"ramen/store/redis"
)

// TestACopyThroughServersThatIsKilledGoesOn: from the embedded store to Redis, on to Cassandra, and back; each copy is killed -9 in its
// midst, again and again, and repeated. At the end every message, device record, id and the identity are those of the beginning.
func TestACopyThroughServersThatIsKilledGoesOn(t *testing.T) {
	if testing.Short() {
		t.Skip("skipped: -short")
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	dir := t.TempDir()
	from, to := filepath.Join(dir, "from"), filepath.Join(dir, "to")
	ofRedis, ofCassandra := redistest.Shared(t).URL(t), sharedKeyspace(t)
	identity := fillStore(t, r, from)
	want := contentsOf(t, from)
	kills := copyThroughKills(t, r, "pebble:"+from, ofRedis, listed(t, redis.Driver(), ofRedis))
	kills += copyThroughKills(t, r, ofRedis, ofCassandra, listed(t, cassandra.Driver(), ofCassandra))
	t.Logf("killed %d times", kills)
	if kills < 4 {
		t.Error("it was hardly ever killed in its midst: there is little to see")
	}
	wantCopied(t, startCopy(t, ofCassandra, "pebble:"+to))
	got := contentsOf(t, to)
	for u, w := range want.boxes {
		g := got.boxes[u]
		rememberedLonger(g.Seen, w.Seen)
		if !reflect.DeepEqual(g, w) {
			t.Errorf("%v: %d messages, %d devices and %d ids; want %d, %d and %d, or they differ", u,
				len(g.Entries), len(g.Devices), len(g.Seen), len(w.Entries), len(w.Devices), len(w.Seen))
		}
	}
	if len(got.boxes) != len(want.boxes) || got.identity != identity {
		t.Errorf("%d users, want %d; identity %+v, want %+v", len(got.boxes), len(want.boxes), got.identity, identity)
	}
}

// sharedKeyspace is a store in a keyspace of its own, in the Cassandra that tests share.
func sharedKeyspace(t *testing.T) string {
	t.Helper()
	c := cassandratest.Shared(t)
	store := c.URL(c.KeyspaceName(t)) + "&replication=1&timeout=2s"
	if said, err := exec.Command(binary, "store", "init", store).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	return store
}

func startCopy(t *testing.T, from, to string) *testprocess.Process {
	t.Helper()
	p := testprocess.New(exec.Command(binary, "store", "copy", from, to))
	p.Start(t)
	return p
}

// rememberedLonger has got say of each id what want does, where it says a later time: Cassandra remembers an id from when it was written.
func rememberedLonger(got, want []store.Seen) {
	at := make(map[protocol.MessageID]int64)
	for _, s := range want {
		at[s.ID] = s.AcceptedMS
	}
	for i, s := range got {
		if ms, is := at[s.ID]; is && s.AcceptedMS > ms {
			got[i].AcceptedMS = ms
		}
	}
}

// copyThroughKills copies, and kills the copy when the target has some more users than after the last kill; the last one is not killed.
func copyThroughKills(t *testing.T, r *rand.Rand, from, to string, users func() int) (kills int) {
	t.Helper()
	for range 3 {
		p := startCopy(t, from, to)
		has := users()
		enough := has + 1 + r.IntN(max(1, (copiedUsers-has)/2))
		tick := time.NewTicker(5 * time.Millisecond)
		for ended := false; !ended && users() < enough; {
			select {
			case <-p.Ended:
				ended = true
			case <-tick.C:
			}
		}
		tick.Stop()
		p.Kill()
		if strings.Contains(p.Out.String(), "copied and compared") {
			return kills
		}
		if p.Err.String() != "" {
			t.Fatalf("the copy failed: %s", p.All)
		}
		kills++
	}
	wantCopied(t, startCopy(t, from, to))
	return kills
}

// listed opens a target, and counts the users that are in it.
func listed(t *testing.T, d driver.Driver, text string) func() int {
	t.Helper()
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), testprocess.Patience)
	t.Cleanup(cancel)
	s, err := d.Open(ctx, driver.Params{URL: u, Shards: copiedShards, IDRetention: 5 * time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return func() int {
		users, next, err := s.(store.Enumerator).Users(ctx, "", 2*copiedUsers)
		if err != nil || next != "" {
			t.Fatal(errors.Join(err, errors.New("there are more users than were copied")))
		}
		return len(users)
	}
}
