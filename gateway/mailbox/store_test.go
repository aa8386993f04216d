package mailbox_test

import (
	"cmp"
	"maps"
	"slices"

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
}

func newDisk() *disk {
	return &disk{entries: make(map[store.Ref]store.Entry), killed: make(map[store.Ref]bool),
		devices: make(map[protocol.DeviceID]store.Device), seen: make(map[protocol.MessageID]int64)}
}

// append happens once however often it is written.
func (k *disk) append(w *store.Append) {
	for _, e := range w.Entries {
		ref := store.Ref{Priority: e.Message.Priority, Position: e.Position}
		for old, x := range k.entries {
			if x.Message.ID == e.Message.ID && old != ref {
				delete(k.entries, old)
			}
		}
		k.entries[ref] = e
		k.seen[e.Message.ID] = e.Message.CreatedMS
	}
	for _, ref := range w.Kills {
		k.killed[ref] = true
	}
	for ref := range k.killed {
		delete(k.entries, ref)
	}
}

func (k *disk) forget(refs []store.Ref) {
	for _, ref := range refs {
		delete(k.entries, ref)
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
