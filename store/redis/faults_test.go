package redis

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"ramen/internal/testserver"
	"ramen/internal/testserver/redistest"
	"ramen/protocol"
	"ramen/store"
	"ramen/store/storetest"
)

// fixture is a store of one claimed shard on a server, behind a proxy.
type fixture struct {
	*Store
	t      *testing.T
	server *redistest.Server
	proxy  *proxy
	cfg    Config
}

func newFixture(t *testing.T, o redistest.Options, change func(*Config)) *fixture {
	t.Helper()
	f := &fixture{t: t, server: redistest.Single(t, o)}
	f.proxy = startProxy(t, f.server.Addr)
	f.cfg = configOf(t, f.server)
	f.cfg.Addrs = []string{f.proxy.addr()}
	if change != nil {
		change(&f.cfg)
	}
	f.Store = open(t, f.cfg)
	claim(t, f.Store, 1, "first", 1)
	return f
}

func claim(t testing.TB, s *Store, epoch protocol.Epoch, owner string, shards ...protocol.ShardID) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := errors.Join(s.Claim(ctx, shards, epoch, owner)...); err != nil {
		t.Fatal(err)
	}
}

func (f *fixture) append(within time.Duration, a store.Append) error {
	ctx, cancel := context.WithTimeout(f.t.Context(), within)
	defer cancel()
	return storetest.Append(ctx, f, []store.Append{a})[0]
}

func (f *fixture) mustAppend(a store.Append) {
	f.t.Helper()
	if err := f.append(5*time.Second, a); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) load() store.Mailbox {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(f.t.Context(), 5*time.Second)
	defer cancel()
	m, err := f.Load(ctx, at1, "u")
	if err != nil {
		f.t.Fatal(err)
	}
	return m
}

func wantErr(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("%s: %v, want %v", what, err, want)
	}
}

// wantLast wants an append to be refused because the store has another last position.
func wantLast(t *testing.T, err error, last protocol.Position) {
	t.Helper()
	var other *store.LastError
	if !errors.As(err, &other) || other.Last != last {
		t.Fatalf("%v, want a LastError of %+v", err, last)
	}
}

const soon = 60 * time.Millisecond // the deadline of what is to fail

// TestLateScriptChangesNothing: an append that timed out arrives at the server behind appends that followed it.
func TestLateScriptChangesNothing(t *testing.T) {
	a, b, c := entry("a", 1), entry("b", 2), entry("c", 3)
	first := entry("first", 1)
	for _, x := range []struct {
		name   string
		before []store.Entry // stored before
		late   store.Append
		then   []store.Append
		want   []string
	}{
		{"BehindTheSameAgain", nil, step(0, a), []store.Append{step(0, a, b)}, []string{"a", "b"}},
		{"BehindTheSameAgainWithALast", []store.Entry{first}, step(1, b), []store.Append{step(1, b, c)}, []string{"first", "b", "c"}},
		{"BehindWhatHasKilledIt", nil, step(0, a), []store.Append{killing(step(0, a, b), a), killing(step(2, c), b)}, []string{"c"}},
		{"BehindWhatHasKilledItWithALast", []store.Entry{first}, step(1, b), []store.Append{killing(step(1, b, c), b)}, []string{"first", "c"}},
		{"BehindItsKillAlone", []store.Entry{first}, step(1, b), []store.Append{step(1, b), killing(step(2), b)}, []string{"first"}},
		{"BehindATakeOver", nil, step(0, a), nil, nil},
	} {
		t.Run(x.name, func(t *testing.T) {
			f := newFixture(t, redistest.Options{}, nil)
			if len(x.before) > 0 {
				f.mustAppend(step(0, x.before...))
			}
			arrive := f.proxy.hold(t)
			wantErr(t, "late append", f.append(soon, x.late), store.ErrUnknown)
			at := at1
			if x.then == nil {
				at.Epoch = 2
				claim(t, f.Store, 2, "second", 1)
			}
			for _, next := range x.then {
				f.mustAppend(next)
			}
			arrive()
			awaitScripts(t, f, int64(len(x.before)+len(x.then)+1))
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			m, err := f.Load(ctx, at, "u")
			if err != nil {
				t.Fatal(err)
			}
			wantIDs(t, m, x.want...)
		})
	}
}

