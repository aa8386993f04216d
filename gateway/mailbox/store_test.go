package mailbox_test

import (
	"cmp"
	"maps"
	"slices"

	"ramen/gateway/mailbox"
	"ramen/protocol"
	"ramen/store"
)

// disk is what a store has of one user.
type disk struct {
	entries map[store.Ref]store.Entry
	killed  map[store.Ref]bool
	devices map[protocol.DeviceID]store.Device
	order   []protocol.DeviceID
	seen    map[protocol.MessageID]int64
	last    protocol.Position
}

func newDisk() *disk {
	return &disk{entries: make(map[store.Ref]store.Entry), killed: make(map[store.Ref]bool),
		devices: make(map[protocol.DeviceID]store.Device), seen: make(map[protocol.MessageID]int64)}
}

// clone is a copy of k, as a replica has it.
func (k *disk) clone() *disk {
	return &disk{entries: maps.Clone(k.entries), killed: maps.Clone(k.killed), devices: maps.Clone(k.devices),
		order: slices.Clone(k.order), seen: maps.Clone(k.seen), last: k.last}
}

// replace has k hold m alone.
func (k *disk) replace(m store.Mailbox) {
	*k = *newDisk()
	k.last = m.Last
	for _, e := range m.Entries {
		k.entries[store.Ref{Priority: e.Message.Priority, Position: e.Position}] = e
	}
	for _, d := range m.Devices {
		k.save(store.DeviceSave{Device: d})
	}
	for _, id := range m.Seen {
		k.seen[id.ID] = id.AcceptedMS
	}
}

// append happens once however often it is written, and not where w.Last is another than k's.
func (k *disk) append(w *store.Append, nowMS int64) (done bool) {
	if w.Last != (protocol.Position{}) && w.Last != k.last {
		return false
	}
	if n := len(w.Entries); n > 0 {
		k.last = w.Entries[n-1].Position
	}
	for _, e := range w.Entries {
		ref := store.Ref{Priority: e.Message.Priority, Position: e.Position}
		for old, x := range k.entries {
			if x.Message.ID == e.Message.ID && old != ref {
				delete(k.entries, old)
			}
		}
		k.entries[ref] = e
		k.seen[e.Message.ID] = max(k.seen[e.Message.ID], store.AcceptedMS(e.Message.CreatedMS, nowMS))
	}
	for _, ref := range w.Kills {
		k.killed[ref] = true
	}
	for ref := range k.killed {
		delete(k.entries, ref)
	}
	return true
}

// forget drops what x says, and all that is below what is needed.
func (k *disk) forget(x *mailbox.Dirty) {
	for _, ref := range x.Forgets() {
		delete(k.entries, ref)
	}
	for ref := range k.entries {
		if ref.Position.Less(x.Below()[ref.Priority.Lane()]) {
			delete(k.entries, ref)
		}
	}
}

func (k *disk) save(records ...store.DeviceSave) {
	for _, r := range records {
		id := r.Device.ID
		k.order = slices.DeleteFunc(k.order, func(o protocol.DeviceID) bool { return r.Remove && o == id })
		if delete(k.devices, id); r.Remove {
			continue
		}
		if k.devices[id] = r.Device; !slices.Contains(k.order, id) {
			k.order = append(k.order, id)
		}
	}
}

func (k *disk) load() (m store.Mailbox) {
	m.Last = k.last
	m.Entries = slices.SortedFunc(maps.Values(k.entries), func(a, b store.Entry) int {
		return cmp.Or(cmp.Compare(a.Message.Priority, b.Message.Priority), a.Position.Compare(b.Position))
	})
	for _, id := range k.order {
		m.Devices = append(m.Devices, k.devices[id])
	}
	for id, ms := range k.seen {
		m.Seen = append(m.Seen, store.Seen{ID: id, AcceptedMS: ms})
	}
	return m
}
