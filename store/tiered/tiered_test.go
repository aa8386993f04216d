package tiered

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"ramen/protocol"
	"ramen/store"
	"ramen/store/memory"
	"ramen/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// marked is a truth: a shared memory store, and marks that outlive it.
type marked struct {
	memory.Shared
	*marks
}

// marks are kept as a store would: a later one of a newer owner wins.
type marks struct {
	mu    sync.Mutex
	all   map[protocol.ShardID]store.CacheMark
	epoch map[protocol.ShardID]protocol.Epoch
	fail  error // of the next writes
	reads int
}

func newMarks() *marks {
	return &marks{all: make(map[protocol.ShardID]store.CacheMark), epoch: make(map[protocol.ShardID]protocol.Epoch)}
}

func (m *marks) CacheMarks(_ context.Context, shards []protocol.ShardID) (all []store.CacheMark, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.reads++
	for _, id := range shards {
		all = append(all, m.all[id])
	}
	return all, nil
}

func (m *marks) SetCacheMark(_ context.Context, at store.Owner, mark store.CacheMark) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != nil {
		return m.fail
	}
	if at.Epoch >= m.epoch[at.Shard] {
		m.all[at.Shard], m.epoch[at.Shard] = mark, at.Epoch
	}
	return nil
}

// place is where a tiered store is kept.
type place struct {
	truth, cache *memory.Disk
	marks        *marks
}

func newPlace() *place {
	return &place{memory.NewDisk(memory.Config{Unfenced: true}), memory.NewDisk(memory.Config{CheckLast: true}), newMarks()}
}

// opened is a tiered store on a place, with what it is made of.
type opened struct {
	store.Store
	truth memory.Shared
	cache *lateCache
}

// lateCache is a cache whose next put may arrive after it was answered.
type lateCache struct {
	memory.Shared

	mu     sync.Mutex
	delay  func() bool // whether the next is late; nil: none
	arrive []func()    // guarded by mu
}

// Replace implements store.Replacer.
func (c *lateCache) Replace(ctx context.Context, at store.Owner, user protocol.UserID, last protocol.Position, m store.Mailbox) error {
	if c.delay == nil || !c.delay() {
		return c.Shared.Replace(ctx, at, user, last, m)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.arrive = append(c.arrive, func() { _ = c.Shared.Replace(context.Background(), at, user, last, m) })
	return fmt.Errorf("%w: late", store.ErrUnknown)
}

// arriveAll has what is late arrive.
func (c *lateCache) arriveAll() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, arrive := range c.arrive {
		arrive()
	}
	c.arrive = nil
}

func (p *place) open(t testing.TB) opened {
	o := opened{truth: p.truth.OpenShared(), cache: &lateCache{Shared: p.cache.OpenShared()}}
	cfg := Default(64)
	var err error
	if o.Store, err = New(marked{o.truth, p.marks}, o.cache, cfg); err != nil {
		t.Fatal(err)
	}
	return o
}

func (o opened) tiered() *Store {
	if s, ok := o.Store.(*scanning); ok {
		return s.Store
	}
	return o.Store.(*Store)
}

func TestConformance(t *testing.T) {
	storetest.Run(t, storetest.Config{
		Retention: 5 * time.Minute, Unfenced: true,
		Open: func(t *testing.T) func() store.Store {
			p := newPlace()
			return func() store.Store { return p.open(t).Store }
		},
		Stall: func(t *testing.T) (store.Store, func() func()) {
			o := newPlace().open(t)
			return o.Store, func() func() {
				released := make(chan struct{})
				o.truth.Script(func(ctx context.Context, op memory.Op) memory.Fault {
					if op.Kind != memory.OpAppend {
						return memory.Fault{}
					}
					select {
					case <-released:
						return memory.Fault{}
					case <-ctx.Done():
						return memory.Fault{Err: store.ErrUnknown}
					}
				})
				return func() { close(released) }
			}
		},
	})
}

const (
	inShard = protocol.ShardID(3)
	user    = protocol.UserID("u")
)

