package storetest

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"ramen/protocol"
	"ramen/store"
)

// model is what a mailbox should be.
type model struct {
	entries map[store.Ref]store.Entry
	devices map[protocol.DeviceID]store.Device
	seen    map[protocol.MessageID]int64
}

// walk is a random walk of a store beside its models.
type walk struct {
	*place
	rng    *rand.Rand
	boxes  map[protocol.UserID]*model
	at     store.Owner
	micros uint64
	nextID int

	forgotten map[protocol.UserID][]store.Ref
}

// testModel compares a store with plain maps over random calls.
func testModel(t *testing.T, cfg Config) {
	rounds := 4
	if testing.Short() {
		rounds = 1
	}
	for range rounds {
		seed := uint64(time.Now().UnixNano())
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			w := &walk{place: newPlace(t, cfg), rng: rand.New(rand.NewPCG(seed, 1)), boxes: map[protocol.UserID]*model{}, at: epoch1,
				forgotten: map[protocol.UserID][]store.Ref{}}
			for _, u := range []protocol.UserID{"u", "uu", "v", "ü"} {
				w.boxes[u] = &model{map[store.Ref]store.Entry{}, map[protocol.DeviceID]store.Device{}, map[protocol.MessageID]int64{}}
			}
			w.claim(1, 1)
			for n := range 300 {
				w.turn(cfg)
				if n%10 == 0 {
					w.check()
				}
			}
			w.check()
		})
	}
}

func (w *walk) turn(cfg Config) {
	switch n := w.rng.IntN(100); {
	case n < 60:
		w.appendSome()
	case n < 75:
		w.forgetSome()
	case n < 92:
		w.saveSome(w.rng.IntN(2) == 0)
	case n < 96:
		w.at.Epoch++
		w.claim(w.at.Epoch, 1)
	case !cfg.Volatile:
		w.reopen()
		w.claim(w.at.Epoch, 1)
	}
}

func (w *walk) users() []protocol.UserID { return slices.Sorted(maps.Keys(w.boxes)) }

func (w *walk) appendSome() {
	var batch []store.Append
	for _, u := range w.users() {
		if w.rng.IntN(2) == 0 {
			continue
		}
		a := store.Append{Owner: w.at, User: u, Kills: w.some(w.boxes[u], 4)}
		if n := len(w.forgotten[u]); n > 0 && w.rng.IntN(2) == 0 { // as what replaced it would
			a.Kills = append(a.Kills, w.forgotten[u][w.rng.IntN(n)])
		}
		for range w.rng.IntN(3) {
			a.Entries = append(a.Entries, w.newEntry())
		}
		batch = append(batch, a)
	}
	w.append(batch...)
	for _, a := range batch {
		box := w.boxes[a.User]
		for _, k := range a.Kills {
			delete(box.entries, k)
		}
		for _, e := range a.Entries {
			box.entries[ref(e)] = e
			box.seen[e.Message.ID] = e.Message.CreatedMS
		}
	}
}

// some is a few entries of box, about one in n.
func (w *walk) some(box *model, n int) (refs []store.Ref) {
	for r := range box.entries {
		if w.rng.IntN(n) == 0 {
			refs = append(refs, r)
		}
	}
	return refs
}

func (w *walk) newEntry() store.Entry {
	w.micros += uint64(w.rng.IntN(300)) + 1
	w.nextID++
	e := withPriority(entry(fmt.Sprint("id", w.nextID), w.micros), protocol.LanePriority(w.rng.IntN(protocol.Lanes)))
	e.Position.Epoch = w.at.Epoch
	e.Message.Payload = make([]byte, 1+w.rng.IntN(300)*w.rng.IntN(3))
	for i := range e.Message.Payload {
		e.Message.Payload[i] = byte(w.rng.Uint32())
	}
	if w.rng.IntN(4) == 0 {
		e.Where = map[string]string{"os": "ios\x00label.\x01\x1f\n", "label.\x00": "\x01os\x00ios", "label.": ""}
		e.Message.CollapseKey = "k"
		e.Message.Headers = map[string]string{"a": "1", "b": "2"}
	}
	return e
}

func (w *walk) forgetSome() {
	var batch []store.Forget
	for _, u := range w.users() {
		batch = append(batch, store.Forget{Owner: w.at, User: u, Refs: w.some(w.boxes[u], 6)})
	}
	w.forget(batch...)
	for _, f := range batch {
		for _, r := range f.Refs {
			delete(w.boxes[f.User].entries, r)
		}
		w.forgotten[f.User] = append(w.forgotten[f.User], f.Refs...)
	}
}

func (w *walk) saveSome(durable bool) {
	var batch []store.DeviceSave
	for _, u := range w.users() {
		d := fullDevice(protocol.DeviceID(fmt.Sprint("device", w.rng.IntN(4))))
		d.Acked.Seq, d.LastSeenMS, d.Greeted = protocol.Seq(w.rng.IntN(1e6)), w.rng.Int64(), w.rng.IntN(2) == 0
		d.Live = w.rng.IntN(2) == 0
		batch = append(batch, store.DeviceSave{Owner: w.at, User: u, Device: d, Remove: w.rng.IntN(4) == 0})
	}
	w.save(durable, batch...)
	for _, s := range batch {
		if s.Remove {
			delete(w.boxes[s.User].devices, s.Device.ID)
		} else {
			w.boxes[s.User].devices[s.Device.ID] = s.Device
		}
	}
}

func (w *walk) check() {
	w.t.Helper()
	for _, u := range w.users() {
		if msg := w.boxes[u].diff(w.load(w.at, u)); msg != "" {
			w.t.Fatalf("user %q: %s", u, msg)
		}
	}
}

// diff says where a mailbox is not the model.
func (m *model) diff(got store.Mailbox) string {
	var want []store.Entry
	for _, e := range m.entries {
		want = append(want, e)
	}
	byLane := func(a, b store.Entry) int {
		if d := int(a.Message.Priority) - int(b.Message.Priority); d != 0 {
			return d
		}
		return a.Position.Compare(b.Position)
	}
	slices.SortFunc(want, byLane)
	slices.SortStableFunc(got.Entries, func(a, b store.Entry) int { return int(a.Message.Priority) - int(b.Message.Priority) })
	if diff := diffEntries(got.Entries, want); diff != "" {
		return diff
	}
	devices := make(map[protocol.DeviceID]store.Device)
	for _, d := range got.Devices {
		devices[d.ID] = d
	}
	if len(devices) != len(got.Devices) || !reflect.DeepEqual(devices, m.devices) {
		return fmt.Sprintf("devices %+v, want %+v", devices, m.devices)
	}
	seen := make(map[protocol.MessageID]int64)
	for _, s := range got.Seen {
		seen[s.ID] = s.AcceptedMS
	}
	if !reflect.DeepEqual(seen, m.seen) {
		return fmt.Sprintf("%d ids seen, want %d", len(seen), len(m.seen))
	}
	return ""
}
