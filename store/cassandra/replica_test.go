package cassandra

import (
	"fmt"
	"testing"
	"time"

	gocql "github.com/apache/cassandra-gocql-driver/v2"

	"ramen/internal/testserver"
	"ramen/internal/testserver/cassandratest"
	"ramen/protocol"
	"ramen/store"
	"ramen/store/storetest"
)

// TestRequestsGoToAReplica of what they are for: of three nodes with one copy no load needs a second one. Where the key by which requests are routed
// were not that of the partition, two of three would.
func TestRequestsGoToAReplica(t *testing.T) {
	testserver.Long(t)
	c := cassandratest.Start(t, cassandratest.Options{Nodes: 3, NeverKilled: true})
	s := openStore(t, prepared(t, paramsOf(t, c, 1, "&timeout=5s")))
	defer s.Close()
	asked := make(map[string]int)
	const users = 30
	for n := range uint64(users) {
		at, user := store.Owner{Shard: protocol.ShardID(n), Epoch: 1}, protocol.UserID(fmt.Sprint("u", n))
		mustClaim(t, s, at)
		if err := storetest.Append(t.Context(), s, []store.Append{{Owner: at, User: user, Entries: []store.Entry{message(n)}}})[0]; err != nil {
			t.Fatal(err)
		}
		tr := new(traces)
		s.tracer = tr
		m, err := s.Load(t.Context(), at, user)
		s.tracer = nil
		if err != nil || len(m.Entries) != 1 {
			t.Fatalf("%d entries, %v", len(m.Entries), err)
		}
		for _, id := range tr.take() {
			sources := sourcesOf(t, s.session, id)
			if len(sources) != 1 {
				t.Errorf("user %s: a read was made by %v", user, sources)
			}
			for source := range sources {
				asked[source]++
			}
		}
	}
	if len(asked) != 3 {
		t.Errorf("the nodes have made %v reads: each is to have users", asked)
	}
}

// sourcesOf are the nodes that had to do with a request.
func sourcesOf(t *testing.T, session *gocql.Session, id []byte) map[string]bool {
	t.Helper()
	end := time.Now().Add(testserver.Patience)
	for events, quiet := -1, 0; ; <-time.After(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the trace of a read is not whole")
		}
		var duration *int
		if err := session.Query("SELECT duration FROM system_traces.sessions WHERE session_id = ?", id).Consistency(gocql.Two).Scan(&duration); err != nil || duration == nil {
			continue
		}
		sources := make(map[string]bool)
		rows := session.Query("SELECT source FROM system_traces.events WHERE session_id = ?", id).Consistency(gocql.Two).Iter()
		var source string
		n := 0
		for ; rows.Scan(&source); n++ {
			sources[source] = true
		}
		if err := rows.Close(); err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			continue
		}
		if n != events {
			events, quiet = n, 0
		} else if quiet++; quiet == 3 {
			return sources
		}
	}
}
