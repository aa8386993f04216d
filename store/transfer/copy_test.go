package transfer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.uber.org/goleak"

	"ramen/internal/testserver"
	"ramen/protocol"
	"ramen/store"
	"ramen/store/memory"
	"ramen/store/pebble"
	"ramen/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(testserver.Main(m)) }

const (
	shards    = 8
	retention = 5 * time.Minute
)

// kind is a kind of store: make makes an empty place, and answers what opens it.
type kind struct {
	name string
	make func() (open func() (store.Store, error))
}

func kinds() []kind {
	return []kind{
		{"memory", func() func() (store.Store, error) {
			d := memory.NewDisk(memory.Config{CheckLast: true})
			return func() (store.Store, error) { return d.Open(), nil }
		}},
		{"shared", func() func() (store.Store, error) {
			d := memory.NewDisk(memory.Config{CheckLast: true})
			return func() (store.Store, error) { return d.OpenShared(), nil }
		}},
		{"pebble", func() func() (store.Store, error) {
			cfg := pebble.Default()
			cfg.FS, cfg.Dir, cfg.Shards, cfg.MemTableBytes, cfg.CacheBytes = vfs.NewMem(), "data", shards, 256<<10, 0
			return func() (store.Store, error) { return pebble.Open(cfg, slog.New(slog.DiscardHandler), nil) }
		}},
	}
}