var micros uint64

// entry is a message at the next position of an epoch.
func entry(epoch protocol.Epoch) store.Entry {
	micros++
	return store.Entry{Position: protocol.Position{Epoch: epoch, Micros: micros}, Message: &protocol.Message{
		ID: protocol.MessageID(fmt.Sprint("m", micros)), Type: "t", Priority: protocol.PriorityHigh, CreatedMS: time.Now().UnixMilli(),
		ExpiresMS: time.Now().Add(time.Hour).UnixMilli(), Payload: []byte("p")}}
}

func claim(t testing.TB, s store.Store, epoch protocol.Epoch, owner string) {
	t.Helper()
	if err := errors.Join(s.Claim(t.Context(), []protocol.ShardID{inShard}, epoch, owner)...); err != nil {
		t.Fatal(err)
	}
}

func load(t testing.TB, s store.Store, epoch protocol.Epoch) store.Mailbox {
	t.Helper()
	m, err := s.Load(t.Context(), store.Owner{Shard: inShard, Epoch: epoch}, user)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// publish appends a message behind last, and answers its position.
func publish(t testing.TB, s store.Store, epoch protocol.Epoch, last protocol.Position) (protocol.Position, error) {
	t.Helper()
	e := entry(epoch)
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	return e.Position, storetest.Append(ctx, s, []store.Append{{Owner: store.Owner{Shard: inShard, Epoch: epoch}, User: user, Last: last, Entries: []store.Entry{e}}})[0]
}

// trusted opens a place whose shard has a generation, at epoch 1. The mailbox of user is not cached yet.
func trusted(t testing.TB, p *place) opened {
	t.Helper()
	o := p.open(t)
	claim(t, o, 1, "a")
	if _, err := o.Load(t.Context(), store.Owner{Shard: inShard, Epoch: 1}, "somebody else"); err != nil {
		t.Fatal(err)
	}
	await(t, o, stateTrusted)
	return o
}

// inheritedBy wants the next owner to load so many messages, and closes both.
func (o opened) inheritedBy(t testing.TB, p *place, want int) {
	t.Helper()
	next := p.open(t)
	claim(t, next, 2, "next")
	if m := load(t, next, 2); len(m.Entries) != want {
		t.Errorf("%d entries were loaded, want %d", len(m.Entries), want)
	}
	if err := errors.Join(o.Close(), next.Close()); err != nil {
		t.Error(err)
	}
}

// await waits, in virtual time, until the shard's cache is in a state.
func await(t testing.TB, o opened, want state) {
	t.Helper()
	sh := &o.tiered().shards[inShard]
	for range 200 {
		synctest.Wait()
		sh.mu.Lock()
		now := sh.state
		sh.mu.Unlock()
		if now == want {
			return
		}
		time.Sleep(200 * time.Millisecond)
	}
	t.Fatalf("the cache is not %s", stateNames[want])
}

// ids are those of the entries of a mailbox.
func ids(m store.Mailbox) (all []string) {
	for i := range m.Entries {
		all = append(all, string(m.Entries[i].Message.ID))
	}
	slices.Sort(all)
	return all
}

// TestATakeOverLoadsFromTheCache: what the earlier owner wrote is in it, and the truth is not read.
func TestATakeOverLoadsFromTheCache(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace()
		a := trusted(t, p)
		m := load(t, a, 1) // and is cached
		last, err := publish(t, a, 1, m.Last)
		if err != nil {
			t.Fatal(err)
		}
		b := p.open(t)
		b.truth.Script(func(_ context.Context, op memory.Op) memory.Fault {
			if op.Kind == memory.OpLoad {
				t.Error("the truth is read")
			}
			return memory.Fault{}
		})
		claim(t, b, 2, "b")
		if m := load(t, b, 2); len(m.Entries) != 1 || m.Last != last {
			t.Errorf("%+v, want one entry, last %v", m, last)
		}
		// What the earlier owner still writes is refused by the cache: it revokes in vain, since the newer owner's word counts.
		if _, err := publish(t, a, 1, last); err != nil {
			t.Error(err)
		}
		if err := errors.Join(a.Close(), b.Close()); err != nil {
			t.Error(err)
		}
	})
}

