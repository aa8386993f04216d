package pebble

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"ramen/protocol"
	"ramen/store"
	"ramen/store/storetest"
)

// modelBox is what a mailbox should be.
type modelBox struct {
	entries map[store.Ref]store.Entry
	devices map[protocol.DeviceID]int64 // last seen
	seen    map[protocol.MessageID]bool
}

// model is what a store should be.
type model map[protocol.UserID]modelBox

func (m model) clone() model {
	c := model{}
	for u, b := range m {
		c[u] = modelBox{maps.Clone(b.entries), maps.Clone(b.devices), maps.Clone(b.seen)}
	}
	return c
}

// modelWalk is a store beside its model, and the models that a loss of power may take it back to.
type modelWalk struct {
	t       *testing.T
	rng     *rand.Rand
	fs      *vfs.MemFS
	s       *Store
	at      store.Owner // of a higher epoch after each Open, mostly
	now     model
	allowed []model                // since the last durable call, that one first
	keyed   map[string][]store.Ref // by user, key and target: every entry there ever was
	micros  uint64
	crashes int
	moved   int
}

// TestRandomWalkIsTheModel compares the store with maps over random calls, checkpoints, reopenings and losses of power. All
// writes have one order: what a loss of power leaves is the state after one of the calls since the last durable one.
func TestRandomWalkIsTheModel(t *testing.T) {
	rounds, turns := 6, 400
	if testing.Short() {
		rounds = 1
	}
	for range rounds {
		seed := uint64(time.Now().UnixNano())
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			w := &modelWalk{t: t, rng: rand.New(rand.NewPCG(seed, 1)), fs: vfs.NewCrashableMem(), now: model{}, at: store.Owner{Shard: 1},
				keyed: map[string][]store.Ref{}}
			for _, u := range []protocol.UserID{"u", "uu", "v", "ü"} {
				w.now[u] = modelBox{map[store.Ref]store.Entry{}, map[protocol.DeviceID]int64{}, map[protocol.MessageID]bool{}}
			}
			w.open()
			for range turns {
				w.turn()
			}
			w.check()
			if err := w.s.Close(); err != nil {
				t.Error(err)
			}
			t.Logf("%d losses of power, %d checkpoints", w.crashes, w.moved)
		})
	}
}

func (w *modelWalk) open() {
	cfg := testConfig(w.t, w.fs)
	cfg.SegmentBytes, cfg.CheckpointEvery, cfg.CheckpointDelay, cfg.Linger = minSegment, 10*time.Millisecond, 0, 0
	if w.rng.IntN(2) == 0 {
		cfg.CheckpointEvery = time.Hour // those of the walk alone
	}
	w.s = mustOpen(w.t, cfg)
	if w.at.Epoch == 0 || w.rng.IntN(4) > 0 {
		w.at.Epoch++
	}
	if err := errors.Join(w.s.Claim(w.t.Context(), []protocol.ShardID{w.at.Shard}, w.at.Epoch, "test")...); err != nil {
		w.t.Fatal(err)
	}
	w.did(true)
}

// did notes that a call was answered.
func (w *modelWalk) did(isDurable bool) {
	if isDurable {
		w.allowed = w.allowed[:0]
	}
	w.allowed = append(w.allowed, w.now.clone())
}

func (w *modelWalk) turn() {
	switch n := w.rng.IntN(100); {
	case n < 40:
		w.append()
	case n < 60:
		w.forget()
	case n < 75:
		w.save()
	case n < 85:
		w.check()
	case n < 92:
		checkpoint(w.t, w.s)
		w.moved++
		w.did(true)
	case n < 95:
		if err := w.s.Close(); err != nil {
			w.t.Fatal(err)
		}
		w.open()
	case n < 98:
		w.crash()
	default:
		if _, err := w.s.ScanExpired(w.t.Context(), w.at, "", 1, 1, 10); err != nil {
			w.t.Fatal(err)
		}
	}
}

func (w *modelWalk) user() protocol.UserID {
	users := slices.Sorted(maps.Keys(w.now))
	return users[w.rng.IntN(len(users))]
}

// some is a few entries of user, in order.
func (w *modelWalk) some(user protocol.UserID) (refs []store.Ref) {
	for _, r := range slices.SortedFunc(maps.Keys(w.now[user].entries), compareRefs) {
		if w.rng.IntN(3) == 0 {
			refs = append(refs, r)
		}
	}
	return refs
}

// hostileTexts are of values that contain what others might put between them.
var hostileTexts = []string{"", "ios", "ios\x00", "\x00ios", "a\x01os\x00b", "\x1f", "\n", "\x03ios", "=,;|/\"'"}

func (w *modelWalk) text() string { return hostileTexts[w.rng.IntN(len(hostileTexts))] }