func opened(t *testing.T, open func() (store.Store, error)) store.Store {
	t.Helper()
	s, err := open()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func closed(t *testing.T, s store.Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func random(t *testing.T) *rand.Rand {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

func claim(t *testing.T, s store.Store, epoch protocol.Epoch, owner string) {
	t.Helper()
	all := make([]protocol.ShardID, shards)
	for i := range all {
		all[i] = protocol.ShardID(i)
	}
	if err := errors.Join(s.Claim(t.Context(), all, epoch, owner)...); err != nil {
		t.Fatal(err)
	}
}

// fill gives users to a store, as a server at this epoch would: with all that a mailbox may have, and with only some of it.
func fill(t *testing.T, s store.Store, r *rand.Rand, epoch protocol.Epoch, names string, users int) {
	t.Helper()
	claim(t, s, epoch, "self")
	now := time.Now().UnixMilli()
	for i := range users {
		at := store.Owner{Shard: protocol.ShardID(i % shards), Epoch: epoch}
		user := protocol.UserID(fmt.Sprintf("%s-%d", names, i))
		var steps []store.Append
		last := store.Append{Owner: at, User: user}
		micros := uint64(1000)
		for n := range r.IntN(12) * r.IntN(12) {
			micros += 1 + r.Uint64N(5)
			e := someEntry(r, fmt.Sprintf("%s-%d-%d", user, epoch, n), protocol.Position{Epoch: epoch, Micros: micros}, now)
			last.Entries = append(last.Entries, e)
			if r.IntN(3) == 0 { // it is gone, and its id is not
				last.Kills = append(last.Kills, refOf(&e))
			}
			if r.IntN(2) == 0 {
				steps, last = append(steps, last), store.Append{Owner: at, User: user}
			}
		}
		for _, step := range append(steps, last) {
			if err := errors.Join(storetest.Append(t.Context(), s, []store.Append{step})...); err != nil {
				t.Fatal(err)
			}
		}
		for n := range r.IntN(3) {
			if err := errors.Join(s.SaveDevices(t.Context(), []store.DeviceSave{{Owner: at, User: user, Device: someDevice(r, n, epoch, micros, now)}}, true)...); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func someEntry(r *rand.Rand, id string, at protocol.Position, now int64) store.Entry {
	e := store.Entry{Position: at, Message: &protocol.Message{
		ID: protocol.MessageID(id), Type: "test", Priority: protocol.LanePriority(r.IntN(protocol.Lanes)), ContentType: protocol.ContentTypeJSON,
		Payload: []byte(strings.Repeat("x", 1+r.IntN(3000))), CreatedMS: now - r.Int64N(60_000), ExpiresMS: now + 600_000,
	}}
	if r.IntN(4) == 0 {
		e.Device, e.Message.Headers = "phone", map[string]string{"a": "b"}
	}
	if r.IntN(4) == 0 {
		e.Where, e.Message.CollapseKey, e.Message.ContentType = map[string]string{"os": "ios"}, "key", "text/plain"
	}
	return e
}

func someDevice(r *rand.Rand, n int, epoch protocol.Epoch, micros uint64, now int64) store.Device {
	d := store.Device{ID: protocol.DeviceID(fmt.Sprintf("device-%d", n)), Expired: r.Uint32N(3), Greeted: true, Live: r.IntN(2) == 0, LastSeenMS: now - r.Int64N(1000)}
	d.Acked = protocol.Cursor{Seq: protocol.Seq(r.IntN(50))}
	for i := range d.Acked.At {
		d.Acked.At[i] = protocol.Position{Epoch: epoch, Micros: 1000 + r.Uint64N(micros)}
	}
	d.Pushed = d.Acked
	if r.IntN(2) == 0 {
		d.Context = &protocol.DeviceContext{OS: "ios", Labels: map[string]string{"beta": "yes"}}
	}
	return d
}

// contents is all of a store, read at an epoch that is claimed for it.
func contents(t *testing.T, s store.Store, epoch protocol.Epoch) map[store.ShardUser]store.Mailbox {
	t.Helper()
	claim(t, s, epoch, "test")
	all := make(map[store.ShardUser]store.Mailbox)
	for page, first := "", true; first || page != ""; first = false {
		users, next, err := s.(store.Enumerator).Users(t.Context(), page, 100)
		if err != nil {
			t.Fatal(err)
		}
		for _, u := range users {
			m, err := s.Load(t.Context(), store.Owner{Shard: u.Shard, Epoch: epoch}, u.User)
			if err != nil {
				t.Fatal(err)
			}
			m.Last = protocol.Position{} // some stores have none
			slices.SortFunc(m.Seen, func(a, b store.Seen) int { return strings.Compare(string(a.ID), string(b.ID)) })
			if len(m.Entries)+len(m.Devices)+len(m.Seen) > 0 {
				all[u] = m
			}
		}
		page = next
	}
	return all
}

// wantSame compares every message, device record and id of two stores.
func wantSame(t *testing.T, got, want map[store.ShardUser]store.Mailbox) {
	t.Helper()
	for u, w := range want {
		g := got[u]
		if !reflect.DeepEqual(g.Entries, w.Entries) {
			t.Errorf("%v has %d entries, not the %d of the source", u, len(g.Entries), len(w.Entries))
		}
		if !reflect.DeepEqual(g.Devices, w.Devices) {
			t.Errorf("%v has the devices %+v, not %+v", u, g.Devices, w.Devices)
		}
		if !remembers(g.Seen, w.Seen) {
			t.Errorf("%v has the ids %v, not %v", u, g.Seen, w.Seen)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d users, not %d", len(got), len(want))
	}
}

// remembers reports whether got has the ids of want, each for at least as long: Cassandra remembers one from when it was written.
func remembers(got, want []store.Seen) bool {
	return slices.EqualFunc(got, want, func(g, w store.Seen) bool { return g.ID == w.ID && g.AcceptedMS >= w.AcceptedMS })
}

func size(all map[store.ShardUser]store.Mailbox) (messages, devices, ids int64) {
	for m := range maps.Values(all) {
		messages, devices, ids = messages+int64(len(m.Entries)), devices+int64(len(m.Devices)), ids+int64(len(m.Seen))
	}
	return messages, devices, ids
}

// TestEverythingThatLivesIsMoved from every kind of store to every other: each message at its position, each device at its cursor, each
// id; and the identity, by which devices' cursors are honoured.
func TestEverythingThatLivesIsMoved(t *testing.T) {
	for _, a := range kinds() {
		for _, b := range kinds() {
			t.Run(a.name+" to "+b.name, func(t *testing.T) {
				r := random(t)
				openFrom, openTo := a.make(), b.make()
				from, to := opened(t, openFrom), opened(t, openTo)
				fill(t, from, r, 3, "user", 200)
				was := from.Identity()
				var count Count
				got, err := Copy(t.Context(), Config{From: from, To: to, Shards: shards, Retention: retention, Count: &count})
				if err != nil {
					t.Fatal(err)
				}
				if got.Epoch != 4 || !got.Cursors || got.Expired != 0 || count.Users.Load() != got.Users || *count.Phase.Load() != "comparing" {
					t.Errorf("%+v", got)
				}
				if last, err := to.LastEpoch(t.Context()); err != nil || last != 4 { // the next server takes the one above
					t.Errorf("the target's epoch is %d, %v", last, err)
				}
				closed(t, to) // it is to be on the disk
				to = opened(t, openTo)
				want := contents(t, from, 5)
				wantSame(t, contents(t, to, 5), want)
				if m, d, i := size(want); m == 0 || d == 0 || i == m || got.Messages != m || got.Devices != d || got.IDs != i {
					t.Errorf("%+v of %d messages, %d devices, %d ids", got, m, d, i)
				}
				if to.Identity() != was {
					t.Errorf("identity %+v, not %+v", to.Identity(), was)
				}
				closed(t, from)
				from = opened(t, openFrom)
				if a.name == "pebble" && from.Identity().Generation == was.Generation {
					t.Error("the source honours cursors of the target")
				}
				closed(t, from)
				closed(t, to)
			})
		}
	}
}

// cut ends a copy after so many writes of the target, in their midst.
type cut struct {
	store.Store
	left atomic.Int64
	end  context.CancelFunc
}

var errCut = errors.New("cut off")

func (c *cut) over() bool {
	if c.left.Add(-1) > 0 {
		return false
	}
	c.end()
	return true
}

func (c *cut) Append(ctx context.Context, batch []store.Append, answer func(int, error)) {
	if c.over() {
		for i := range batch {
			answer(i, errCut)
		}
		return
	}
	c.Store.Append(ctx, batch, answer)
}

func (c *cut) SaveDevices(ctx context.Context, batch []store.DeviceSave, durable bool) []error {
	if c.over() {
		return slices.Repeat([]error{errCut}, len(batch))
	}
	return c.Store.SaveDevices(ctx, batch, durable)
}

func (c *cut) Users(ctx context.Context, page string, limit int) ([]store.ShardUser, string, error) {
	return c.Store.(store.Enumerator).Users(ctx, page, limit)
}

func (c *cut) Adopt(ctx context.Context, id store.Identity) error {
	return c.Store.(store.Adopter).Adopt(ctx, id)
}

// TestACopyThatIsCutOffGoesOn wherever it was cut off, with what is there; in between the source is served again, and changes.
func TestACopyThatIsCutOffGoesOn(t *testing.T) {
	for _, k := range kinds() {
		if k.name == "shared" {
			continue // it takes a user as a whole
		}
		t.Run(k.name, func(t *testing.T) {
			r := random(t)
			openFrom, openTo := kinds()[0].make(), k.make()
			from := opened(t, openFrom)
			fill(t, from, r, 3, "user", 150)
			epoch := protocol.Epoch(4)
			cuts := 0
			for done := false; !done; {
				ctx, cancel := context.WithCancel(t.Context())
				to := &cut{Store: opened(t, openTo), end: cancel}
				to.left.Store(1 + r.Int64N(80))
				got, err := Copy(ctx, Config{From: from, To: to, Shards: shards, Retention: retention, Workers: 4})
				cancel()
				done = err == nil
				if !done && !errors.Is(err, errCut) && !errors.Is(err, context.Canceled) {
					t.Fatal(err)
				}
				if got.Epoch < epoch {
					t.Errorf("epoch %d after %d", got.Epoch, epoch)
				}
				epoch = got.Epoch
				closed(t, to.Store)
				if cuts++; cuts%5 == 1 && !done {
					change(t, from, r, epoch+1)
				}
			}
			if cuts < 3 {
				t.Errorf("it was cut off %d times alone", cuts-1)
			}
			to := opened(t, openTo)
			wantSame(t, contents(t, to, epoch+1), contents(t, from, epoch+1))
			if to.Identity() != from.Identity() {
				t.Error("another identity")
			}
			closed(t, from)
			closed(t, to)
		})
	}
}

// change is what a server does to a store: messages come and go, and devices.
func change(t *testing.T, s store.Store, r *rand.Rand, epoch protocol.Epoch) {
	t.Helper()
	for u, m := range contents(t, s, epoch) {
		at := store.Owner{Shard: u.Shard, Epoch: epoch}
		step := store.Append{Owner: at, User: u.User}
		for i := range m.Entries {
			if r.IntN(4) == 0 {
				step.Kills = append(step.Kills, refOf(&m.Entries[i]))
			}
		}
		if r.IntN(2) == 0 {
			step.Entries = []store.Entry{someEntry(r, fmt.Sprintf("%s-late-%d", u.User, epoch), protocol.Position{Epoch: epoch, Micros: 5}, time.Now().UnixMilli())}
		}
		if err := errors.Join(storetest.Append(t.Context(), s, []store.Append{step})...); err != nil {
			t.Fatal(err)
		}
		for _, d := range m.Devices {
			d.LastSeenMS++
			if err := errors.Join(s.SaveDevices(t.Context(), []store.DeviceSave{{Owner: at, User: u.User, Device: d, Remove: r.IntN(3) == 0}}, true)...); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestUnknownOutcomesAreTriedAgain: what a store could not tell may have happened, or not.
func TestUnknownOutcomesAreTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := random(t)
		from, to := memory.New(), memory.NewDisk(memory.Config{CheckLast: true}).Open()
		fill(t, from, r, 1, "user", 50)
		var n atomic.Int64
		to.Script(func(_ context.Context, op memory.Op) memory.Fault {
			if (op.Kind == memory.OpAppend || op.Kind == memory.OpSaveDevices) && n.Add(1)%3 == 0 {
				return memory.Fault{Err: store.ErrUnknown, Lost: n.Load()%2 == 0}
			}
			return memory.Fault{}
		})
		if _, err := Copy(t.Context(), Config{From: from, To: to, Shards: shards, Retention: retention}); err != nil {
			t.Fatal(err)
		}
		to.Script(nil)
		wantSame(t, contents(t, to, 3), contents(t, from, 3))
	})
}

// TestOtherDataIsRefused, unless it is to be mixed: a target of another store, one that a server has used since it was copied, and the
// source itself. The target is as it was then.
func TestOtherDataIsRefused(t *testing.T) {
	r := random(t)
	copyTo := func(from, to store.Store, mix bool) error {
		_, err := Copy(t.Context(), Config{From: from, To: to, Shards: shards, Retention: retention, Mix: mix})
		return err
	}
	from := memory.New()
	if err := copyTo(from, memory.New(), false); !errors.Is(err, ErrNoSource) {
		t.Errorf("from a new store: %v", err)
	}
	fill(t, from, r, 2, "user", 40)
	disk := memory.NewDisk(memory.Config{})
	fill(t, disk.Open(), r, 1, "user", 5)
	if err := copyTo(disk.Open(), disk.Open(), false); !errors.Is(err, ErrSameStore) {
		t.Errorf("to itself: %v", err)
	}
	other := memory.New()
	fill(t, other, r, 5, "other", 10)
	before := contents(t, other, 6)
	if err := copyTo(from, other, false); !errors.Is(err, ErrOtherData) {
		t.Errorf("to another store: %v", err)
	}
	wantSame(t, contents(t, other, 6), before)
	target := memory.New()
	if err := errors.Join(copyTo(from, target, false), copyTo(from, target, false)); err != nil {
		t.Errorf("to a copy of it: %v", err)
	}
	claim(t, target, 100, "self") // a server
	if err := copyTo(from, target, false); !errors.Is(err, ErrOtherData) || !strings.Contains(err.Error(), "a server has used it") {
		t.Errorf("to a copy that was served since: %v", err)
	}
	if err := copyTo(from, target, true); err != nil {
		t.Errorf("to a copy that was served since, mixed: %v", err)
	}
}

// TestMixedUsersMissNothing: each entry of the source is behind every cursor that the target's devices, and those that come, have.
func TestMixedUsersMissNothing(t *testing.T) {
	for _, k := range kinds() {
		t.Run(k.name, func(t *testing.T) {
			r := random(t)
			from, to := opened(t, kinds()[0].make()), opened(t, k.make())
			fill(t, from, r, 2, "user", 60)
			fill(t, to, r, 50, "user", 30)
			had, come, id := contents(t, to, 51), contents(t, from, 3), to.Identity()
			cfg := Config{From: from, To: to, Shards: shards, Retention: retention, Mix: true}
			for range 2 { // again is fine
				if got, err := Copy(t.Context(), cfg); err != nil || got.Cursors {
					t.Fatalf("%+v, %v", got, err)
				}
			}
			if to.Identity() != id {
				t.Error("the target has another identity")
			}
			mixed := contents(t, to, 60)
			for u, m := range mixed {
				want := idsOf(had[u])
				for id := range idsOf(come[u]) {
					want[id] = true
				}
				if got := idsOf(m); !maps.Equal(got, want) {
					t.Errorf("%v has %d messages, not %d", u, len(got), len(want))
				}
				for _, d := range m.Devices {
					for _, e := range m.Entries {
						_, own := idsOf(had[u])[e.Message.ID]
						if reached := !d.Acked.At[e.Message.Priority.Lane()].Less(e.Position); reached && own != isIn(had[u], d.ID) {
							t.Errorf("%v: the cursor of device %s is beyond %s, which it never had", u, d.ID, e.Message.ID)
						}
					}
				}
			}
			closed(t, to)
		})
	}
}

func idsOf(m store.Mailbox) map[protocol.MessageID]bool {
	ids := make(map[protocol.MessageID]bool)
	for _, e := range m.Entries {
		ids[e.Message.ID] = true
	}
	return ids
}

func isIn(m store.Mailbox, id protocol.DeviceID) bool {
	return slices.ContainsFunc(m.Devices, func(d store.Device) bool { return d.ID == id })
}

// TestACopyEndsWhereAServerTakesAStore: where appends are fenced, and where they are not. There it waits first for the server before.
func TestACopyEndsWhereAServerTakesAStore(t *testing.T) {
	for _, unfenced := range []bool{false, true} {
		t.Run(fmt.Sprintf("unfenced=%v", unfenced), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := random(t)
				disk := memory.NewDisk(memory.Config{Unfenced: unfenced})
				from, to := disk.OpenShared(), memory.New()
				fill(t, from, r, 1, "user", 50)
				began := time.Now()
				reached := make(chan struct{}, 1)
				hold := make(chan struct{})
				to.Script(func(ctx context.Context, op memory.Op) memory.Fault {
					if op.Kind == memory.OpAppend {
						select {
						case reached <- struct{}{}:
						default:
						}
						select {
						case <-hold:
						case <-ctx.Done():
							return memory.Fault{Err: ctx.Err()}
						}
					}
					return memory.Fault{}
				})
				ended := make(chan error)
				go func() {
					_, err := Copy(t.Context(), Config{From: from, To: to, Shards: shards, Retention: retention})
					ended <- err
				}()
				<-reached
				if waited := time.Since(began); waited < leaseTime == unfenced {
					t.Errorf("it began to read after %v", waited)
				}
				claim(t, disk.OpenShared(), 9, "server")
				if err := <-ended; !errors.Is(err, store.ErrFenced) {
					t.Errorf("it ended with %v", err)
				}
				if took := time.Since(began); took > 10*time.Second {
					t.Errorf("it ended after %v", took)
				}
			})
		})
	}
}

// TestTheComparisonFindsWhatDiffers, each kind of it.
func TestTheComparisonFindsWhatDiffers(t *testing.T) {
	now := time.Now()
	r := rand.New(rand.NewPCG(1, 2))
	full := func() store.Mailbox {
		e := someEntry(r, "a", protocol.Position{Epoch: 1, Micros: 1}, now.UnixMilli())
		return store.Mailbox{Entries: []store.Entry{e}, Seen: []store.Seen{{ID: "gone", AcceptedMS: now.UnixMilli()}}, Devices: []store.Device{someDevice(r, 1, 1, 5, now.UnixMilli())}}
	}
	for name, c := range map[string]struct {
		change func(m *store.Mailbox)
		want   string
	}{
		"no message":       {func(m *store.Mailbox) { m.Entries = nil }, "is missing"},
		"another payload":  {func(m *store.Mailbox) { e := *m.Entries[0].Message; e.Payload = []byte("y"); m.Entries[0].Message = &e }, "is another"},
		"another device":   {func(m *store.Mailbox) { m.Entries[0].Device = "other" }, "is another"},
		"another position": {func(m *store.Mailbox) { m.Entries[0].Position.Micros++ }, "is at position"},
		"one more": {func(m *store.Mailbox) {
			m.Entries = append(m.Entries, someEntry(r, "b", protocol.Position{Epoch: 1, Micros: 2}, 0))
		}, "2 messages, not 1"},
		"no id":          {func(m *store.Mailbox) { m.Seen = nil }, "is not remembered"},
		"an older id":    {func(m *store.Mailbox) { m.Seen[0].AcceptedMS-- }, "is not remembered"},
		"no device":      {func(m *store.Mailbox) { m.Devices = nil }, "is missing"},
		"another cursor": {func(m *store.Mailbox) { m.Devices[0].Acked.Seq++ }, "at another place"},
		"the same":       {func(*store.Mailbox) {}, ""},
	} {
		from := full()
		to := store.Mailbox{Entries: slices.Clone(from.Entries), Seen: slices.Clone(from.Seen), Devices: slices.Clone(from.Devices)}
		c.change(&to)
		k := &copier{Config: Config{Retention: retention, Now: func() time.Time { return now }}, same: true}
		k.compareEntries("u", &from, &to)
		k.compareIDs("u", &from, &to)
		k.compareDevices("u", &from, &to)
		if err := k.different.err(); (err == nil) != (c.want == "") || err != nil && (!errors.Is(err, ErrDiffers) || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

// TestAnEntryIsNotReplacedByItsID: what would bring the id of a message once more would replace it, and be killed.
func TestAnEntryIsNotReplacedByItsID(t *testing.T) {
	at := protocol.Position{Epoch: 1, Micros: 1}
	e := someEntry(random(t), "a", at, time.Now().UnixMilli())
	from := store.Mailbox{Entries: []store.Entry{e}, Seen: []store.Seen{{ID: "a", AcceptedMS: e.Message.CreatedMS + 1}}}
	for name, to := range map[string]store.Mailbox{"to come": {}, "there, and its id forgotten": {Entries: from.Entries}} {
		if p := mirror(&from, &to); len(p.ids) > 0 || len(p.entries) != 1-len(to.Entries) {
			t.Errorf("%s: %+v", name, p)
		}
		if p := merge(&from, &to, func() protocol.Position { return at }); len(p.ids) > 0 || len(p.entries) != 1-len(to.Entries) {
			t.Errorf("%s, mixed: %+v", name, p)
		}
	}
}
