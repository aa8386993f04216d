package gateway

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"ramen/gateway/mailbox/mailboxtest"
	"ramen/internal/stores"
	"ramen/internal/testserver"
	"ramen/internal/testserver/cassandratest"
	"ramen/internal/testserver/redistest"
	"ramen/protocol"
	"ramen/store"
	storedriver "ramen/store/driver"
	"ramen/store/memory"
)

// TestMailboxAgainstModelOnRealStores is TestMailboxAgainstModel on the stores of the product, and in real time: nothing expires, nothing is
// idle, and what is written lazily or again is so where an act asks for it.
func TestMailboxAgainstModelOnRealStores(t *testing.T) {
	for name, of := range map[string]struct {
		long   bool
		rounds int
		config func(*testing.T) stores.Config
	}{
		"pebble":        {false, 10, func(t *testing.T) stores.Config { return storeAt(t, "pebble:") }},
		"redis":         {false, 5, func(t *testing.T) stores.Config { return storeAt(t, redistest.Shared(t).URL(t)+patient) }},
		"redis-cluster": {true, 10, func(t *testing.T) stores.Config { return storeAt(t, redistest.SharedCluster(t).URL(t)+patient) }},
		"cassandra":     {true, 10, keyspaceOf},
		"tiered": {true, 10, func(t *testing.T) stores.Config {
			c := keyspaceOf(t)
			setURL(t, &c.Cache, redistest.Shared(t).URL(t)+patient)
			return c
		}},
	} {
		t.Run(name, func(t *testing.T) {
			if of.long {
				testserver.Long(t)
			}
			seed, rounds := modelSeed(t, of.rounds)
			s := openReal(t, of.config(t))
			for i := range rounds {
				at := seed + uint64(i)
				data := mailboxtest.RandomData(at, 400, 2400)
				if !t.Run("", func(t *testing.T) { driveRealMailbox(t, s, data) }) {
					t.Fatalf("again with RAMEN_SEED=%d", at)
				}
			}
		})
	}
}

// patient has a store on Redis wait for a busy machine, and not for a server that is gone.
const patient = "&dial_timeout=5s"

func storeAt(t *testing.T, url string) stores.Config {
	t.Helper()
	c := stores.Default()
	setURL(t, &c.URL, url)
	c.Complete(t.TempDir(), testShards, time.Hour)
	return c
}

func setURL(t *testing.T, u *storedriver.URL, text string) {
	t.Helper()
	if err := u.UnmarshalText([]byte(text)); err != nil {
		t.Fatal(err)
	}
}

// keyspaceOf is a store in a keyspace that is new.
func keyspaceOf(t *testing.T) stores.Config {
	t.Helper()
	n := cassandratest.Shared(t)
	c := storeAt(t, n.URL(n.KeyspaceName(t))+"&replication=1&timeout=5s")
	p, err := c.Place()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if _, err := p.Init(ctx, p.Params(realParams(t))); err != nil {
		t.Fatal(err)
	}
	return c
}

func realParams(t *testing.T) storedriver.Params {
	return storedriver.Params{Dir: t.TempDir(), Shards: testShards, IDRetention: time.Hour, Log: slog.New(slog.DiscardHandler)}
}