// outages are what can become of a cache. Each answers how it heals.
var outages = map[string]func(p *place, o opened){
	"refuses": func(_ *place, o opened) {
		o.cache.Script(func(context.Context, memory.Op) memory.Fault {
			return memory.Fault{Err: errors.New("OOM command not allowed when used memory > 'maxmemory'")}
		})
	},
	"hangs": func(_ *place, o opened) {
		o.cache.Script(func(ctx context.Context, _ memory.Op) memory.Fault {
			<-ctx.Done()
			return memory.Fault{Err: fmt.Errorf("%w: %w", store.ErrUnknown, ctx.Err()), Lost: true}
		})
	},
	"forgets": func(p *place, _ opened) { p.cache.Wipe() },
	"is of another past": func(p *place, _ opened) {
		p.cache.Replica().Promote()
	},
}

// TestNoPublishIsRefusedWithoutTheCache, what was accepted is loaded after a take-over, by an owner who trusts what the mark says, and
// the cache is used again once it is well.
func TestNoPublishIsRefusedWithoutTheCache(t *testing.T) {
	for name, break_ := range outages {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPlace()
				a := trusted(t, p)
				last := load(t, a, 1).Last
				var want []string
				for i := range 6 {
					if i == 2 {
						break_(p, a)
					}
					var err error
					if last, err = publish(t, a, 1, last); err != nil {
						t.Fatalf("publish %d: %v", i, err)
					}
					want = append(want, fmt.Sprint("m", last.Micros))
				}
				slices.Sort(want)
				b := p.open(t) // its cache is well
				claim(t, b, 2, "b")
				if got := ids(load(t, b, 2)); !reflect.DeepEqual(got, want) {
					t.Errorf("loaded %v, accepted were %v", got, want)
				}
				await(t, b, stateTrusted)
				load(t, b, 2)
				c := p.open(t)
				claim(t, c, 3, "c")
				if got := ids(load(t, c, 3)); !reflect.DeepEqual(got, want) {
					t.Errorf("loaded %v from the next generation, accepted were %v", got, want)
				}
				if err := errors.Join(a.Close(), b.Close(), c.Close()); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// TestNothingIsAcceptedWhileTheMarkCannotBeTakenBack: the next owner might trust what the cache has.
func TestNothingIsAcceptedWhileTheMarkCannotBeTakenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace()
		a := trusted(t, p)
		last := load(t, a, 1).Last
		outages["hangs"](p, a)
		p.marks.mu.Lock()
		p.marks.fail = errors.New("no quorum")
		p.marks.mu.Unlock()
		if _, err := publish(t, a, 1, last); !errors.Is(err, store.ErrUnknown) {
			t.Errorf("%v, want ErrUnknown", err)
		}
		p.marks.mu.Lock()
		p.marks.fail = nil
		p.marks.mu.Unlock()
		await(t, a, stateOff)
		if _, err := publish(t, a, 1, last); err != nil {
			t.Error(err)
		}
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	})
}

// waits is how many wait for the mark of the shard to be gone.
func (o opened) waits() int {
	sh := &o.tiered().shards[inShard]
	sh.mu.Lock()
	defer sh.mu.Unlock()
	return len(sh.revoked)
}