// key gives e a key and a target, and kills whatever was ever there of them, as the gateway may: forgotten before or not.
func (w *modelWalk) key(a *store.Append, e *store.Entry) {
	e.Message.CollapseKey = "k"
	if w.rng.IntN(2) == 0 {
		e.Where = map[string]string{"os": w.text(), "label." + w.text(): w.text()}
	}
	target := fmt.Sprintf("%q %q", a.User, e.Where)
	for _, r := range w.keyed[target] {
		delete(w.now[a.User].entries, r)
		a.Kills = append(a.Kills, r)
	}
	w.keyed[target] = append(w.keyed[target], placeOf(*e))
}

// append adds new entries, writes old ones again as the gateway does after an unknown outcome, and kills some.
func (w *modelWalk) append() {
	a := store.Append{Owner: w.at, User: w.user()}
	box := w.now[a.User]
	if w.rng.IntN(3) == 0 {
		for _, r := range w.some(a.User) {
			a.Entries = append(a.Entries, box.entries[r])
		}
	}
	for range w.rng.IntN(3) {
		w.micros += 1 + uint64(w.rng.IntN(5))
		e := entry(fmt.Sprint("id", w.micros), protocol.LanePriority(w.rng.IntN(protocol.Lanes)), w.micros)
		e.Position.Epoch, e.Message.Payload = w.at.Epoch, make([]byte, w.rng.IntN(2000))
		if w.rng.IntN(2) == 0 {
			w.key(&a, &e)
		}
		a.Entries = append(a.Entries, e)
		box.entries[placeOf(e)], box.seen[e.Message.ID] = e, true
	}
	if w.rng.IntN(3) == 0 {
		for _, r := range w.some(a.User) {
			delete(box.entries, r)
			a.Kills = append(a.Kills, r)
		}
	}
	if err := storetest.Append(w.t.Context(), w.s, []store.Append{a})[0]; err != nil {
		w.t.Fatal(err)
	}
	w.did(true)
}

func (w *modelWalk) forget() {
	f := store.Forget{Owner: w.at, User: w.user()}
	f.Refs = w.some(f.User)
	for _, r := range f.Refs {
		delete(w.now[f.User].entries, r)
	}
	if err := errors.Join(w.s.Forget(w.t.Context(), []store.Forget{f, f})...); err != nil {
		w.t.Fatal(err)
	}
	w.did(false)
}

func (w *modelWalk) save() {
	d := store.DeviceSave{Owner: w.at, User: w.user(), Remove: w.rng.IntN(4) == 0}
	d.Device = store.Device{ID: protocol.DeviceID(fmt.Sprint("d", w.rng.IntN(3))), LastSeenMS: 1 + w.rng.Int64N(1e6)}
	if d.Remove {
		delete(w.now[d.User].devices, d.Device.ID)
	} else {
		w.now[d.User].devices[d.Device.ID] = d.Device.LastSeenMS
	}
	isDurable := w.rng.IntN(3) == 0
	if err := errors.Join(w.s.SaveDevices(w.t.Context(), []store.DeviceSave{d}, isDurable)...); err != nil {
		w.t.Fatal(err)
	}
	w.did(isDurable)
}

// crash goes on from what a loss of power leaves.
func (w *modelWalk) crash() {
	w.crashes++
	left := w.fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: w.rng.IntN(101), RNG: w.rng})
	if err := w.s.Close(); err != nil {
		w.t.Fatal(err)
	}
	allowed := slices.Clone(w.allowed)
	w.fs = left
	w.open()
	found := w.describe()
	for _, m := range allowed {
		if m.describe() == found {
			w.now = m.clone()
			w.did(true)
			return
		}
	}
	w.t.Fatalf("after a loss of power:\n%s\nis none of %d states; the last is\n%s", found, len(allowed), w.now.describe())
}

func (w *modelWalk) check() {
	w.t.Helper()
	if got, want := w.describe(), w.now.describe(); got != want {
		w.t.Fatalf("found\n%s\nwant\n%s", got, want)
	}
}

func (w *modelWalk) describe() string {
	w.t.Helper()
	var text strings.Builder
	for _, u := range slices.Sorted(maps.Keys(w.now)) {
		box, err := w.s.Load(w.t.Context(), w.at, u)
		if err != nil {
			w.t.Fatal(err)
		}
		fmt.Fprintf(&text, "%s:\n%s\n", u, describe(box))
	}
	return text.String()
}

func (m model) describe() string {
	var text strings.Builder
	for _, u := range slices.Sorted(maps.Keys(m)) {
		var box store.Mailbox
		for _, e := range m[u].entries {
			box.Entries = append(box.Entries, e)
		}
		for id := range m[u].seen {
			box.Seen = append(box.Seen, store.Seen{ID: id})
		}
		for id, ms := range m[u].devices {
			box.Devices = append(box.Devices, store.Device{ID: id, LastSeenMS: ms})
		}
		fmt.Fprintf(&text, "%s:\n%s\n", u, describe(box))
	}
	return text.String()
}
