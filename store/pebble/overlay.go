package pebble

import (
	"slices"
	"sync"
	"sync/atomic"

	"ramen/protocol"
	"ramen/store"
)

// overlay holds in memory what is in the journal and may not be in the engine yet: the newer part of every mailbox. A row in it
// hides the engine's row of the same key; a tombstone hides a row that the next checkpoint deletes.
//
// Each row belongs to the segment of the journal that it was written in, the newest one if it was written several times. The
// checkpoint of that segment writes the row to the engine, and then removes it from the overlay (checkpoint.go). An entry that is
// dropped before that leaves nothing behind, unless the engine may have its row: then it leaves a tombstone.
type overlay struct {
	mu      sync.Mutex
	shards  map[protocol.ShardID]map[string]*overlayMailbox // by user
	touched map[uint64][]*overlayMailbox                    // by segment: the mailboxes that have rows of it, or had
	times   map[uint64]int64                                // by segment: when the last id in it was handed over, Unix ms
	claims  map[protocol.ShardID]overlayClaim
	bytes   int64
	total   atomic.Int64 // bytes, to be read without mu
	// engineUpTo is the highest position, by shard, of an entry that was written to the engine. Positions of a user grow, so the
	// engine has no row of an entry with a higher one.
	engineUpTo map[protocol.ShardID]protocol.Position
	// oldEpoch is the highest epoch that was claimed before Open: the engine may have rows of entries up to it.
	oldEpoch protocol.Epoch
}

// overlayMailbox is one user's part of the overlay. Entries and tombstones are in order of position, ids in order of segment.
//
// Each connect of a new device makes one, which leaves some seconds later. So its size is of a class of the allocator in which
// nothing is that stays with a stream.
type overlayMailbox struct {
	shard      protocol.ShardID
	first      int32 // index of the first entry that is left
	user       protocol.UserID
	touched    uint64 // the newest segment in whose touched list it is
	entries    []overlayEntry
	tombstones []tombstone
	devices    []overlayDevice // backed by one at first: most users have one device
	ids        []overlayIDs
	one        [1]overlayDevice
}

type overlayEntry struct {
	ref      store.Ref
	value    []byte // encoded; never changed
	segment  uint64
	inEngine bool // the engine may have a row of it
}

// tombstone stands for an entry that was dropped and of which the engine may have a row: the checkpoint deletes that.
type tombstone struct {
	ref     store.Ref
	segment uint64
}

type overlayDevice struct {
	id      string
	value   []byte // encoded; never changed; nil: the device was removed
	segment uint64
}

func (d *overlayDevice) removed() bool { return d.value == nil }

// overlayIDs is the ids of one segment, encoded as in their row (ids.go).
type overlayIDs struct {
	segment uint64
	list    []byte // grows at its end only
}

type overlayClaim struct {
	store.FencedError
	segment uint64
}

// The approximate bytes that a row takes in memory besides its value.
const (
	boxBytes       = 256
	entryBytes     = 64
	tombstoneBytes = 32
	deviceBytes    = 64
)

func newOverlay() *overlay {
	return &overlay{
		shards: make(map[protocol.ShardID]map[string]*overlayMailbox), touched: make(map[uint64][]*overlayMailbox),
		times: make(map[uint64]int64), claims: make(map[protocol.ShardID]overlayClaim),
		engineUpTo: make(map[protocol.ShardID]protocol.Position),
	}
}

// size is the approximate bytes that the overlay takes.
func (o *overlay) size() int64 { return o.total.Load() }

// has reports whether the overlay still has rows of segment.
func (o *overlay) has(segment uint64) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.hasLocked(segment)
}

func (o *overlay) hasLocked(segment uint64) bool {
	if len(o.touched[segment]) > 0 {
		return true
	}
	for _, c := range o.claims {
		if c.segment == segment {
			return true
		}
	}
	return false
}

// boxLocked returns user's mailbox, and makes it if there is none.
func (o *overlay) boxLocked(shard protocol.ShardID, user []byte) *overlayMailbox {
	users := o.shards[shard]
	if users == nil {
		users = make(map[string]*overlayMailbox)
		o.shards[shard] = users
	}
	b := users[string(user)]
	if b == nil {
		b = &overlayMailbox{shard: shard, user: protocol.UserID(user)}
		users[string(b.user)] = b
		o.bytes += boxBytes
	}
	return b
}

