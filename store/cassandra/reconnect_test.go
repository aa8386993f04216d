package cassandra

import (
	"fmt"
	"sync"
	"testing"
	"time"

	gocql "github.com/apache/cassandra-gocql-driver/v2"

	"ramen/internal/testserver"
	"ramen/protocol"
	"ramen/store"
	"ramen/store/storetest"
)

// TestReconnectCostsNoMoreAfterTenDays compresses time: messages live for a day of 8 s, of which a slot is an eighth. What a traced Load
// meets, rows and tombstones, is counted after the first day and after the tenth: with a device that has acked all but the last
// messages, and with one that was away for a day.
func TestReconnectCostsNoMoreAfterTenDays(t *testing.T) {
	testserver.Long(t)
	const (
		day   = 8 * time.Second
		days  = 10
		slots = 8 // a day
	)
	p := place(t, "&slot=1s&max_ttl=8s&timeout=5s")
	p.IDRetention = 100 * time.Millisecond
	s := openStore(t, p)
	defer s.Close()
	s.slack = 100 * time.Millisecond
	at := store.Owner{Shard: 1, Epoch: 1}
	if errs := s.Claim(t.Context(), []protocol.ShardID{1}, 1, "test"); errs != nil {
		t.Fatal(errs)
	}
	pace := time.NewTicker(5 * time.Millisecond)
	defer pace.Stop()
	var first, last [2]cost // of a device that is current, and of one that was away
	began := time.Now()
	for n, measured := uint64(1), 0; measured < 2; n++ {
		<-pace.C
		e := message(n)
		e.Message.ExpiresMS = e.Message.CreatedMS + day.Milliseconds()
		for _, user := range []protocol.UserID{"current", "away"} {
			if err := storetest.Append(t.Context(), s, []store.Append{{Owner: at, User: user, Entries: []store.Entry{e}}})[0]; err != nil {
				t.Fatal(err)
			}
		}
		if n%20 == 0 { // the write-behind, once the device has acked
			f := store.Forget{Owner: at, User: "current", Below: protocol.Positions{e.Position, e.Position, e.Position}}
			d := store.DeviceSave{Owner: at, User: "current", Device: store.Device{ID: "phone", LastSeenMS: e.Message.CreatedMS}}
			if errs := append(s.Forget(t.Context(), []store.Forget{f}), s.SaveDevices(t.Context(), []store.DeviceSave{d}, false)...); len(errs) > 0 {
				t.Fatal(errs)
			}
		}
		if passed := time.Since(began); measured == 0 && passed >= day || passed >= days*day {
			last = [2]cost{loadCost(t, s, at, "current"), loadCost(t, s, at, "away")}
			if measured++; measured == 1 {
				first = last
			}
		}
	}
	for i, who := range []string{"current", "away for a day"} {
		t.Logf("device %s: first day %+v, tenth day %+v", who, first[i], last[i])
		// the index leaves a tombstone a slot, until it is compacted
		if most := first[i].rows + first[i].rows/4 + 2*days*slots; last[i].rows > most {
			t.Errorf("device %s: a load meets %d rows on the tenth day, %d on the first", who, last[i].rows, first[i].rows)
		}
	}
	if last[0].entries > 20 || last[1].entries < 20*slots {
		t.Errorf("loaded entries: %d and %d", last[0].entries, last[1].entries)
	}
	if last[0].rows > last[1].rows/2 {
		t.Errorf("a current device costs %d rows, one that was away %d", last[0].rows, last[1].rows)
	}
}

// TestATraceCountsTombstones: what TestReconnectCostsNoMoreAfterTenDays counts is what a read meets, deleted rows among it.
func TestATraceCountsTombstones(t *testing.T) {
	s := openStore(t, place(t, "&timeout=5s"))
	defer s.Close()
	at := store.Owner{Shard: 1, Epoch: 1}
	mustClaim(t, s, at)
	const kept, removed = 3, 20
	save := func(n int, remove bool) {
		t.Helper()
		d := store.DeviceSave{Owner: at, User: "u", Remove: remove, Device: store.Device{ID: protocol.DeviceID(fmt.Sprint("device", n))}}
		if errs := s.SaveDevices(t.Context(), []store.DeviceSave{d}, true); errs != nil {
			t.Fatal(errs)
		}
	}
	for n := range kept + removed {
		save(n, false)
	}
	if c := loadCost(t, s, at, "u"); c.rows != kept+removed || c.tombstones != 0 {
		t.Errorf("%+v, want %d rows and no tombstone", c, kept+removed)
	}
	for n := range removed {
		save(n, true)
	}
	if c := loadCost(t, s, at, "u"); c.rows != kept+removed || c.tombstones != removed {
		t.Errorf("%+v, want %d rows and %d tombstones among them", c, kept+removed, removed)
	}
}

// cost is what a Load has met.
type cost struct{ reads, rows, tombstones, entries int }

func loadCost(t *testing.T, s *Store, at store.Owner, user protocol.UserID) cost {
	t.Helper()
	tr := new(traces)
	s.tracer = tr
	m, err := s.Load(t.Context(), at, user)
	s.tracer = nil
	if err != nil {
		t.Fatal(err)
	}
	c := cost{entries: len(m.Entries)}
	for _, id := range tr.take() {
		live, dead := traced(t, s.session, id)
		c.reads++
		c.rows += live + dead
		c.tombstones += dead
	}
	return c
}

// traces collects the ids of traces.
type traces struct {
	mu  sync.Mutex
	ids [][]byte
}

func (t *traces) Trace(id []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ids = append(t.ids, append([]byte(nil), id...))
}

func (t *traces) take() [][]byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.ids
}

// traced is the rows and tombstones of one request. The server writes a trace down a moment after it has answered: it is whole once it has a
// duration, and no event has come for a while.
func traced(t *testing.T, session *gocql.Session, id []byte) (live, dead int) {
	t.Helper()
	end := time.Now().Add(20 * time.Second)
	for events, quiet := -1, 0; quiet < 4; <-time.After(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("the trace of a read is not whole after 20 s")
		}
		var duration *int
		if err := session.Query("SELECT duration FROM system_traces.sessions WHERE session_id = ?", id).Consistency(gocql.One).Scan(&duration); err != nil || duration == nil {
			continue
		}
		var activity string
		n := 0
		live, dead = 0, 0
		rows := session.Query("SELECT activity FROM system_traces.events WHERE session_id = ?", id).Consistency(gocql.One).Iter()
		for ; rows.Scan(&activity); n++ {
			var l, d int
			if fields, _ := fmt.Sscanf(activity, "Read %d live rows and %d tombstone cells", &l, &d); fields == 2 {
				live, dead = live+l, dead+d
			}
		}
		if err := rows.Close(); err != nil {
			t.Fatal(err)
		}
		if quiet++; n != events {
			events, quiet = n, 0
		}
	}
	return live, dead
}