func killing(a store.Append, entries ...store.Entry) store.Append {
	for _, e := range entries {
		a.Kills = append(a.Kills, ref(e))
	}
	return a
}

// awaitScripts waits until the server has run so many scripts beside a claim, those included that did nothing.
func awaitScripts(t *testing.T, f *fixture, n int64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testserver.Patience)
	defer cancel()
	c := f.server.Client(t)
	if err := testserver.Await(ctx, func() error {
		calls, err := scriptCalls(ctx, c)
		if err == nil && calls < n {
			err = fmt.Errorf("%d calls of %d", calls, n)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

// scriptCalls is how many scripts a server has run beside a claim.
func scriptCalls(ctx context.Context, c *goredis.Client) (calls int64, err error) {
	text, err := c.Info(ctx, "commandstats").Result()
	if err != nil {
		return 0, err
	}
	_, _ = fmt.Sscanf(parseInfo(text)["cmdstat_evalsha"], "calls=%d", &calls)
	return calls - 1, nil
}

// TestServerStoppedAndContinued: what timed out while the server was stopped runs when it goes on, in any order with what was written
// again, and happens once.
func TestServerStoppedAndContinued(t *testing.T) {
	f := newFixture(t, redistest.Options{}, nil)
	p := newPublisher(f.Store, 1, "u")
	for range 5 {
		p.settle(t)
		f.server.Pause(t)
		for range 3 {
			if p.publish(t.Context(), soon) == nil { // unknown, or not sent for want of a connection
				t.Fatal("accepted by a server that is stopped")
			}
		}
		again := make(chan error, 1)
		go func() { again <- p.publish(t.Context(), 10*time.Second) }()
		f.server.Continue(t)
		if err := <-again; err != nil {
			t.Fatal(err)
		}
	}
	p.settle(t)
	p.check(t, f.Store, at1)
	if p.unknown == 0 {
		t.Fatal("no outcome was unknown")
	}
}

// TestWhatIsInFlightIsBounded: beyond the bound appends are refused at once, and what was held for the stopped server is let go.
func TestWhatIsInFlightIsBounded(t *testing.T) {
	const most = 100
	f := newFixture(t, redistest.Options{}, func(c *Config) { c.MaxInFlight = most })
	f.server.Pause(t)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	batch := make([]store.Append, 3*most)
	for i := range batch {
		batch[i] = step(0, entry("a", 1))
		batch[i].User = protocol.UserID(fmt.Sprint("u", i))
	}
	var busy, unknown, late int
	for _, err := range storetest.Append(ctx, f, batch) {
		switch {
		case errors.Is(err, ErrBusy):
			busy++
		case errors.Is(err, store.ErrUnknown):
			unknown++
		case errors.Is(err, context.DeadlineExceeded): // it was never sent
			late++
		default:
			t.Fatal(err)
		}
	}
	if busy != 2*most || unknown == 0 || unknown+late != most {
		t.Fatalf("%d busy, %d unknown, %d late", busy, unknown, late)
	}
	f.server.Continue(t)
	f.mustAppend(step(0, entry("a", 1)))
	if n, bytes := f.metrics.inFlight.Load(), f.metrics.inFlightBytes.Load(); n != 0 || bytes != 0 {
		t.Fatalf("%d calls and %d bytes in flight", n, bytes)
	}
}

// TestOutcomesAreKnownOrUnknown: what certainly did nothing is not unknown, and what may have done something is.
func TestOutcomesAreKnownOrUnknown(t *testing.T) {
	definite := func(t *testing.T, err error) {
		t.Helper()
		if err == nil || errors.Is(err, store.ErrUnknown) {
			t.Fatalf("%v, want an error that is not ErrUnknown", err)
		}
	}
	t.Run("NobodyListens", func(t *testing.T) {
		f := newFixture(t, redistest.Options{}, nil)
		f.server.Kill(t)
		f.proxy.turn("127.0.0.1:1")
		_ = f.append(time.Second, step(0, entry("a", 1))) // by a connection of which nobody knows yet that it is gone
		definite(t, f.append(time.Second, step(0, entry("a", 1))))
	})
	t.Run("NoAnswerToTheHandshake", func(t *testing.T) {
		f := newFixture(t, redistest.Options{}, nil)
		f.proxy.cut()
		f.server.Pause(t)
		defer f.server.Continue(t)
		definite(t, f.append(200*time.Millisecond, step(0, entry("a", 1))))
	})
	t.Run("CutAfterTheWrite", func(t *testing.T) {
		f := newFixture(t, redistest.Options{}, nil)
		release := f.proxy.hold(t)
		answer := make(chan error, 1)
		go func() { answer <- f.append(5*time.Second, step(0, entry("a", 1))) }()
		for f.metrics.inFlight.Load() == 0 {
			time.Sleep(time.Millisecond)
		}
		for len(answer) == 0 { // until it is under way
			time.Sleep(time.Millisecond)
			f.proxy.cut()
		}
		wantErr(t, "append", <-answer, store.ErrUnknown)
		release()
	})
	t.Run("TimeOut", func(t *testing.T) {
		f := newFixture(t, redistest.Options{}, nil)
		f.proxy.hold(t)
		wantErr(t, "append", f.append(soon, step(0, entry("a", 1))), store.ErrUnknown)
	})
	t.Run("ReadOnlyReplica", func(t *testing.T) {
		f := newFixture(t, redistest.Options{}, nil)
		if err := f.server.Client(t).ReplicaOf(t.Context(), "127.0.0.1", "1").Err(); err != nil {
			t.Fatal(err)
		}
		err := f.append(200*time.Millisecond, step(0, entry("a", 1)))
		for n := 0; errors.Is(err, store.ErrUnknown) && n < 20; n++ { // the deadline passed while an attempt was under way
			err = f.append(200*time.Millisecond, step(0, entry("a", 1)))
		}
		definite(t, err)
	})
	t.Run("NoScript", func(t *testing.T) {
		f := newFixture(t, redistest.Options{}, nil)
		if err := f.server.Client(t).ScriptFlush(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
		f.mustAppend(step(0, entry("a", 1))) // it is loaded again
		wantIDs(t, f.load(), "a")
	})
}

// TestOutOfMemory is a definite error that says so, and what frees memory is taken.
func TestOutOfMemory(t *testing.T) {
	for _, kind := range redistest.Kinds {
		t.Run(string(kind), func(t *testing.T) {
			f := newFixture(t, redistest.Options{Kind: kind}, nil)
			a, b := entry("a", 1), entry("b", 2)
			f.mustAppend(step(0, a, b))
			c := f.server.Client(t)
			if err := c.ConfigSet(t.Context(), "maxmemory", "1").Err(); err != nil {
				t.Fatal(err)
			}
			err := f.append(time.Second, killing(step(2, entry("c", 3)), a))
			wantErr(t, "append", err, ErrOutOfMemory)
			if errors.Is(err, store.ErrUnknown) {
				t.Fatalf("%v is unknown", err)
			}
			wantIDs(t, f.load(), "a", "b")
			f.mustAppend(killing(step(2), a))
			if err := errors.Join(f.Forget(t.Context(), []store.Forget{{Owner: at1, User: "u", Refs: []store.Ref{ref(b)}}})...); err != nil {
				t.Fatal(err)
			}
			wantIDs(t, f.load())
			await := func(refused bool) {
				t.Helper()
				ctx, cancel := context.WithTimeout(t.Context(), testserver.Patience)
				defer cancel()
				if err := testserver.Await(ctx, func() error {
					if err := f.Ready(); errors.Is(err, ErrOutOfMemory) != refused {
						return fmt.Errorf("ready: %v", err)
					}
					return nil
				}); err != nil {
					t.Fatal(err)
				}
			}
			await(true)
			if err := c.ConfigSet(t.Context(), "maxmemory", "0").Err(); err != nil {
				t.Fatal(err)
			}
			await(false)
			f.mustAppend(step(2, entry("c", 3)))
			wantIDs(t, f.load(), "c")
		})
	}
}

// TestFlushAll between an append and what follows: the owner finds out, and gives back what it has.
func TestFlushAll(t *testing.T) {
	flush := func(t *testing.T, f *fixture) {
		t.Helper()
		if err := f.server.Client(t).FlushAll(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
	}
	t.Run("OwnerGoesOn", func(t *testing.T) {
		f := newFixture(t, redistest.Options{}, nil)
		identity := f.Identity()
		p := newPublisher(f.Store, 1, "u")
		p.settle(t)
		p.settle(t)
		flush(t, f)
		wantErr(t, "publish", p.publish(t.Context(), time.Second), store.ErrFenced) // claims again
		wantLast(t, p.publish(t.Context(), time.Second), protocol.Position{})       // gives back what it has
		p.settle(t)
		p.check(t, f.Store, at1)
		if p.replaced != 1 {
			t.Fatalf("replaced %d times", p.replaced)
		}
		next := open(t, f.cfg) // takes over
		if next.Identity() != identity {
			t.Fatal("the identity is another")
		}
		claim(t, next, 2, "second", 1)
		p.check(t, next, store.Owner{Shard: 1, Epoch: 2})
	})
	t.Run("IdleShardIsToldByItsHistory", func(t *testing.T) {
		f := newFixture(t, redistest.Options{}, nil)
		f.mustAppend(step(0, entry("a", 1)))
		history := func() store.Claimed {
			t.Helper()
			all, errs := f.Claims(t.Context(), []protocol.ShardID{1})
			if errs != nil {
				t.Fatal(errs)
			}
			return all[0]
		}
		before := history()
		flush(t, f)
		if c := history(); c.Epoch != 0 {
			t.Fatalf("claimed %+v", c)
		}
		claim(t, f.Store, 1, "first", 1)
		after := history()
		if after.History == before.History || after.Epoch != 1 {
			t.Fatalf("claimed %+v, before %+v", after, before)
		}
		claim(t, f.Store, 1, "first", 1)
		if again := history(); again != after {
			t.Fatalf("claimed %+v, and before %+v", again, after)
		}
		wantLast(t, f.append(time.Second, step(1)), protocol.Position{})
	})
	t.Run("LateScriptFromBeforeIt", func(t *testing.T) {
		f := newFixture(t, redistest.Options{}, nil)
		arrive := f.proxy.hold(t)
		a, b := entry("a", 1), entry("b", 2)
		wantErr(t, "late append", f.append(soon, step(0, a)), store.ErrUnknown)
		f.mustAppend(killing(step(0, a, b), a))
		flush(t, f)
		claim(t, f.Store, 1, "first", 1)
		arrive() // the mailbox is as new as it was then
		awaitScripts(t, f, 3)
		wantIDs(t, f.load())
	})
	t.Run("IdentityIsWrittenBack", func(t *testing.T) {
		f := newFixture(t, redistest.Options{}, nil)
		flush(t, f)
		ctx, cancel := context.WithTimeout(t.Context(), testserver.Patience)
		defer cancel()
		c := f.server.Client(t)
		if err := testserver.Await(ctx, func() error { return c.Get(ctx, identityKey(f.cfg.Prefix)).Err() }); err != nil {
			t.Fatal(err)
		}
		if next := open(t, f.cfg); next.Identity() != f.Identity() {
			t.Fatal("the identity is another")
		}
	})
}

// TestEvictionLeavesNoHalfMailbox: a mailbox that was evicted is gone, and the owner's next append finds that out.
func TestEvictionLeavesNoHalfMailbox(t *testing.T) {
	f := newFixture(t, redistest.Options{}, nil)
	const users = 300
	all := make([]*publisher, users)
	for i := range all {
		all[i] = newPublisher(f.Store, 1, fmt.Sprint("u", i))
		for range 3 {
			all[i].settle(t)
		}
	}
	c := f.server.Client(t)
	used := parseInfo(c.Info(t.Context(), "memory").Val()).int("used_memory")
	for key, value := range map[string]string{"maxmemory-policy": "volatile-random", "maxmemory": fmt.Sprint(used - 100_000)} {
		if err := c.ConfigSet(t.Context(), key, value).Err(); err != nil {
			t.Fatal(err)
		}
	}
	for i := 0; c.Info(t.Context(), "stats").Val() != "" && parseInfo(c.Info(t.Context(), "stats").Val()).int("evicted_keys") < 50; i++ {
		c.Set(t.Context(), fmt.Sprint("x", i), make([]byte, 1000), 0)
	}
	if err := c.ConfigSet(t.Context(), "maxmemory", "0").Err(); err != nil {
		t.Fatal(err)
	}
	claim(t, f.Store, 1, "first", 1)
	gone := 0
	for _, p := range all {
		m, err := f.Load(t.Context(), at1, p.user)
		if err != nil {
			t.Fatal(err)
		}
		if len(m.Entries) == 0 && len(m.Seen) == 0 && m.Last.IsZero() {
			gone++
		} else {
			p.check(t, f.Store, at1)
		}
		p.settle(t)
		p.check(t, f.Store, at1)
	}
	if gone == 0 || gone == users {
		t.Fatalf("%d of %d mailboxes were evicted", gone, users)
	}
}

// TestAllKeysExpire by themselves, a mailbox not before what is in it.
func TestAllKeysExpire(t *testing.T) {
	f := newFixture(t, redistest.Options{}, nil)
	long := entry("long", 1)
	long.Message.ExpiresMS = time.Now().Add(20 * time.Hour).UnixMilli()
	long.Position = position(2)
	f.mustAppend(step(0, entry("short", 1)))
	f.mustAppend(step(1, long))
	f.mustAppend(step(2, entry("short again", 3)))
	c := f.server.Client(t)
	ttl := func(key string) time.Duration { return c.PTTL(t.Context(), key).Val() }
	box := f.keys[1].mailbox + "u"
	if d := ttl(box); d < 20*time.Hour || d > 20*time.Hour+5*time.Minute {
		t.Fatalf("the mailbox lives for %v", d)
	}
	save := store.DeviceSave{Owner: at1, User: "u", Device: store.Device{ID: "d", LastSeenMS: time.Now().UnixMilli()}}
	if err := errors.Join(f.SaveDevices(t.Context(), []store.DeviceSave{save}, true)...); err != nil {
		t.Fatal(err)
	}
	if d := ttl(box); d < f.cfg.DeviceTTL || d > f.Store.cfg.DeviceTTL+5*time.Minute {
		t.Fatalf("the mailbox lives for %v", d)
	}
	if err := f.Renew(t.Context(), "first", time.Minute); err != nil {
		t.Fatal(err)
	}
	keys := c.Keys(t.Context(), "*").Val()
	if len(keys) < 6 {
		t.Fatalf("keys %q", keys)
	}
	for _, key := range keys {
		if d := ttl(key); d <= 0 {
			t.Errorf("key %q lives for %v", key, d)
		}
	}
}

// TestKilledAndRestarted: with appendfsync always what was accepted is there, and the history is another.
func TestKilledAndRestarted(t *testing.T) {
	f := newFixture(t, redistest.Options{Config: redistest.Config{"appendonly": "yes", "appendfsync": "always"}}, func(c *Config) { c.Durability = Fsync })
	p := newPublisher(f.Store, 1, "u")
	for range 3 {
		for range 20 {
			p.settle(t)
		}
		before, errs := f.Claims(t.Context(), []protocol.ShardID{1})
		if errs != nil {
			t.Fatal(errs)
		}
		f.server.Kill(t)
		if p.publish(t.Context(), soon) == nil {
			t.Fatal("accepted by nobody")
		}
		f.server.Start(t)
		p.settle(t)
		p.check(t, f.Store, at1)
		if after, errs := f.Claims(t.Context(), []protocol.ShardID{1}); errs != nil || after[0].History == before[0].History {
			t.Fatalf("claims %+v, before %+v: %v", after, before, errs)
		}
	}
	if p.replaced != 0 {
		t.Fatalf("replaced %d times", p.replaced)
	}
}

// TestManyUsersThroughCuts: publishers of many users while all connections are cut again and again.
func TestManyUsersThroughCuts(t *testing.T) {
	f := newFixture(t, redistest.Options{}, nil)
	all := make([]*publisher, 20)
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	for i := range all {
		p := newPublisher(f.Store, 1, fmt.Sprint("u", i))
		all[i] = p
		running.Go(func() {
			for ctx.Err() == nil {
				_ = p.publish(context.WithoutCancel(ctx), 500*time.Millisecond)
			}
		})
	}
	for range 30 {
		before := f.metrics.inFlight.Load()
		time.Sleep(time.Duration(before%7+3) * time.Millisecond)
		f.proxy.cut()
	}
	cancel()
	running.Wait()
	unknown := 0
	for _, p := range all {
		p.settle(t)
		p.check(t, f.Store, at1)
		unknown += p.unknown
	}
	if unknown == 0 {
		t.Error("no outcome was unknown: nothing was cut in time")
	}
}

// TestLateSaveChangesNoNewerRecord: a device's record that was written again since stays, and one that was removed since stays away, until it
// is written anew.
func TestLateSaveChangesNoNewerRecord(t *testing.T) {
	f := newFixture(t, redistest.Options{}, nil)
	save := func(within time.Duration, id protocol.DeviceID, expired uint32, remove bool) error {
		ctx, cancel := context.WithTimeout(t.Context(), within)
		defer cancel()
		return errors.Join(f.SaveDevices(ctx, []store.DeviceSave{{Owner: at1, User: "u", Remove: remove,
			Device: store.Device{ID: id, Expired: expired, LastSeenMS: time.Now().UnixMilli()}}}, false)...)
	}
	arrive := f.proxy.hold(t)
	wantErr(t, "late save", save(soon, "d", 1, false), store.ErrUnknown)
	if err := errors.Join(save(time.Second, "d", 2, false), save(time.Second, "e", 3, false)); err != nil {
		t.Fatal(err)
	}
	arrive()
	awaitScripts(t, f, 3)
	arrive = f.proxy.hold(t)
	wantErr(t, "late removal", save(soon, "e", 0, true), store.ErrUnknown)
	if err := save(time.Second, "e", 4, false); err != nil {
		t.Fatal(err)
	}
	arrive()
	awaitScripts(t, f, 5)
	arrive = f.proxy.hold(t)
	wantErr(t, "late save", save(soon, "g", 5, false), store.ErrUnknown)
	if err := save(time.Second, "g", 0, true); err != nil {
		t.Fatal(err)
	}
	arrive()
	awaitScripts(t, f, 7)
	m := f.load()
	if len(m.Devices) != 2 || m.Devices[0].Expired != 2 || m.Devices[1].Expired != 4 {
		t.Fatalf("devices %+v", m.Devices)
	}
	if err := save(time.Second, "g", 6, false); err != nil {
		t.Fatal(err)
	}
	if m := f.load(); len(m.Devices) != 3 || m.Devices[2].Expired != 6 {
		t.Fatalf("devices %+v", m.Devices)
	}
}
