package transfer

import (
	"bytes"
	"cmp"
	"maps"
	"math"
	"reflect"
	"slices"

	"ramen/protocol"
	"ramen/store"
)

// plan is what a user's mailbox in the target lacks.
type plan struct {
	entries []store.Entry // in order of position
	ids     []store.Seen  // that no entry has
	devices []store.Device
	kills   []store.Ref         // entries that the source has no more
	removed []protocol.DeviceID // and devices
}

func (p *plan) empty() bool {
	return len(p.entries)+len(p.ids)+len(p.devices)+len(p.kills)+len(p.removed) == 0
}

// whileItLives is when the id of an entry was seen, for what is missing: an entry remembers its id. What would bring the id once more
// would replace the entry.
const whileItLives = math.MaxInt64

// mirror is what makes to as from is.
func mirror(from, to *store.Mailbox) (p plan) {
	have, kept, seen := byRef(to), byRef(from), seenIn(to)
	for ref, e := range kept {
		if _, ok := have[ref]; !ok {
			p.entries = append(p.entries, e)
		}
		seen[e.Message.ID] = whileItLives
	}
	for ref := range have {
		if _, ok := kept[ref]; !ok {
			p.kills = append(p.kills, ref)
		}
	}
	p.order()
	p.missingIDs(from, seen)
	devices := byDevice(to)
	for _, d := range from.Devices {
		if has, ok := devices[d.ID]; !ok || !sameDevice(&has, &d) {
			p.devices = append(p.devices, d)
		}
		delete(devices, d.ID)
	}
	p.removed = slices.Sorted(maps.Keys(devices))
	return p
}

// merge is what has to hold everything that from does. Where the user is in both, entries are put behind all that there is, by place,
// which answers one position after another, and devices that come have reached nothing.
func merge(from, to *store.Mailbox, place func() protocol.Position) (p plan) {
	both := len(to.Entries)+len(to.Devices) > 0
	seen := seenIn(to)
	for _, e := range to.Entries {
		seen[e.Message.ID] = whileItLives
	}
	for _, e := range from.Entries {
		if _, ok := seen[e.Message.ID]; !ok {
			p.entries = append(p.entries, e)
			seen[e.Message.ID] = whileItLives
		}
	}
	p.order()
	devices := byDevice(to)
	for _, d := range from.Devices {
		if _, ok := devices[d.ID]; ok {
			continue
		}
		if both {
			d.Acked, d.Pushed = protocol.Cursor{}, protocol.Cursor{}
		}
		p.devices = append(p.devices, d)
	}
	if both {
		for i := range p.entries {
			p.entries[i].Position = place()
		}
	}
	p.missingIDs(from, seen)
	return p
}

func (p *plan) order() {
	slices.SortFunc(p.entries, func(a, b store.Entry) int { return a.Position.Compare(b.Position) })
	slices.SortFunc(p.kills, func(a, b store.Ref) int { return a.Position.Compare(b.Position) })
}

// missingIDs are those that are not seen, or not as late.
func (p *plan) missingIDs(from *store.Mailbox, seen map[protocol.MessageID]int64) {
	for _, s := range from.Seen {
		if ms, ok := seen[s.ID]; !ok || ms < s.AcceptedMS {
			p.ids = append(p.ids, s)
		}
	}
	slices.SortFunc(p.ids, func(a, b store.Seen) int {
		return cmp.Or(cmp.Compare(a.AcceptedMS, b.AcceptedMS), cmp.Compare(a.ID, b.ID))
	})
}

func refOf(e *store.Entry) store.Ref {
	return store.Ref{Priority: e.Message.Priority, Position: e.Position}
}

func byRef(m *store.Mailbox) map[store.Ref]store.Entry {
	all := make(map[store.Ref]store.Entry, len(m.Entries))
	for i := range m.Entries {
		all[refOf(&m.Entries[i])] = m.Entries[i]
	}
	return all
}

func byDevice(m *store.Mailbox) map[protocol.DeviceID]store.Device {
	all := make(map[protocol.DeviceID]store.Device, len(m.Devices))
	for _, d := range m.Devices {
		all[d.ID] = d
	}
	return all
}

func seenIn(m *store.Mailbox) map[protocol.MessageID]int64 {
	all := make(map[protocol.MessageID]int64, len(m.Seen))
	for _, s := range m.Seen {
		all[s.ID] = s.AcceptedMS
	}
	return all
}

// sameEntry reports whether both are one message, at any position. What is empty need not be empty in the same way.
func sameEntry(a, b *store.Entry) bool {
	x, y := *a.Message, *b.Message
	same := bytes.Equal(x.Payload, y.Payload) && maps.Equal(x.Headers, y.Headers) && maps.Equal(a.Where, b.Where) && a.Device == b.Device
	x.Payload, y.Payload, x.Headers, y.Headers = nil, nil, nil, nil
	return same && reflect.DeepEqual(x, y)
}

func sameDevice(a, b *store.Device) bool {
	x, y := *a, *b
	if x.Context != nil && y.Context != nil {
		p, q := *x.Context, *y.Context
		if !maps.Equal(p.Labels, q.Labels) {
			return false
		}
		p.Labels, q.Labels = nil, nil
		x.Context, y.Context = &p, &q
	}
	return reflect.DeepEqual(x, y)
}