// TestWhoWaitsForAMarkIsBounded: by the callers' time, and by number, while the mark cannot be taken back for as long as one likes.
func TestWhoWaitsForAMarkIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace()
		a := trusted(t, p)
		outages["refuses"](p, a)
		p.marks.mu.Lock()
		p.marks.fail = errors.New("no quorum")
		p.marks.mu.Unlock()
		at := store.Owner{Shard: inShard, Epoch: 1}
		for range 3 {
			ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
			began := time.Now()
			var mu sync.Mutex
			atOnce, late := 0, 0
			const more = 10
			for i := range mostWaiting + more {
				a.Append(ctx, []store.Append{{Owner: at, User: protocol.UserID(fmt.Sprint("u", i)), Entries: []store.Entry{entry(1)}}}, func(_ int, err error) {
					mu.Lock()
					defer mu.Unlock()
					if !errors.Is(err, store.ErrUnknown) {
						t.Errorf("%v, want ErrUnknown", err)
					}
					if time.Since(began) == 0 {
						atOnce++
					} else {
						late++
					}
				})
			}
			synctest.Wait()
			if n := a.waits(); n != mostWaiting || atOnce != more {
				t.Errorf("%d wait, want %d; %d were answered at once, want %d", n, mostWaiting, atOnce, more)
			}
			<-ctx.Done()
			synctest.Wait()
			if n := a.waits(); n != 0 || late != mostWaiting {
				t.Errorf("%d wait when their time is over; %d were answered, want %d", n, late, mostWaiting)
			}
			cancel()
		}
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestALargeMailboxIsNotCached: neither when it is read, nor once it has grown; and the generation goes on for all others.
func TestALargeMailboxIsNotCached(t *testing.T) {
	large := func(epoch protocol.Epoch) store.Entry {
		e := entry(epoch)
		e.Message.Payload = make([]byte, Default(1).MailboxBytes*3/4)
		return e
	}
	synctest.Test(t, func(t *testing.T) {
		p := newPlace()
		a := trusted(t, p)
		at := store.Owner{Shard: inShard, Epoch: 1}
		puts := 0
		a.cache.Script(func(_ context.Context, op memory.Op) memory.Fault {
			if op.Kind == memory.OpReplace {
				puts++
			}
			return memory.Fault{}
		})
		do := func(u protocol.UserID, last protocol.Position, e store.Entry) protocol.Position {
			t.Helper()
			if err := storetest.Append(t.Context(), a, []store.Append{{Owner: at, User: u, Last: last, Entries: []store.Entry{e}}})[0]; err != nil {
				t.Fatal(err)
			}
			return e.Position
		}
		// It is large when it is read.
		do("large", do("large", nothingYet, large(1)), large(1))
		if m, err := a.Load(t.Context(), at, "large"); err != nil || len(m.Entries) != 2 {
			t.Fatalf("%d entries, %v", len(m.Entries), err)
		}
		if puts != 0 {
			t.Errorf("a large mailbox was put %d times", puts)
		}
		// It grows once it is cached.
		last := load(t, a, 1).Last
		if puts != 1 {
			t.Fatalf("a small mailbox was put %d times, want once", puts)
		}
		last = do(user, do(user, last, large(1)), large(1))
		trust, ok := a.tiered().shards[inShard].trusted(at)
		if !ok {
			t.Fatal("the generation was revoked")
		}
		if m := load(t, a, 1); len(m.Entries) != 2 || m.Last != last {
			t.Errorf("%d entries, last %v, want 2 and %v", len(m.Entries), m.Last, last)
		}
		synctest.Wait()
		if m, err := a.cache.Load(t.Context(), at, trust.user(user)); err != nil || !m.Last.IsZero() {
			t.Errorf("it is still cached, %d entries; %v", len(m.Entries), err)
		}
		do(user, last, entry(1))
		if m := load(t, a, 1); len(m.Entries) != 3 {
			t.Errorf("%d entries, want 3", len(m.Entries))
		}
		await(t, a, stateTrusted)
		if now, _ := a.tiered().shards[inShard].trusted(at); now != trust {
			t.Error("the generation was revoked")
		}
		a.inheritedBy(t, p, 3)
	})
}