// mayBeInEngine reports whether the engine may have a row of the entry at p.
func (o *overlay) mayBeInEngine(shard protocol.ShardID, p protocol.Position) bool {
	return p.Epoch <= o.oldEpoch || !o.engineUpTo[shard].Less(p)
}

// apply applies the effects of a group that was written to segment; readers see all of it or nothing. It keeps b, the group's ops.
func (o *overlay) apply(b []byte, effects []effect, segment uint64) {
	o.mu.Lock()
	defer o.unlockCounted()
	a := applier{overlay: o, ops: b, segment: segment}
	for i := range effects {
		a.apply(&effects[i])
	}
}

// replay applies ops that Open read from segment. The engine may have rows of any of them: the process may have ended in the middle
// of a checkpoint.
func (o *overlay) replay(b []byte, segment uint64) error {
	o.mu.Lock()
	defer o.unlockCounted()
	a := applier{overlay: o, ops: b, segment: segment, replayed: true}
	return readOps(b, a.apply)
}

// applier applies effects to the overlay, with its lock held.
type applier struct {
	*overlay
	ops      []byte // the group's ops, which the effects' spans refer to
	segment  uint64
	replayed bool
	box      *overlayMailbox
	ms       int64
	idMS     int64 // of the last group with an id
}

func (o *overlay) unlockCounted() {
	o.total.Store(o.bytes)
	o.mu.Unlock()
}

func (a *applier) apply(e *effect) {
	switch name := e.name.of(a.ops); e.op {
	case opTime:
		a.ms = e.ms
	case opUser:
		a.mailbox(e.shard, name)
	case opMessage:
		a.message(e.ref(), e.value.of(a.ops), name, store.AcceptedMS(e.ms, a.ms))
	case opDrop:
		a.drop(e.ref())
	case opDevice:
		a.device(name, e.value.of(a.ops))
	case opRemove:
		a.device(name, nil)
	case opClaim:
		a.claim(e.shard, store.FencedError{Epoch: e.at.Epoch, Owner: string(name)})
	}
}

func (a *applier) mailbox(shard protocol.ShardID, user []byte) {
	a.box = a.boxLocked(shard, user)
	if a.box.touched == 0 { // so that a checkpoint removes it even if it becomes empty
		a.touch()
	}
}

// touch lists the mailbox under the segment.
func (a *applier) touch() {
	if a.box.touched != a.segment {
		a.box.touched = a.segment
		a.overlay.touched[a.segment] = append(a.overlay.touched[a.segment], a.box)
	}
}

func (a *applier) message(ref store.Ref, value, id []byte, acceptedMS int64) {
	a.touch()
	a.addID(id, acceptedMS)
	b := a.box
	e := overlayEntry{ref, value, a.segment, a.replayed || a.mayBeInEngine(b.shard, ref.Position)}
	i, ok := b.find(ref)
	if ok {
		old := &b.entries[i]
		a.bytes += int64(len(value) - len(old.value))
		e.inEngine = e.inEngine || old.inEngine
		*old = e
		return
	}
	if at, buried := b.findTombstone(ref); buried {
		b.tombstones = slices.Delete(b.tombstones, at, at+1)
		a.bytes -= tombstoneBytes
		e.inEngine = true
	}
	b.insert(i, e)
	a.bytes += entryBytes + int64(len(value))
}

func (a *applier) addID(id []byte, acceptedMS int64) {
	b := a.box
	n := len(b.ids)
	if n == 0 || b.ids[n-1].segment != a.segment {
		b.ids = append(b.ids, overlayIDs{segment: a.segment})
		n++
	}
	if a.ms > a.idMS { // the first id of a group is enough
		a.idMS = a.ms
		a.times[a.segment] = max(a.ms, a.times[a.segment])
	}
	list := &b.ids[n-1].list
	before := len(*list)
	*list = appendID(*list, id, acceptedMS)
	a.bytes += int64(len(*list) - before)
}

