package pebble

import (
	"slices"
	"sync"
	"sync/atomic"

	"ramen/protocol"
	"ramen/store"
)

// recent is what is in the journal and not yet for sure in the engine: the newer half of every mailbox. What it has hides
// what the engine has under the same key, and a mark hides what is to be deleted there.
//
// A row belongs to the segment of the journal that it came with, the newest where it came more than once; with that segment
// it is written below, and then leaves (checkpoint.go). An entry that goes before leaves nothing at all, unless the
// engine may have its row: then a mark takes its place.
type recent struct {
	mu      sync.Mutex
	shards  map[protocol.ShardID]map[string]*recentBox // by user
	touched map[uint64][]*recentBox                    // by segment: where it has rows, or had
	times   map[uint64]int64                           // by segment: when the last id in it was handed over, Unix ms
	claims  map[protocol.ShardID]recentClaim
	bytes   int64
	total   atomic.Int64 // bytes, for those who must not wait
	// below is the furthest position of an entry that the engine was given, by shard. Positions of a user grow: an entry
	// behind it has no row there.
	below map[protocol.ShardID]protocol.Position
	// old is the highest epoch that was claimed before Open: of entries up to it the engine may have rows.
	old protocol.Epoch
}

// recentBox is a mailbox. Its slices are in order: entries and marks by place, ids by segment.
type recentBox struct {
	shard   protocol.ShardID
	user    protocol.UserID
	touched uint64 // the newest segment in whose list it is
	first   int    // entries before it are gone
	entries []recentEntry
	marks   []mark
	devices []recentDevice // on one at first: most users have one
	ids     []recentIDs
	one     [1]recentDevice
}

type recentEntry struct {
	ref     store.Ref
	value   []byte // encoded; never changed
	segment uint64
	below   bool // the engine may have a row of it
}

// mark is an entry of which the engine may have a row, which is to go.
type mark struct {
	ref     store.Ref
	segment uint64
}

type recentDevice struct {
	id      string
	value   []byte // encoded; never changed
	segment uint64
	removed bool
}

// recentIDs is the ids of one segment, encoded as in their row (ids.go).
type recentIDs struct {
	segment uint64
	list    []byte // grows at its end only
}

type recentClaim struct {
	store.FencedError
	segment uint64
}

// What a row takes in memory beside its value, roughly.
const (
	boxBytes    = 256
	entryBytes  = 64
	markBytes   = 32
	deviceBytes = 64
)

func newRecent() *recent {
	return &recent{
		shards: make(map[protocol.ShardID]map[string]*recentBox), touched: make(map[uint64][]*recentBox),
		times: make(map[uint64]int64), claims: make(map[protocol.ShardID]recentClaim),
		below: make(map[protocol.ShardID]protocol.Position),
	}
}

// size is the bytes that it takes, roughly.
func (r *recent) size() int64 { return r.total.Load() }

// has reports that segment has rows that are still here.
func (r *recent) has(segment uint64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.hasLocked(segment)
}

func (r *recent) hasLocked(segment uint64) bool {
	if len(r.touched[segment]) > 0 {
		return true
	}
	for _, c := range r.claims {
		if c.segment == segment {
			return true
		}
	}
	return false
}

// boxLocked is user's mailbox; it is made where there is none.
func (r *recent) boxLocked(shard protocol.ShardID, user []byte) *recentBox {
	users := r.shards[shard]
	if users == nil {
		users = make(map[string]*recentBox)
		r.shards[shard] = users
	}
	b := users[string(user)]
	if b == nil {
		b = &recentBox{shard: shard, user: protocol.UserID(user)}
		users[string(b.user)] = b
		r.bytes += boxBytes
	}
	return b
}

// mayBeBelow reports that the engine may have a row of an entry.
func (r *recent) mayBeBelow(shard protocol.ShardID, p protocol.Position) bool {
	return p.Epoch <= r.old || !r.below[shard].Less(p)
}

// apply puts a group that is in segment into effect, as one step for those who read. b is the group's ops, and is kept.
func (r *recent) apply(b []byte, effects []effect, segment uint64) {
	r.mu.Lock()
	defer r.unlockCounted()
	a := applier{recent: r, ops: b, segment: segment}
	for i := range effects {
		a.apply(&effects[i])
	}
}

// replay puts ops that were read from segment into effect. Of these nobody knows what the engine has: the checkpoint before the
// end may have been cut off in its middle.
func (r *recent) replay(b []byte, segment uint64) error {
	r.mu.Lock()
	defer r.unlockCounted()
	a := applier{recent: r, ops: b, segment: segment, replayed: true}
	return readOps(b, a.apply)
}

// applier is the recent with its lock held.
type applier struct {
	*recent
	ops      []byte // that the effects are of
	segment  uint64
	replayed bool
	box      *recentBox
	ms       int64
	idMS     int64 // of the last group with an id
}

func (r *recent) unlockCounted() {
	r.total.Store(r.bytes)
	r.mu.Unlock()
}

func (a *applier) apply(e *effect) {
	switch name := e.name.of(a.ops); e.op {
	case opTime:
		a.ms = e.ms
	case opUser:
		a.mailbox(e.shard, name)
	case opMessage:
		a.message(e.ref(), e.value.of(a.ops), name, e.ms)
	case opDrop:
		a.drop(e.ref())
	case opDevice:
		a.device(name, e.value.of(a.ops), false)
	case opRemove:
		a.device(name, nil, true)
	case opClaim:
		a.claim(e.shard, store.FencedError{Epoch: e.at.Epoch, Owner: string(name)})
	}
}