// TestAMailboxThatLacksAWriteIsDropped, whatever has become of it.
func TestAMailboxThatLacksAWriteIsDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace()
		a := trusted(t, p)
		first := load(t, a, 1).Last
		second, err := publish(t, a, 1, first)
		if err != nil {
			t.Fatal(err)
		}
		trust, _ := a.tiered().shards[inShard].trusted(store.Owner{Shard: inShard, Epoch: 1})
		if err := a.cache.Replace(t.Context(), trust.at, trust.user(user), second, store.Mailbox{Last: first}); err != nil {
			t.Fatal(err)
		}
		if _, err := publish(t, a, 1, second); err != nil {
			t.Fatal(err)
		}
		await(t, a, stateTrusted) // for one mailbox
		a.inheritedBy(t, p, 2)
	})
}

// TestAReadThatAnAppendOvertookIsNotCached: it may lack what was appended.
func TestAReadThatAnAppendOvertookIsNotCached(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace()
		a := trusted(t, p)
		overtaken := make(chan struct{})
		var reads int
		a.truth.Script(func(_ context.Context, op memory.Op) memory.Fault {
			if op.Kind == memory.OpLoad {
				reads++
				return memory.Fault{Answer: func() { <-overtaken }}
			}
			return memory.Fault{}
		})
		loaded := make(chan store.Mailbox)
		go func() { loaded <- load(t, a, 1) }()
		synctest.Wait()
		if _, err := publish(t, a, 1, nothingYet); err != nil {
			t.Fatal(err)
		}
		close(overtaken)
		if m := <-loaded; len(m.Entries) != 0 || reads != 1 {
			t.Fatalf("%d entries in %d reads: the append came first", len(m.Entries), reads)
		}
		a.inheritedBy(t, p, 1)
	})
}

// TestAPutThatArrivesLateIsOfARevokedGeneration, or what was appended meanwhile would be missing from what it put.
func TestAPutThatArrivesLateIsOfARevokedGeneration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace()
		a := trusted(t, p)
		a.cache.delay = func() bool { return true }
		if _, err := publish(t, a, 1, load(t, a, 1).Last); err != nil {
			t.Fatal(err)
		}
		a.cache.arriveAll()
		a.inheritedBy(t, p, 1)
	})
}

// TestALoadIsOneForAll: a thousand devices of a user, and one read of the truth; and of users only so many at a time.
func TestALoadIsOneForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlace()
		a := p.open(t)
		claim(t, a, 1, "a")
		var mu sync.Mutex
		var reads, now, most int
		a.truth.Script(func(_ context.Context, op memory.Op) memory.Fault {
			if op.Kind == memory.OpLoad {
				mu.Lock()
				reads, now = reads+1, now+1
				most = max(most, now)
				mu.Unlock()
				time.Sleep(50 * time.Millisecond)
				mu.Lock()
				now--
				mu.Unlock()
			}
			return memory.Fault{}
		})
		var wg sync.WaitGroup
		for i := range 2000 {
			wg.Go(func() {
				if _, err := a.Load(t.Context(), store.Owner{Shard: inShard, Epoch: 1}, protocol.UserID(fmt.Sprint("u", i%200))); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if loads := a.tiered().cfg.Loads; reads != 200 || most > loads {
			t.Errorf("%d reads of 200 users, %d at a time; want 200, at most %d", reads, most, loads)
		}
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestWhatIsAcceptedIsLoaded whatever the cache does: owners that follow each other, writes to the cache that are lost or late, replicas
// that are promoted, marks that cannot be written. What an owner loads is what the truth has, always.
func TestWhatIsAcceptedIsLoaded(t *testing.T) {
	for range 60 {
		seed := rand.Uint64()
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { schedule(t, rand.New(rand.NewPCG(seed, 1))) })
		})
	}
}