func (a *applier) drop(ref store.Ref) {
	b := a.box
	inEngine := a.replayed || a.mayBeInEngine(b.shard, ref.Position)
	if i, ok := b.find(ref); ok {
		e := &b.entries[i]
		inEngine = e.inEngine
		a.bytes -= entryBytes + int64(len(e.value))
		b.remove(i)
	}
	if !inEngine {
		return
	}
	// A tombstone that is there already keeps its older segment: it hides the same row, and leaves no later.
	if i, buried := b.findTombstone(ref); !buried {
		a.touch()
		b.tombstones = slices.Insert(b.tombstones, i, tombstone{ref, a.segment})
		a.bytes += tombstoneBytes
	}
}

// device puts the record of a device; nil: its removal.
func (a *applier) device(id, value []byte) {
	a.touch()
	d := a.box.device(id)
	if d == nil {
		if a.box.devices == nil {
			a.box.devices = a.box.one[:0]
		}
		a.box.devices = append(a.box.devices, overlayDevice{id: string(id)})
		d = &a.box.devices[len(a.box.devices)-1]
		a.bytes += deviceBytes + int64(len(id))
	}
	a.bytes += int64(len(value) - len(d.value))
	d.value, d.segment = value, a.segment
}

func (a *applier) claim(shard protocol.ShardID, at store.FencedError) {
	if c := a.claims[shard]; c.Epoch <= at.Epoch {
		a.claims[shard] = overlayClaim{at, a.segment}
	}
}

func compareRefs(a, b store.Ref) int {
	if c := a.Position.Compare(b.Position); c != 0 {
		return c
	}
	return int(a.Priority) - int(b.Priority)
}

// find returns the index of ref in entries, or where to insert it.
func (b *overlayMailbox) find(ref store.Ref) (int, bool) {
	if n := len(b.entries); n == int(b.first) || compareRefs(b.entries[n-1].ref, ref) < 0 {
		return n, false // the usual case: positions grow
	}
	i, ok := slices.BinarySearchFunc(b.entries[b.first:], ref, func(e overlayEntry, r store.Ref) int { return compareRefs(e.ref, r) })
	return int(b.first) + i, ok
}

func (b *overlayMailbox) findTombstone(ref store.Ref) (int, bool) {
	return slices.BinarySearchFunc(b.tombstones, ref, func(m tombstone, r store.Ref) int { return compareRefs(m.ref, r) })
}

func (b *overlayMailbox) insert(i int, e overlayEntry) {
	if len(b.entries) == cap(b.entries) && int(b.first) > len(b.entries)/2 { // move the entries to the front instead of growing the slice
		n := copy(b.entries, b.entries[b.first:])
		clear(b.entries[n:])
		i -= int(b.first)
		b.entries, b.first = b.entries[:n], 0
	}
	b.entries = slices.Insert(b.entries, i, e)
}

// remove removes the entry at i, usually the first.
func (b *overlayMailbox) remove(i int) {
	if i == int(b.first) {
		b.entries[i] = overlayEntry{}
		b.first++
	} else {
		b.entries = slices.Delete(b.entries, i, i+1)
	}
	if int(b.first) == len(b.entries) {
		b.entries, b.first = b.entries[:0], 0
	}
}

func (b *overlayMailbox) device(id []byte) *overlayDevice {
	for i := range b.devices {
		if b.devices[i].id == string(id) {
			return &b.devices[i]
		}
	}
	return nil
}

func (b *overlayMailbox) empty() bool {
	return int(b.first) == len(b.entries) && len(b.tombstones)+len(b.devices)+len(b.ids) == 0
}

// viewLocked returns a copy of what the overlay has of a user.
func (o *overlay) viewLocked(shard protocol.ShardID, user protocol.UserID) (v overlayMailbox) {
	b := o.shards[shard][string(user)]
	if b == nil {
		return v
	}
	return overlayMailbox{
		entries: slices.Clone(b.entries[b.first:]), tombstones: slices.Clone(b.tombstones),
		devices: slices.Clone(b.devices), ids: slices.Clone(b.ids),
	}
}
