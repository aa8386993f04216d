package mailbox_test

import (
	"math"
	"slices"

	"ramen/gateway/mailbox"
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
	f.b.Fill(f.disk.load(), f.x.nowMS)
	f.dueMS = f.b.DueMS()
	f.x.load()
}

func (f *fixture) reload() {
	f.finishUnknown()
	if f.pick(2) == 0 {
		f.crash()
	} else {
		f.move()
	}
}

// advance has time pass, from one moment at which the mailbox has said that it is due to the next.
func (f *fixture) advance() {
	end := f.x.nowMS + int64(1+f.pick(5))*700
	if f.pick(6) == 0 {
		end += retention.Milliseconds()
	}
	f.note("advance to %d", end-startMS)
	f.deliver()
	for end > f.x.nowMS {
		f.x.nowMS = min(end, max(f.dueMS, f.x.nowMS+1))
		f.deliver()
	}
	f.b.SweepIDs(end)
}

// heed does what the notices ask for.
func (f *fixture) heed() {
	for f.takeNotices(); f.dueMS <= f.x.nowMS; f.takeNotices() {
		f.b.Sweep(f.x.nowMS)
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
func (f *fixture) save() {
	dirty, records := f.b.TakeDirty(nil, f.x.nowMS)
	if f.noticed = false; dirty == nil {
		return
	}
	if f.pick(3) == 0 {
		f.note("save fails")
		f.b.PutBack(dirty)
		return
	}
	f.note("save")
	f.disk.forget(dirty)
	f.disk.save(records...)
	f.b.Forgotten(dirty)
	f.x.save(f.x.devices...)
}

// forgetUnseen forgets devices, durably.
func (f *fixture) forgetUnseen() {
	before := f.x.nowMS - int64(f.pick(5))*700
	f.note("forget before %d", before-startMS)
	f.x.devices = slices.DeleteFunc(f.x.devices, func(d *modelDevice) bool {
		gone := !d.online && f.b.Device(protocol.DeviceID(d.id)).LastSeenMS(f.x.nowMS) < before
		if gone {
			delete(f.names, d.id)
			for _, m := range f.x.all {
				delete(m.matches, d.id)
			}
		}
		return gone
	})
	f.b.ForgetUnseen(before)
	f.x.drop()
	dirty, records := f.b.TakeDirty(nil, f.x.nowMS)
	if f.noticed = false; dirty != nil {
		f.disk.forget(dirty)
		f.disk.save(records...)
		f.b.Forgotten(dirty)
		f.x.save(f.x.devices...)
	}
}

// crash loses all that is not in the store.
func (f *fixture) crash() {
	f.note("crash")
	f.start()
	f.x.crash()
	f.load()
}

// move gives the mailbox to another owner, having saved it.
func (f *fixture) move() {
	f.note("move")
	for _, d := range f.x.devices {
		f.cut(d.id)
	}
	if f.step != nil {
		f.step.Abandon(protocol.Errorf(protocol.CodeUnavailable, "lost"))
	}
	dirty, records := f.b.TakeDirty(nil, f.x.nowMS)
	if dirty != nil {
		f.disk.forget(dirty)
		f.disk.save(records...)
	}
	f.x.save(f.x.devices...)
	if abandoned := f.b.Unload(); abandoned != (len(f.x.inDoubt) > 0) {
		f.fatal("abandoned %v", abandoned)
	}
	l := &f.common.Ledger
	if l.Memory.Load() != 0 || l.Mailboxes.Load() != 0 || l.Devices.Load() != 0 {
		f.fatal("unloaded it holds %d bytes, %d mailboxes, %d devices", l.Memory.Load(), l.Mailboxes.Load(), l.Devices.Load())
	}
	f.load()
}
