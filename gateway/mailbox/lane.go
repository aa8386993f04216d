package mailbox

import (
	"sort"
	"sync"

	"ramen/protocol"
	"ramen/store"
)

// entry is one message in a lane, guarded like its mailbox.
//
// waiting counts the known devices that the entry is for and that have not acked it; a device that where has turned
// away is not counted. An entry that nobody has acked stays although waiting is 0: the first device that comes may want it.
type entry struct {
	pos     protocol.Position
	msg     *protocol.Message
	device  protocol.DeviceID // empty: every device
	where   map[string]string
	matches map[protocol.DeviceID]match // of where, as far as evaluated; nil until then
	size    int32                       // bytes that it holds, as it was counted (size.go)
	quota   int32                       // bytes that count against mailbox_bytes
	waiting int32
	acked   bool    // by at least one device
	killed  bool    // by a write that is under way, or in doubt
	dead    bool    // left the mailbox; awaits being trimmed from its lane
	removal Removal // why, once dead
}

// match is what where said of a device when the message was first the next to be pushed to it. It stands. SPEC 9.
type match uint8

const (
	unevaluated match = iota
	excluded
	matched
	matchedAndPushed
)

// ref is what the store calls e.
func (e *entry) ref() store.Ref { return store.Ref{Priority: e.msg.Priority, Position: e.pos} }

// targets reports whether e names d, whatever where says.
func (e *entry) targets(id protocol.DeviceID) bool { return e.device == "" || e.device == id }

// pendingFor reports whether e is for d as far as anybody knows: what is not evaluated counts by the context that d has now.
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

// lane is one priority of a mailbox: entries in order of position, the dead among them until they are trimmed.
type lane struct {
	entries []*entry
	dead    int
}

// lanes are those of a mailbox in which something waits.
type lanes struct {
	at        [protocol.Lanes]lane
	collapse  map[collapseKey]*entry      // the waiting entry of each key; nil until there was one
	leftovers map[collapseKey][]store.Ref // what left of each key, and the store may still have (collapse.go); nil until there was one
	tallies   []tally                     // what waits for each device, in the order of the mailbox's devices
	last      struct {                    // whose tally was asked for last: mostly it is the next too
		device *Device // nil: nobody's
		place  int
	}
	wheres  int    // live entries with where
	held    int64  // bytes of what is in the lanes, the dead included, and of these themselves
	changes uint64 // of whom something waits for, and of what is in the lanes
}

var spareLanes = sync.Pool{New: func() any { return new(lanes) }}

// emptyLane stands for each lane of a mailbox in which nothing waits. It is only read.
var emptyLane lane

// after is the index of the first entry behind p. A device that has read all, or nothing, costs no search.
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

// find is the entry at p, or nil.
func (l *lane) find(p protocol.Position) *entry {
	i := sort.Search(len(l.entries), func(i int) bool { return !l.entries[i].pos.Less(p) })
	if i == len(l.entries) || l.entries[i].pos != p {
		return nil
	}
	return l.entries[i]
}

// compactAt is how many dead entries behind a live one are borne before a lane is rewritten.
const compactAt = 64

// trim drops the dead at the head, and all of them where they are many, and says what they held.
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
