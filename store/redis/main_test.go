package redis

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"ramen/internal/testserver"
	"ramen/internal/testserver/redistest"
	"ramen/protocol"
	"ramen/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(testserver.Main(m)) }

var places atomic.Int64

// configOf is of a store of its own on a server.
func configOf(t testing.TB, s *redistest.Server) Config {
	c := Config{
		Mode: Single, Addrs: []string{s.Addr}, Username: s.Options.User, Password: s.Options.Password, TLS: s.TLS(),
		Shards: 1024, IDRetention: time.Minute,
	}
	c.Prefix = fmt.Sprint(strings.NewReplacer("/", "-", "=", "-", " ", "-").Replace(t.Name()), "-", places.Add(1))
	return c
}

func open(t testing.TB, cfg Config) *Store {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	s, err := Open(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// opener opens one place again and again.
func opener(t testing.TB, cfg Config) func() store.Store {
	return func() store.Store { return open(t, cfg) }
}

// at1 owns shard 1, where most tests play.
var at1 = store.Owner{Shard: 1, Epoch: 1}

func position(micros uint64) protocol.Position { return protocol.Position{Epoch: 1, Micros: micros} }

func entry(id string, micros uint64) store.Entry {
	now := time.Now().UnixMilli()
	return store.Entry{Position: position(micros), Message: &protocol.Message{
		ID: protocol.MessageID(id), Type: "test", Priority: protocol.PriorityMedium, Payload: []byte(`{"n":1}`),
		ContentType: protocol.ContentTypeJSON, CreatedMS: now, ExpiresMS: now + 600_000,
	}}
}

func ref(e store.Entry) store.Ref {
	return store.Ref{Priority: e.Message.Priority, Position: e.Position}
}

// step is an append of user u that expects a last position; 0: none.
func step(last uint64, entries ...store.Entry) store.Append {
	a := store.Append{Owner: at1, User: "u", Entries: entries}
	if last != 0 {
		a.Last = position(last)
	}
	return a
}
