package redis

import (
	"context"
	"errors"
	"testing"
	"time"

	"ramen/internal/testserver/redistest"
	"ramen/protocol"
	"ramen/store"
)

// TestLateReplaceUndoesNothing: a mailbox that was made to replace one arrives at the server behind a write that does not move the mailbox's
// last position, which is the one that the late Replace expects. What was killed, saved or forgotten since stays so.
func TestLateReplaceUndoesNothing(t *testing.T) {
	a, b := entry("a", 1), entry("b", 2)
	device := func(id protocol.DeviceID, expired uint32) store.Device {
		return store.Device{ID: id, Expired: expired, LastSeenMS: time.Now().UnixMilli()}
	}
	whole := store.Mailbox{Last: b.Position, Entries: []store.Entry{a, b}, Devices: []store.Device{device("d", 0)}}
	for _, x := range []struct {
		name   string
		before []store.Entry // stored before; else the mailbox has nothing
		late   store.Mailbox
		then   func(f *fixture) error
		want   []string // entries
		device uint32   // what the device's record counts
	}{
		{"BehindARecall", []store.Entry{a, b}, whole, func(f *fixture) error { return f.append(time.Second, killing(step(2), a)) }, []string{"b"}, 1},
		{"BehindARecallOfAnyLast", []store.Entry{a, b}, whole, func(f *fixture) error { return f.append(time.Second, killing(step(0), a)) }, []string{"b"}, 1},
		{"BehindAForget", []store.Entry{a, b}, whole, func(f *fixture) error {
			return errors.Join(f.Forget(f.t.Context(), []store.Forget{{Owner: at1, User: "u", Refs: []store.Ref{ref(b)}}})...)
		}, []string{"a"}, 1},
		{"BehindASave", []store.Entry{a, b}, whole, func(f *fixture) error { return f.save(device("d", 2)) }, []string{"a", "b"}, 2},
		{"OfNothingBehindASave", nil, store.Mailbox{}, func(f *fixture) error { return f.save(device("d", 2)) }, nil, 2},
		{"BehindAnotherReplace", []store.Entry{a, b}, whole, func(f *fixture) error {
			return f.Replace(f.t.Context(), at1, "u", b.Position, store.Mailbox{Last: b.Position, Entries: []store.Entry{b}, Devices: []store.Device{device("d", 3)}})
		}, []string{"b"}, 3},
	} {
		t.Run(x.name, func(t *testing.T) {
			f := newFixture(t, redistest.Options{}, nil)
			if x.before != nil {
				f.mustAppend(step(0, x.before...))
				if err := f.save(device("d", 1)); err != nil {
					t.Fatal(err)
				}
			}
			late := f.replacement("u")
			late.ctx = t.Context()
			if err := late.stage(&x.late); err != nil {
				t.Fatal(err)
			}
			arrive := f.proxy.hold(t)
			var cancel context.CancelFunc
			late.ctx, cancel = context.WithTimeout(t.Context(), soon)
			defer cancel()
			wantErr(t, "late replace", late.put(x.late.Last, &x.late), store.ErrUnknown)
			if err := x.then(f); err != nil {
				t.Fatal(err)
			}
			n := f.scripts()
			arrive()
			awaitScripts(t, f, n+1)
			m := f.load()
			wantIDs(t, m, x.want...)
			if len(m.Devices) != 1 || m.Devices[0].Expired != x.device {
				t.Errorf("devices %+v, want one that counts %d", m.Devices, x.device)
			}
			if left := f.server.Client(t).Keys(t.Context(), "*:new:*").Val(); len(left) > 0 {
				t.Errorf("%q are left", left)
			}
		})
	}
}

func (f *fixture) replacement(user protocol.UserID) *replacement {
	return &replacement{s: f.Store, at: at1, user: user, number: f.makings.Add(1)}
}

func (f *fixture) save(all ...store.Device) error {
	ctx, cancel := context.WithTimeout(f.t.Context(), 5*time.Second)
	defer cancel()
	batch := make([]store.DeviceSave, len(all))
	for i, d := range all {
		batch[i] = store.DeviceSave{Owner: at1, User: "u", Device: d}
	}
	return errors.Join(f.SaveDevices(ctx, batch, true)...)
}

// scripts is how many scripts the server has run beside a claim.
func (f *fixture) scripts() (n int64) {
	f.t.Helper()
	n, err := scriptCalls(f.t.Context(), f.server.Client(f.t))
	if err != nil {
		f.t.Fatal(err)
	}
	return n
}
