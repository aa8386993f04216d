package mailbox_test

import (
	"math"
	"time"

	"ramen/gateway/mailbox"
	"ramen/gateway/mailbox/mailboxtest"
	"ramen/protocol"
	"ramen/store"
)

// start begins a process.
func (f *fixture) start() {
	id := store.Identity{Generation: 7, Key: [16]byte{1, 2, 3}}
	f.common = &mailbox.Common{
		Limits:   mailbox.Limits{Messages: math.MaxInt32, Bytes: math.MaxInt64, Memory: math.MaxInt64, Devices: 64, IDRetention: retention},
		Identity: id, Sealer: protocol.Sealer{Generation: id.Generation, Key: id.Key},
	}
}

// load makes a mailbox of what was written, for another owner.
func (f *fixture) load() {
	f.epoch++
	f.b, f.windows, f.step, f.asked, f.noticed = new(mailbox.Mailbox), make(map[string]*mailbox.Window), nil, nil, false
	f.b.Make(&mailbox.Scope{Common: f.common, Owner: store.Owner{Epoch: f.epoch}}, user)
	f.b.Fill(f.disk.load(), f.x.NowMS)
	f.dueMS = f.b.DueMS()
	f.x.Load()
}

func (f *fixture) restart(a mailboxtest.Restart) {
	if a.Stored && f.step != nil {
		f.store()
	}
	switch a.How {
	case mailboxtest.Crash:
		f.crash()
	case mailboxtest.Stop:
		f.unload()
		f.start()
		f.load()
	default:
		f.move()
	}
}

// advance has time pass, from one moment at which the mailbox has said that it is due to the next.
func (f *fixture) advance(by time.Duration) {
	end := f.x.NowMS + by.Milliseconds()
	f.deliver()
	for end > f.x.NowMS {
		f.x.NowMS = min(end, max(f.dueMS, f.x.NowMS+1))
		f.deliver()
	}
	f.b.SweepIDs(end)
}

// heed does what the notices ask for.
func (f *fixture) heed() {
	for f.takeNotices(); f.dueMS <= f.x.NowMS; f.takeNotices() {
		f.b.Sweep(f.x.NowMS)
		f.b.TakeWoken()
		f.dueMS = f.b.DueMS()
	}
}

func (f *fixture) takeNotices() {
	n := f.b.Notices()
	f.b.ClearNotices()
	f.noticed = f.noticed || n&mailbox.NoticeDirty != 0
	if n&mailbox.NoticeDue != 0 {
		f.dueMS = f.b.DueMS()
	}
}

// save writes what is to be saved, or fails to.
func (f *fixture) save(fails bool) {
	dirty, records := f.b.TakeDirty(nil, f.x.NowMS)
	f.noticed = false
	switch {
	case dirty == nil:
	case fails:
		f.b.PutBack(dirty)
	default:
		f.disk.forget(dirty)
		f.disk.save(records...)
		f.b.Forgotten(dirty)
		f.x.Save(f.x.Devices...)
	}
}

// forgetUnseen forgets devices, durably.
func (f *fixture) forgetUnseen(ago time.Duration) {
	before := f.x.NowMS - ago.Milliseconds()
	f.x.ForgetDevices(func(d *mailboxtest.Device) bool {
		return !d.Online && f.b.Device(protocol.DeviceID(d.ID)).LastSeenMS(f.x.NowMS) < before
	})
	f.b.ForgetUnseen(before)
	f.save(false)
}

// crash loses all that is not in the store.
func (f *fixture) crash() {
	f.start()
	f.x.Crash()
	f.load()
}

// move gives the mailbox to another owner, having saved it.
func (f *fixture) move() {
	f.unload()
	f.load()
}

func (f *fixture) unload() {
	for _, d := range f.x.Devices {
		f.detach(d.ID)
	}
	if f.step != nil {
		f.step.Abandon(protocol.Errorf(protocol.CodeUnavailable, "lost"))
	}
	dirty, records := f.b.TakeDirty(nil, f.x.NowMS)
	if dirty != nil {
		f.disk.forget(dirty)
		f.disk.save(records...)
	}
	f.x.Save(f.x.Devices...)
	if abandoned := f.b.Unload(); abandoned != (len(f.x.InDoubt) > 0) {
		f.fatal("abandoned %v", abandoned)
	}
	l := &f.common.Ledger
	if l.Memory.Load() != 0 || l.Mailboxes.Load() != 0 || l.Devices.Load() != 0 {
		f.fatal("unloaded it holds %d bytes, %d mailboxes, %d devices", l.Memory.Load(), l.Mailboxes.Load(), l.Devices.Load())
	}
}