// schedule is one random run.
func schedule(t *testing.T, r *rand.Rand) {
	p := newPlace()
	epoch, trouble := protocol.Epoch(0), 0
	faults := rand.New(rand.NewPCG(r.Uint64(), 2)) // guarded by lateMu
	var all []opened
	var late []*memory.Delayed
	var lateMu sync.Mutex
	var replica *memory.Replica
	defer func() {
		for _, o := range all {
			if err := o.Close(); err != nil {
				t.Error(err)
			}
		}
	}()
	take := func() opened {
		epoch++
		o := p.open(t)
		o.cache.Script(func(ctx context.Context, op memory.Op) memory.Fault {
			lateMu.Lock()
			defer lateMu.Unlock()
			if faults.IntN(100) >= trouble {
				return memory.Fault{}
			}
			switch faults.IntN(4) {
			case 0:
				return memory.Fault{Err: errors.New("refused")}
			case 1:
				return memory.Fault{Err: store.ErrUnknown, Lost: true}
			case 2:
				if op.Kind == memory.OpAppend {
					d := &memory.Delayed{}
					late = append(late, d)
					return memory.Fault{Err: store.ErrUnknown, Late: d}
				}
			}
			return memory.Fault{Err: store.ErrUnknown}
		})
		o.cache.delay = func() bool {
			lateMu.Lock()
			defer lateMu.Unlock()
			return faults.IntN(200) < trouble
		}
		claim(t, o, epoch, fmt.Sprint("owner", epoch))
		all = append(all, o)
		return o
	}
	o := take()
	last := load(t, o, epoch).Last
	accepted := map[string]bool{}
	for range 150 {
		switch n := r.IntN(100); {
		case n < 50:
			at, err := publish(t, o, epoch, last)
			if err == nil {
				accepted[fmt.Sprint("m", at.Micros)] = true
			}
			for tries := 0; err != nil && tries < 100; tries++ { // in doubt: the same again, as the gateway does
				e := entryAt(at)
				ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
				err = storetest.Append(ctx, o, []store.Append{{Owner: store.Owner{Shard: inShard, Epoch: epoch}, User: user, Last: last, Entries: []store.Entry{e}}})[0]
				cancel()
				accepted[string(e.Message.ID)] = accepted[string(e.Message.ID)] || err == nil
			}
			if err != nil {
				t.Fatalf("not accepted for ever: %v", err)
			}
			last = at
		case n < 60: // out of memory, and back
			last = loadExactly(t, o, epoch, accepted)
		case n < 70:
			time.Sleep(time.Duration(r.IntN(3000)) * time.Millisecond)
		case n < 76:
			lateMu.Lock()
			trouble = []int{0, 10, 60, 100}[r.IntN(4)]
			lateMu.Unlock()
		case n < 80:
			p.marks.mu.Lock()
			p.marks.fail = nil
			p.marks.mu.Unlock()
		case n < 84:
			replica = p.cache.Replica()
		case n < 87:
			if replica != nil {
				replica.Promote()
				replica = nil
			}
		case n < 88:
			p.cache.Wipe()
			replica = nil
		case n < 92:
			lateMu.Lock()
			for _, d := range late {
				d.Arrive()
			}
			late = nil
			lateMu.Unlock()
			for _, o := range all {
				o.cache.arriveAll() // while nothing is in trouble, the script lets it through
			}
		default:
			o = take()
			last = loadExactly(t, o, epoch, accepted)
		}
	}
}

// loadExactly loads the mailbox, which has what the truth has, and so what was accepted.
func loadExactly(t *testing.T, o opened, epoch protocol.Epoch, accepted map[string]bool) protocol.Position {
	t.Helper()
	got := load(t, o, epoch)
	want, err := o.truth.Load(t.Context(), store.Owner{Shard: inShard, Epoch: epoch}, user)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(ids(got), ids(want)) {
		t.Fatalf("epoch %d loads %d entries, the truth has %d", epoch, len(got.Entries), len(want.Entries))
	}
	has := ids(got)
	for id := range accepted {
		if _, found := slices.BinarySearch(has, id); !found {
			t.Fatalf("epoch %d: %s was accepted, and is not loaded", epoch, id)
		}
	}
	return got.Last
}

// entryAt is the entry that publish has made at a position.
func entryAt(at protocol.Position) store.Entry {
	e := entry(at.Epoch)
	micros--
	e.Position, e.Message.ID = at, protocol.MessageID(fmt.Sprint("m", at.Micros))
	return e
}