// openReal opens a store until the end of the test.
func openReal(t *testing.T, c stores.Config) store.Store {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	s, err := c.Open(ctx, realParams(t))
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

func driveRealMailbox(t *testing.T, s store.Store, data []byte) {
	w := &fixture{t: t, cfg: Default(), real: &faultyStore{in: s, user: protocol.UserID(t.Name())}}
	w.cfg.ShardCount, w.cfg.OpensPerSecond, w.cfg.PublishesPerSecond = testShards, 0, 0
	w.cfg.IDRetention = time.Hour
	w.cfg.SaveInterval, w.cfg.MailboxIdle, w.cfg.AckTimeoutTwoWay = 10*time.Hour, 20*time.Hour, 10*time.Hour // acts do it
	w.cfg.AppendTimeout, w.cfg.LoadTimeout = testserver.Patience, testserver.Patience                        // the machine may be busy
	w.start()
	defer func() { _ = w.g.Close(context.Background()) }()
	f := &driver{t: t, w: w, x: mailboxtest.New(time.Now().UnixMilli(), w.cfg.IDRetention),
		live: make(map[string]*recorder), places: make(map[protocol.Position]int)}
	f.drive(data)
	w.stop()
}

// realTime: the acts that let time pass are left out.
func (f *driver) realTime() bool { return f.w.real != nil }

// faultyStore is a store of which one append is answered as fault says, and that can be lost to whoever has opened it. Of its user it tells
// the store another name, so that the store may be the same for many.
type faultyStore struct {
	in     store.Store
	user   protocol.UserID
	fault  atomic.Pointer[memory.Fault] // of the next append; nil: none
	closed *atomic.Bool                 // to who has opened it last
}

// handle is the store as one process has it.
type handle struct {
	store.Store
	s      *faultyStore
	closed *atomic.Bool
}

// Abilities that decide how a gateway treats a store.
type (
	sharedHandle struct {
		*handle
		store.Shared
	}
	replaceableHandle struct {
		*handle
		store.Shared
		of store.Replacer
	}
)

// open is the store for another process.
func (s *faultyStore) open() store.Store {
	s.closed = new(atomic.Bool)
	h := &handle{s.in, s, s.closed}
	shared, shares := s.in.(store.Shared)
	replacer, replaces := s.in.(store.Replacer)
	switch {
	case shares && replaces:
		return &replaceableHandle{h, shared, replacer}
	case shares:
		return &sharedHandle{h, shared}
	}
	return h
}

func (h *handle) Close() error { return nil }

func (h *handle) Load(ctx context.Context, at store.Owner, user protocol.UserID) (store.Mailbox, error) {
	if h.closed.Load() {
		return store.Mailbox{}, store.ErrClosed
	}
	return h.Store.Load(ctx, at, h.s.user)
}

// Append has a batch of one, of the user of the test.
func (h *handle) Append(ctx context.Context, batch []store.Append, answer func(i int, err error)) {
	fault := h.s.fault.Swap(nil)
	switch {
	case h.closed.Load():
		fault = &memory.Fault{Err: store.ErrClosed, Lost: true}
	case fault == nil:
		fault = new(memory.Fault)
	}
	if fault.Err != nil && (fault.Lost || !errors.Is(fault.Err, store.ErrUnknown)) {
		for i := range batch {
			answer(i, fault.Err)
		}
		return
	}
	batch = slices.Clone(batch)
	for i := range batch {
		batch[i].User = h.s.user
	}
	h.Store.Append(ctx, batch, func(i int, err error) {
		if fault.Err != nil && err == nil {
			err = fault.Err
		}
		answer(i, err)
	})
}

func (h *handle) SaveDevices(ctx context.Context, batch []store.DeviceSave, durable bool) []error {
	if h.closed.Load() {
		return errorsOf(len(batch))
	}
	batch = slices.Clone(batch)
	for i := range batch {
		batch[i].User = h.s.user
	}
	return h.Store.SaveDevices(ctx, batch, durable)
}

func (h *handle) Forget(ctx context.Context, batch []store.Forget) []error {
	if h.closed.Load() {
		return errorsOf(len(batch))
	}
	batch = slices.Clone(batch)
	for i := range batch {
		batch[i].User = h.s.user
	}
	return h.Store.Forget(ctx, batch)
}

func (h *replaceableHandle) Replace(ctx context.Context, at store.Owner, user protocol.UserID, last protocol.Position, m store.Mailbox) error {
	if h.closed.Load() {
		return store.ErrClosed
	}
	return h.of.Replace(ctx, at, h.s.user, last, m)
}

func errorsOf(n int) []error {
	errs := make([]error, n)
	for i := range errs {
		errs[i] = store.ErrClosed
	}
	return errs
}