func (a *applier) mailbox(shard protocol.ShardID, user []byte) {
	a.box = a.boxLocked(shard, user)
	if a.box.touched == 0 { // what leaves it empty leaves it to a checkpoint as well
		a.touch()
	}
}

// touch puts the box on the list of the segment.
func (a *applier) touch() {
	if a.box.touched != a.segment {
		a.box.touched = a.segment
		a.recent.touched[a.segment] = append(a.recent.touched[a.segment], a.box)
	}
}

func (a *applier) message(ref store.Ref, value, id []byte, acceptedMS int64) {
	a.touch()
	a.addID(id, acceptedMS)
	b := a.box
	e := recentEntry{ref, value, a.segment, a.replayed || a.mayBeBelow(b.shard, ref.Position)}
	i, ok := b.find(ref)
	if ok {
		old := &b.entries[i]
		a.bytes += int64(len(value) - len(old.value))
		e.below = e.below || old.below
		*old = e
		return
	}
	if at, marked := b.findMark(ref); marked {
		b.marks = slices.Delete(b.marks, at, at+1)
		a.bytes -= markBytes
		e.below = true
	}
	b.insert(i, e)
	a.bytes += entryBytes + int64(len(value))
}

func (a *applier) addID(id []byte, acceptedMS int64) {
	b := a.box
	n := len(b.ids)
	if n == 0 || b.ids[n-1].segment != a.segment {
		b.ids = append(b.ids, recentIDs{segment: a.segment})
		n++
	}
	if a.ms > a.idMS { // of each group the first will do
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
	below := a.replayed || a.mayBeBelow(b.shard, ref.Position)
	if i, ok := b.find(ref); ok {
		e := &b.entries[i]
		below = e.below
		a.bytes -= entryBytes + int64(len(e.value))
		b.remove(i)
	}
	if !below {
		return
	}
	// One that is there already stays with its older segment: it hides as much, and goes no later.
	if i, marked := b.findMark(ref); !marked {
		a.touch()
		b.marks = slices.Insert(b.marks, i, mark{ref, a.segment})
		a.bytes += markBytes
	}
}

func (a *applier) device(id, value []byte, removed bool) {
	a.touch()
	d := a.box.device(id)
	if d == nil {
		if a.box.devices == nil {
			a.box.devices = a.box.one[:0]
		}
		a.box.devices = append(a.box.devices, recentDevice{id: string(id)})
		d = &a.box.devices[len(a.box.devices)-1]
		a.bytes += deviceBytes + int64(len(id))
	}
	a.bytes += int64(len(value) - len(d.value))
	d.value, d.segment, d.removed = value, a.segment, removed
}

func (a *applier) claim(shard protocol.ShardID, at store.FencedError) {
	if c := a.claims[shard]; c.Epoch <= at.Epoch {
		a.claims[shard] = recentClaim{at, a.segment}
	}
}

func compareRefs(a, b store.Ref) int {
	if c := a.Position.Compare(b.Position); c != 0 {
		return c
	}
	return int(a.Priority) - int(b.Priority)
}

// find is where ref is in entries, or would be.
func (b *recentBox) find(ref store.Ref) (int, bool) {
	if n := len(b.entries); n == b.first || compareRefs(b.entries[n-1].ref, ref) < 0 {
		return n, false // as nearly always: positions grow
	}
	i, ok := slices.BinarySearchFunc(b.entries[b.first:], ref, func(e recentEntry, r store.Ref) int { return compareRefs(e.ref, r) })
	return b.first + i, ok
}

func (b *recentBox) findMark(ref store.Ref) (int, bool) {
	return slices.BinarySearchFunc(b.marks, ref, func(m mark, r store.Ref) int { return compareRefs(m.ref, r) })
}

func (b *recentBox) insert(i int, e recentEntry) {
	if len(b.entries) == cap(b.entries) && b.first > len(b.entries)/2 { // rather move than grow
		n := copy(b.entries, b.entries[b.first:])
		clear(b.entries[n:])
		i -= b.first
		b.entries, b.first = b.entries[:n], 0
	}
	b.entries = slices.Insert(b.entries, i, e)
}

// remove takes the entry at i out: mostly it is the first.
func (b *recentBox) remove(i int) {
	if i == b.first {
		b.entries[i] = recentEntry{}
		b.first++
	} else {
		b.entries = slices.Delete(b.entries, i, i+1)
	}
	if b.first == len(b.entries) {
		b.entries, b.first = b.entries[:0], 0
	}
}

func (b *recentBox) device(id []byte) *recentDevice {
	for i := range b.devices {
		if b.devices[i].id == string(id) {
			return &b.devices[i]
		}
	}
	return nil
}

func (b *recentBox) empty() bool {
	return b.first == len(b.entries) && len(b.marks)+len(b.devices)+len(b.ids) == 0
}

// viewLocked is what recent has of a user, as a copy.
func (r *recent) viewLocked(shard protocol.ShardID, user protocol.UserID) (v recentBox) {
	b := r.shards[shard][string(user)]
	if b == nil {
		return v
	}
	return recentBox{
		entries: slices.Clone(b.entries[b.first:]), marks: slices.Clone(b.marks),
		devices: slices.Clone(b.devices), ids: slices.Clone(b.ids),
	}
}
