package pebble

import (
	"bytes"
	"cmp"
	"errors"
	"math/rand/v2"
	"testing"

	"ramen/protocol"
	"ramen/store"
	"ramen/store/storetest"
)

func fullEntry() store.Entry {
	e := entry("id", protocol.PriorityLow, 7)
	e.Device, e.Where = "phone", map[string]string{"os": "ios", "app": ""}
	e.Message.ContentType, e.Message.CollapseKey = "text/plain", "key"
	e.Message.Headers = map[string]string{"trace": "1", "a": "b"}
	return e
}

func fullDevice() store.Device {
	return store.Device{
		ID: "phone", Acked: protocol.Cursor{Seq: 300, At: protocol.Positions{{Epoch: 1, Micros: 1 << 60}}}, Expired: 3, Greeted: true, Live: true,
		Transport: protocol.TransportWS, LastSeenMS: 1 << 40,
		Context: &protocol.DeviceContext{App: "a", Labels: map[string]string{"x": "y", "z": ""}},
	}
}

func placeOf(e store.Entry) store.Ref {
	return store.Ref{Priority: e.Message.Priority, Position: e.Position}
}

func FuzzParseUserRow(f *testing.F) {
	f.Add(appendMessageKey(nil, 3, "u", store.Ref{Priority: protocol.PriorityLow, Position: protocol.Position{Epoch: 1, Micros: 2}}))
	f.Add(appendDeviceKey(nil, 3, "u", "d"))
	f.Fuzz(func(t *testing.T, key []byte) {
		r, err := parseUserRow(key)
		if err != nil {
			return
		}
		shard := protocol.ShardID(uint32(key[1])<<24 | uint32(key[2])<<16 | uint32(key[3])<<8 | uint32(key[4]))
		again := appendDeviceKey(nil, shard, protocol.UserID(r.user), protocol.DeviceID(r.device))
		if r.kind == kindMessage {
			again = appendMessageKey(nil, shard, protocol.UserID(r.user), r.ref)
		}
		if !bytes.Equal(again, key) {
			t.Fatalf("%x was read as %+v, which is written %x", key, r, again)
		}
	})
}

func TestKeysSortByUserLaneAndPosition(t *testing.T) {
	users := []protocol.UserID{"a", "a!", "aa", "b", "é"}
	rng := rand.New(rand.NewPCG(1, 2))
	type row struct {
		user int
		ref  store.Ref
	}
	draw := func() row {
		return row{rng.IntN(len(users)), store.Ref{
			Priority: protocol.LanePriority(rng.IntN(3)),
			Position: protocol.Position{Epoch: protocol.Epoch(rng.IntN(300)), Micros: uint64(rng.IntN(70000))},
		}}
	}
	for range 10000 {
		a, b := draw(), draw()
		want := cmp.Or(cmp.Compare(a.user, b.user), cmp.Compare(a.ref.Priority, b.ref.Priority), a.ref.Position.Compare(b.ref.Position))
		ka, kb := appendMessageKey(nil, 1, users[a.user], a.ref), appendMessageKey(nil, 1, users[b.user], b.ref)
		if got := bytes.Compare(ka, kb); got != want {
			t.Fatalf("%+v against %+v: %d, want %d", a, b, got, want)
		}
	}
}

func TestUsersThatWouldCollideAreRefused(t *testing.T) {
	s := open(t, testConfig(t, nil))
	for _, user := range []protocol.UserID{"", "a\x00", "a\x00dphone"} {
		if err := appendOne(t.Context(), s, user, entry("a", protocol.PriorityHigh, 1)); err == nil {
			t.Errorf("append of user %q succeeded", user)
		}
		if _, err := s.Load(t.Context(), owner, user); err == nil {
			t.Errorf("load of user %q succeeded", user)
		}
		if err := errors.Join(s.SaveDevices(t.Context(), []store.DeviceSave{{Owner: owner, User: user}}, true)...); err == nil {
			t.Errorf("save of user %q succeeded", user)
		}
		if err := errors.Join(s.Forget(t.Context(), []store.Forget{{Owner: owner, User: user}})...); err == nil {
			t.Errorf("forget of user %q succeeded", user)
		}
	}
}

// TestRefOfNoLaneIsRefused: Open could not read it again out of the journal.
func TestRefOfNoLaneIsRefused(t *testing.T) {
	s := open(t, testConfig(t, nil))
	refs := []store.Ref{{Position: protocol.Position{Epoch: 1, Micros: 1}}}
	if err := errors.Join(s.Forget(t.Context(), []store.Forget{{Owner: owner, User: "u", Refs: refs}})...); err == nil {
		t.Error("forget succeeded")
	}
	if err := storetest.Append(t.Context(), s, []store.Append{{Owner: owner, User: "u", Kills: refs}})[0]; err == nil {
		t.Error("append succeeded")
	}
}
