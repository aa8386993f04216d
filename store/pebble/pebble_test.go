package pebble

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.uber.org/goleak"

	"ramen/protocol"
	"ramen/store"
	"ramen/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// testConfig is of a store on fs (nil: of the operating system) in a directory of the test.
func testConfig(t testing.TB, fs vfs.FS) Config {
	cfg := Default()
	cfg.Dir, cfg.FS = "data", fs
	if fs == nil {
		cfg.Dir = t.TempDir()
	}
	cfg.MemTableBytes = minMemTable
	return cfg
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func mustOpen(t testing.TB, cfg Config) *Store {
	t.Helper()
	s, err := Open(cfg, quiet(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// open is a store that ends with the test, with shard 1 claimed at epoch 1.
func open(t testing.TB, cfg Config) *Store {
	t.Helper()
	s := mustOpen(t, cfg)
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	claim(t, s)
	return s
}

var owner = store.Owner{Shard: 1, Epoch: 1}

func claim(t testing.TB, s *Store) {
	t.Helper()
	if err := errors.Join(s.Claim(context.Background(), []protocol.ShardID{1}, 1, "test")...); err != nil {
		t.Fatal(err)
	}
}

// entry is a message of 100 bytes, accepted now.
func entry(id string, p protocol.Priority, micros uint64) store.Entry {
	now := time.Now().UnixMilli()
	return store.Entry{Position: protocol.Position{Epoch: 1, Micros: micros}, Message: &protocol.Message{
		ID: protocol.MessageID(id), Type: "test", Priority: p, Payload: make([]byte, 100),
		ContentType: protocol.ContentTypeJSON, CreatedMS: now, ExpiresMS: now + 60_000,
	}}
}

func appendOne(ctx context.Context, s *Store, user protocol.UserID, e store.Entry) error {
	return storetest.Append(ctx, s, []store.Append{{Owner: owner, User: user, Entries: []store.Entry{e}}})[0]
}

// checkpoint gives the engine all that the journal has.
func checkpoint(t testing.TB, s *Store) {
	t.Helper()
	s.checkpointer.running.Lock()
	defer s.checkpointer.running.Unlock()
	upTo := func(last uint64) {
		t.Helper()
		if last == 0 {
			return
		}
		if err := s.checkpoint(last, s.checkpointer.barrier, s.checkpointer.pause); err != nil {
			t.Fatal(err)
		}
		s.journal.Release(last)
	}
	oldest, _ := s.journal.Oldest()
	upTo(oldest)
	if err := s.journal.Prepare(nil); err != nil {
		t.Fatal(err)
	}
	s.commits.rotate.Store(true)
	if err := s.checkpointer.barrier(); err != nil {
		t.Fatal(err)
	}
	if oldest, _ = s.journal.Oldest(); oldest > 0 {
		upTo(s.journal.Current() - 1)
	}
}

func TestConformance(t *testing.T) {
	t.Run("disk", func(t *testing.T) {
		storetest.Run(t, storetest.Config{
			Retention: Default().IDRetention,
			Open: func(t *testing.T) func() store.Store {
				cfg := testConfig(t, nil)
				return func() store.Store { return mustOpen(t, cfg) }
			},
			Stall: stalled, Exclusive: true,
			Crash: crashed,
		})
	})
	t.Run("memfs", func(t *testing.T) {
		storetest.Run(t, storetest.Config{
			Retention: Default().IDRetention, Exclusive: true,
			Open: func(t *testing.T) func() store.Store {
				cfg := testConfig(t, vfs.NewMem())
				return func() store.Store { return mustOpen(t, cfg) }
			},
		})
	})
}

// crashed is a store on a file system that loses all that is not synced.
func crashed(t *testing.T) (open func() store.Store, crash func() func() store.Store) {
	fs := vfs.NewCrashableMem()
	open = func() store.Store { return mustOpen(t, testConfig(t, fs)) }
	return open, func() func() store.Store {
		left := fs.CrashClone(vfs.CrashCloneCfg{})
		return func() store.Store { return mustOpen(t, testConfig(t, left)) }
	}
}

// stalled is a store whose fsyncs can be held up.
func stalled(t *testing.T) (store.Store, func() func()) {
	fs := &gateFS{FS: vfs.NewMem()}
	return mustOpen(t, testConfig(t, fs)), fs.stall
}
