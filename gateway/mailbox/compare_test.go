package mailbox_test

import (
	"slices"

	"ramen/gateway/mailbox"
	"ramen/protocol"
)

func (f *fixture) compare() {
	f.deliver()
	s := f.b.Snapshot(f.x.NowMS)
	waiting := []string{}
	for _, e := range s.Entries {
		waiting = append(waiting, string(e.Message.ID))
	}
	if want := f.x.Waiting(); !slices.Equal(waiting, want) {
		f.fatal("waiting %v; want %v", waiting, want)
	}
	if len(s.Devices) != len(f.x.Devices) {
		f.fatal("%d devices; want %d", len(s.Devices), len(f.x.Devices))
	}
	for _, d := range f.x.Devices {
		n := 0
		for _, m := range f.x.All {
			if m.WaitsFor(d) {
				n++
			}
		}
		got := s.Device(protocol.DeviceID(d.ID))
		if counted := f.b.Device(got.ID).Pending(); got.Pending != n || counted != n {
			f.fatal("%s: pending %d, and as counted %d; want %d", d.ID, got.Pending, counted, n)
		}
	}
	if s.InDoubt != (len(f.x.InDoubt) > 0) || f.b.IsDirty() && !f.noticed {
		f.fatal("in doubt %v, dirty %v, noticed %v", s.InDoubt, f.b.IsDirty(), f.noticed)
	}
	f.compareLedger(len(waiting))
	if f.step == nil {
		f.recount()
	}
}

func (f *fixture) compareLedger(waiting int) {
	l := &f.common.Ledger
	in, out := l.Accepted.Load()+l.Loaded.Load(), l.Unloaded.Load()+uint64(waiting)
	for i := range l.Ended {
		out += l.Ended[i].Load()
	}
	if in != out {
		f.fatal("%d messages came into memory, %d are accounted for", in, out)
	}
}

// recount counts the mailbox anew.
func (f *fixture) recount() {
	var n mailbox.Counts
	c := mailbox.NewRecount(f.b)
	for more := true; more; {
		var err error
		if more, err = c.Portion(&n); err != nil {
			f.fatal("recount: %v", err)
		}
	}
	l := &f.common.Ledger
	if n.Bytes != l.Memory.Load() || n.Devices != l.Devices.Load() || n.Online != int64(len(f.windows)) {
		f.fatal("recounted %+v; the ledger has %d bytes, %d devices; %d are online", n, l.Memory.Load(), l.Devices.Load(), len(f.windows))
	}
	for i := range n.Waiting {
		if n.Waiting[i] != l.Waiting[i].Load() {
			f.fatal("recounted %+v; the ledger has %d in lane %d", n, l.Waiting[i].Load(), i)
		}
	}
}
