package storetest

import (
	"math"
	"reflect"
	"slices"
	"testing"

	"ramen/protocol"
	"ramen/store"
)

// fullDevice has every field at its limits.
func fullDevice(id protocol.DeviceID) store.Device {
	return store.Device{
		ID: id,
		Acked: protocol.Cursor{Seq: 7, At: protocol.Positions{
			{Epoch: 1, Micros: 5}, {Epoch: 2, Micros: 1<<64 - 1}, {},
		}},
		Pushed:     protocol.Cursor{Seq: protocol.MaxSeq, At: protocol.Positions{{Epoch: 1<<64 - 1, Micros: 1}, {}, {Epoch: 3}}},
		Expired:    math.MaxUint32,
		Greeted:    true,
		Live:       true,
		Transport:  protocol.TransportGRPC,
		LastSeenMS: 1_763_762_400_000,
		Context: &protocol.DeviceContext{
			App: "driver", AppVersion: "4.2", OS: "android", OSVersion: "16", Model: "Pixel", Locale: "de-CH",
			Labels: map[string]string{"city": "Zürich", "tier": ""},
		},
	}
}

func testDevices(t *testing.T, cfg Config) {
	p := newPlace(t, cfg)
	p.claim(1, 1)
	want := func(devices ...store.Device) {
		t.Helper()
		got := p.load(epoch1, "u").Devices
		slices.SortFunc(got, func(a, b store.Device) int { return len(a.ID) - len(b.ID) })
		if len(got) != len(devices) || len(got) > 0 && !reflect.DeepEqual(got, devices) {
			t.Fatalf("devices %+v, want %+v", got, devices)
		}
	}
	save := func(d store.Device) store.DeviceSave {
		return store.DeviceSave{Owner: epoch1, User: "u", Device: d}
	}
	bare, full := store.Device{ID: "d"}, fullDevice("dd")
	silent := store.Device{ID: "ddd", Context: &protocol.DeviceContext{}}
	p.save(true, save(bare), save(full))
	p.save(true, save(silent))
	want(bare, full, silent)
	full.Acked.Seq++
	full.Context = nil
	p.save(true, save(full))
	want(bare, full, silent)
	remove := save(store.Device{ID: "dd"})
	remove.Remove = true
	p.save(true, remove)
	want(bare, silent)
	remove.Device.ID = "never there"
	p.save(true, remove, save(full))
	want(bare, full, silent)
}

func testExpiryScan(t *testing.T, cfg Config) {
	p := newPlace(t, cfg)
	scanner, ok := p.Store.(store.ExpiryScanner)
	if !ok {
		t.Skip("the store is no store.ExpiryScanner")
	}
	p.claim(1, 1, 2)
	expiring := func(user protocol.UserID, ms int64) store.Append {
		late, e := entry("late", 1), entry("e", 2)
		e.Message.ExpiresMS = ms
		return step(user, late, e)
	}
	p.append(expiring("a", 100), expiring("b", 200), expiring("c", 100), expiring("cc", 99), expiring("d", 0))
	other := expiring("z", 1)
	other.Shard = 2
	p.append(other)
	p.save(true,
		store.DeviceSave{Owner: epoch1, User: "b", Device: store.Device{ID: "x", LastSeenMS: 50}},
		store.DeviceSave{Owner: epoch1, User: "e", Device: store.Device{ID: "x", LastSeenMS: 49}})
	cases := []struct {
		after          protocol.UserID
		before, unseen int64
		limit          int
		want           []protocol.UserID
		name           string
	}{
		{"", 0, 0, 10, nil, "nothing is that old"},
		{"", 100, 0, 10, []protocol.UserID{"cc", "d"}, "before, not at"},
		{"", 101, 0, 10, []protocol.UserID{"a", "c", "cc", "d"}, "expired"},
		{"", 101, 50, 10, []protocol.UserID{"a", "c", "cc", "d", "e"}, "or unseen"},
		{"a", 201, 51, 3, []protocol.UserID{"b", "c", "cc"}, "after, up to limit"},
		{"cc", 201, 51, 3, []protocol.UserID{"d", "e"}, "the rest"},
		{"e", 201, 51, 3, nil, "the end"},
	}
	for _, c := range cases {
		got, err := scanner.ScanExpired(p.ctx, epoch1, c.after, c.before, c.unseen, c.limit)
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, %v; want %q", c.name, got, err, c.want)
		}
	}
}
