package mailbox

import (
	"sort"
	"sync"

	"ramen/protocol"
	"ramen/store"
)

// entry is one message in a lane, guarded like its mailbox.
//
// waiting counts the known devices that the entry is for and that have not acked it; devices that where excludes are not
// counted. An entry that no device has acked stays even if waiting is 0: it may be for the first device that comes (SPEC 1.3.3).
type entry struct {
	pos     protocol.Position
	msg     *protocol.Message
	device  protocol.DeviceID // empty: every device
	where   map[string]string
	matches map[protocol.DeviceID]match // results of where, by device; nil until one was evaluated
	size    int32                       // bytes of memory, as counted (size.go)
	quota   int32                       // bytes that count against mailbox_bytes
	waiting int32
	acked   bool    // by at least one device
	killed  bool    // by a write that is under way, or in doubt
	dead    bool    // removed from the mailbox; the next trim drops it from its lane
	removal Removal // why it was removed
}

// match is the result of where for a device. It is evaluated once, when the message is first the next push to the device. SPEC 9.4.1, 9.4.2.
type match uint8

const (
	unevaluated match = iota
	excluded
	matched
	matchedAndPushed
)

// ref names e to the store.
func (e *entry) ref() store.Ref { return store.Ref{Priority: e.msg.Priority, Position: e.pos} }

// targets reports whether e is for all devices or for the one with that id, without regard to where.
func (e *entry) targets(id protocol.DeviceID) bool { return e.device == "" || e.device == id }

// pendingFor reports whether e is for d. A where that is not evaluated yet counts by the context that d has now.
func (e *entry) pendingFor(d *Device) bool {
	if e.dead || !e.targets(d.id) {
		return false
	}
	if e.where == nil {
		return true
	}
	switch e.matches[d.id] {
	case excluded:
		return false
	case unevaluated:
		return d.context.Matches(e.where)
	}
	return true
}

// lane is one priority of a mailbox: entries in order of position, with the dead ones until trim drops them.
type lane struct {
	entries []*entry
	dead    int
}

// lanes are the three lanes of a mailbox, and what else a mailbox needs only while something waits in it.
type lanes struct {
	at        [protocol.Lanes]lane
	collapse  map[collapseKey]*entry      // the waiting entry of each key; nil until there was one
	leftovers map[collapseKey][]store.Ref // by key: entries that have left memory and that the store may still have (collapse.go); nil until there was one
	tallies   []tally                     // what waits for each device, in the order of the mailbox's devices
	last      struct {                    // the device whose tally was read last, which usually is the next to be read, too
		device *Device // nil: none
		place  int
	}
	wheres  int    // live entries with where
	held    int64  // bytes of memory of the lanes and all entries in them
	changes uint64 // number of changes of entries and of the devices that they wait for
}

var spareLanes = sync.Pool{New: func() any { return new(lanes) }}

// emptyLane stands for the lanes of a mailbox that has none. It is only read.
var emptyLane lane

// after returns the index of the first entry behind p, without a search if p is before the first or behind the last.
func (l *lane) after(p protocol.Position) int {
	n := len(l.entries)
	if n == 0 || !p.Less(l.entries[n-1].pos) {
		return n
	}
	if p.Less(l.entries[0].pos) {
		return 0
	}
	return sort.Search(n, func(i int) bool { return p.Less(l.entries[i].pos) })
}

// find returns the entry at p, or nil.
func (l *lane) find(p protocol.Position) *entry {
	i := sort.Search(len(l.entries), func(i int) bool { return !l.entries[i].pos.Less(p) })
	if i == len(l.entries) || l.entries[i].pos != p {
		return nil
	}
	return l.entries[i]
}

// compactAt is the most dead entries behind a live one that a lane keeps before it may be rewritten.
const compactAt = 64

// trim drops the dead entries at the head of the lane, and all of them if they are many, and returns the bytes that they took.
func (l *lane) trim() (bytes int64) {
	head := 0
	for head < len(l.entries) && l.entries[head].dead {
		bytes += int64(l.entries[head].size)
		l.entries[head] = nil
		head++
	}
	l.entries = l.entries[head:]
	l.dead -= head
	if l.dead > compactAt && l.dead > len(l.entries)/2 {
		live := make([]*entry, 0, len(l.entries)-l.dead)
		for _, e := range l.entries {
			if !e.dead {
				live = append(live, e)
			} else {
				bytes += int64(e.size)
			}
		}
		l.entries, l.dead = live, 0
	}
	if len(l.entries) == 0 {
		l.entries = nil // an idle mailbox holds no buffer
	}
	return bytes
}
