package mailbox

import (
	"math"

	"ramen/internal/tool/ratelimit"
	"ramen/protocol"
	"ramen/store"
)

// Mailbox is one user's messages and devices, during one ownership of the user's shard. The caller holds a lock of its own around each
// call, and reads Notices before it unlocks.
type Mailbox struct {
	// immutable
	scope *Scope
	user  protocol.UserID

	last         protocol.Position // the last position that the store is known to have of the mailbox; zero: none
	nextExpiryMS int64             // nothing expires before it; 0: nothing expires
	count        int32             // entries that wait, those being appended included
	filled       bool              // between Fill and Unload: its counts are in the ledger
	marked       bool              // last tells of all that was written: an append with entries was the last write
	wake         bool              // something expired that may have held up pushes
	notices      Notice
	bytes        int64     // of the entries counted
	lanes        *lanes    // nil while they are empty: an idle mailbox has none
	devices      *Device   // the first of the list by next, in the order in which they became known
	dedup        dedup     // ids of the duplicate window
	dirty        *Dirty    // unsaved changes; nil: none
	recovery     *recovery // nil: none, the usual case
	opens        ratelimit.Bucket
	publishes    ratelimit.Bucket
}

// Notice tells the owner of a mailbox what a change requires it to do.
type Notice uint8

const (
	// NoticeDirty says that the mailbox has unsaved changes, the first since TakeDirty.
	NoticeDirty Notice = 1 << iota
	// NoticeDue says that DueMS has become earlier.
	NoticeDue
)

// Make initializes b as the mailbox of a user. Fill follows.
func (b *Mailbox) Make(scope *Scope, user protocol.UserID) { b.scope, b.user = scope, user }

// User is the user whose mailbox it is.
func (b *Mailbox) User() protocol.UserID { return b.user }

// Scope is what the mailbox shares with others of its shard.
func (b *Mailbox) Scope() *Scope { return b.scope }

// Notices are the notices since ClearNotices.
func (b *Mailbox) Notices() Notice { return b.notices }

// ClearNotices forgets the notices: the caller has acted on them.
func (b *Mailbox) ClearNotices() { b.notices = 0 }

// Waiting is the number of messages that wait, those being appended included.
func (b *Mailbox) Waiting() int { return int(b.count) }

// Filled reports whether the mailbox is between Fill and Unload.
func (b *Mailbox) Filled() bool { return b.filled }

// TakeWoken reports whether messages expired since the last call that may have held up others.
func (b *Mailbox) TakeWoken() bool {
	woken := b.wake
	b.wake = false
	return woken
}

// Last is the last position that the store is known to have of the mailbox: what was loaded, or appended since. Zero: none.
func (b *Mailbox) Last() protocol.Position { return b.last }

// Fill loads what the store has into b. Messages that every device has acked, or that have expired, leave at once.
func (b *Mailbox) Fill(kept store.Mailbox, nowMS int64) {
	b.filled, b.last = true, kept.Last
	b.scope.Ledger.Mailboxes.Add(1)
	b.scope.Ledger.Memory.Add(b.held())
	for i := range kept.Devices {
		b.restoreDevice(&kept.Devices[i])
	}
	for _, id := range kept.Seen {
		if until := b.scope.retainedMS(id.AcceptedMS); until > nowMS {
			b.remember(b.scope.seenHash(id.ID), until)
		}
	}
	entries := b.dropReplaced(kept.Entries)
	for i := range entries {
		b.restoreEntry(&entries[i])
	}
	b.Sweep(nowMS)
}

// restoreEntry puts an entry that was loaded into its lane.
func (b *Mailbox) restoreEntry(k *store.Entry) {
	e := &entry{pos: k.Position, msg: k.Message, device: k.Device, where: k.Where, quota: int32(QuotaBytes(k.Message, k.Where))}
	b.scope.Ledger.Loaded.Add(1)
	b.enter(e)
	hash := b.scope.hash(e.msg.ID)
	until := b.scope.retainedMS(e.msg.CreatedMS)
	if seen, ok := b.dedup.get(hash); ok && seen > until && seen != pending { // it was accepted late
		b.makeRecovery().retainID(hash, seen)
		until = seen
	}
	b.remember(hash, max(until, e.msg.ExpiresMS))
	b.insert(e)
	lane := e.msg.Priority.Lane()
	for d := b.devices; d != nil; d = d.next {
		if e.targets(d.id) && !d.acked.At[lane].Less(e.pos) {
			pending := e.pendingFor(d)
			d.tally().subtract(pending)
			b.deviceDone(e, pending) // acked before; the store had not forgotten it yet
			if e.dead {
				return
			}
		}
	}
}

// Unload subtracts b from the ledger when b leaves memory. It abandons writes of unknown outcome: the next owner's load shows what
// became of them. b must not be used afterwards. abandoned reports whether there were any such writes.
func (b *Mailbox) Unload() (abandoned bool) {
	abandoned = b.abandonInDoubt()
	if !b.filled {
		return abandoned
	}
	b.filled = false
	l := &b.scope.Ledger
	l.Mailboxes.Add(-1)
	l.Devices.Add(-int64(b.countDevices()))
	l.Memory.Add(-b.held())
	for i := range protocol.Lanes {
		in := b.lane(i)
		n := int64(len(in.entries) - in.dead)
		l.Unloaded.Add(uint64(n))
		l.Waiting[i].Add(-n)
	}
	return abandoned
}

// lane returns a lane for reading.
func (b *Mailbox) lane(i int) *lane {
	if b.lanes == nil {
		return &emptyLane
	}
	return &b.lanes.at[i]
}

// makeLanes returns the lanes for changing; it takes them from a pool if there are none.
func (b *Mailbox) makeLanes() *lanes {
	if b.lanes == nil {
		b.lanes = spareLanes.Get().(*lanes)
		b.lanes.beginTallies(b.countDevices())
		b.lanes.held = 0
		b.hold(lanesBytes)
	}
	return b.lanes
}

// insert appends a durable entry to its lane, and returns the number of known devices that it is for.
func (b *Mailbox) insert(e *entry) (devices int) {
	l := b.makeLanes()
	l.held += int64(e.size)
	devices = b.tallyEntry(e)
	in := &l.at[e.msg.Priority.Lane()]
	in.entries = append(in.entries, e)
	b.expiresAt(e.msg.ExpiresMS)
	if e.msg.CollapseKey != "" {
		if b.lanes.collapse == nil {
			b.lanes.collapse = make(map[collapseKey]*entry)
		}
		b.lanes.collapse[e.collapseKey()] = e
	}
	b.scope.Ledger.Waiting[e.msg.Priority.Lane()].Add(1)
	return devices
}

// expiresAt notes that a message expires at ms.
func (b *Mailbox) expiresAt(ms int64) {
	if b.nextExpiryMS == 0 || ms < b.nextExpiryMS {
		b.nextExpiryMS = ms
		b.notices |= NoticeDue
	}
}

// Removal is why an entry leaves its mailbox.
type Removal uint8

// The removals, as the ledger counts them.
const (
	Acked Removal = iota
	Expired
	Collapsed
	Recalled
	Removals
)

// remove removes a live entry. The store is told to forget it, unless a write has killed it there already.
func (b *Mailbox) remove(e *entry, why Removal) {
	b.untallyEntry(e)
	e.dead, e.removal = true, why
	i := e.msg.Priority.Lane()
	b.lanes.at[i].dead++
	b.count--
	b.bytes -= int64(e.quota)
	b.scope.Ledger.Waiting[i].Add(-1)
	b.scope.Ledger.Ended[why].Add(1)
	lazily, ref := why == Acked || why == Expired, e.ref()
	if lazily {
		d := b.makeDirty()
		d.forgets = append(d.forgets, ref)
	}
	if e.msg.CollapseKey != "" {
		k := e.collapseKey()
		if b.lanes.collapse[k] == e {
			delete(b.lanes.collapse, k)
		}
		if lazily {
			b.addLeftover(k, ref)
		}
	}
	if until := b.retainedMS(e.msg); e.msg.ExpiresMS > until {
		b.remember(b.scope.hash(e.msg.ID), until)
	}
}

// reserve counts e against the limits, or returns the limit that it would exceed. freed is what the same write removes.
func (b *Mailbox) reserve(e *entry, freed usage, nowMS int64) error {
	limits := &b.scope.Limits
	if count, bytes := b.wouldBe(e, freed); count > limits.Messages || bytes > limits.Bytes {
		if b.ExpiresBy(nowMS) {
			b.Sweep(nowMS) // what has expired does not count
		}
	}
	count, bytes := b.wouldBe(e, freed)
	switch {
	case count > limits.Messages:
		return protocol.Errorf(protocol.CodeResourceExhausted, "the user's mailbox is full: %d messages wait, the limit is %d; retry when devices have acked or messages have expired", b.count, limits.Messages)
	case bytes > limits.Bytes:
		return protocol.Errorf(protocol.CodeResourceExhausted, "the user's mailbox is full: %d bytes of payload, headers and where wait, this message has %d, the limit is %d; retry when devices have acked or messages have expired", b.bytes, e.quota, limits.Bytes)
	}
	if held := b.heldByLanes() - freed.held; held > limits.Memory/userParts {
		return protocol.Errorf(protocol.CodeResourceExhausted, "the user's mailbox is full: waiting messages take %d bytes of memory, the limit is %d; retry when devices have acked or messages have expired", held, limits.Memory/userParts)
	}
	b.enter(e)
	return nil
}

// userParts limits the messages of one user to this part of the gateway's memory (4: a quarter): a mailbox is loaded as a whole, and
// several must fit at once.
const userParts = 4

// usage is what some entries of a mailbox take.
type usage struct {
	count int
	bytes int64 // as counted against mailbox_bytes
	held  int64 // of memory
}

func (u *usage) add(e *entry) {
	u.count++
	u.bytes += int64(e.quota)
	u.held += int64(e.size)
}

func (b *Mailbox) wouldBe(e *entry, freed usage) (count int, bytes int64) {
	return int(b.count) + 1 - freed.count, b.bytes + int64(e.quota) - freed.bytes
}

// enter counts an entry; leave uncounts one that was never put into a lane. When an entry leaves a lane, remove uncounts its quota at
// once, and trim its memory.
func (b *Mailbox) enter(e *entry) {
	b.count++
	b.bytes += int64(e.quota)
	e.size = int32(MessageBytes(e.msg, e.device, e.where))
	b.scope.Ledger.Memory.Add(int64(e.size))
}

func (b *Mailbox) leave(e *entry) {
	b.count--
	b.bytes -= int64(e.quota)
	b.scope.Ledger.Memory.Add(-int64(e.size))
}

// trim drops dead entries from the lanes. It returns the lanes to the pool once they are empty and the store has no leftovers of their
// keys. A lane that was read before the call must not be used afterwards.
func (b *Mailbox) trim() {
	if b.lanes == nil {
		return
	}
	left := 0
	for i := range b.lanes.at {
		l := &b.lanes.at[i]
		if l.dead > 0 {
			b.lanes.changes++
			b.hold(-l.trim())
		}
		left += len(l.entries)
	}
	if left == 0 && len(b.lanes.leftovers) == 0 {
		b.lanes.collapse, b.lanes.leftovers = nil, nil
		b.lanes.last.device = nil
		b.hold(-b.lanes.held)
		spareLanes.Put(b.lanes)
		b.lanes = nil
	}
}

// find returns the waiting entry with that id, or nil.
func (b *Mailbox) find(id protocol.MessageID) *entry {
	for i := range protocol.Lanes {
		for _, e := range b.lane(i).entries {
			if !e.dead && e.msg.ID == id {
				return e
			}
		}
	}
	return nil
}

// Bounds ends a list after so many messages, or once their payloads have so many bytes.
type Bounds struct{ Messages, Bytes int }

// Messages lists what waits behind after, in the order in which it would be pushed. next is the last of the list if more follow, or zero.
func (b *Mailbox) Messages(after store.Ref, most Bounds, nowMS int64) (list []*protocol.Message, next store.Ref) {
	list = make([]*protocol.Message, 0, min(most.Messages, int(b.count)))
	bytes, last := 0, store.Ref{}
	for i := max(after.Priority.Lane(), 0); i < protocol.Lanes; i++ {
		l, from := b.lane(i), 0
		if i == after.Priority.Lane() {
			from = l.after(after.Position)
		}
		for _, e := range l.entries[from:] {
			if e.dead || e.msg.ExpiresMS <= nowMS {
				continue
			}
			if len(list) >= most.Messages || bytes >= most.Bytes {
				return list, last
			}
			list = append(list, e.msg)
			bytes += len(e.msg.Payload)
			last = e.ref()
		}
	}
	return list, store.Ref{}
}

// DueMS is when b is to be swept. 0: at once; math.MaxInt64: never, as things are.
func (b *Mailbox) DueMS() int64 {
	switch {
	case b.wake:
		return 0
	case b.nextExpiryMS == 0:
		return math.MaxInt64
	}
	return b.nextExpiryMS
}

// ExpiresBy reports whether something may have expired at nowMS.
func (b *Mailbox) ExpiresBy(nowMS int64) bool { return b.nextExpiryMS != 0 && b.nextExpiryMS <= nowMS }

// expire removes an expired message, and counts it for each device that it was for and that had not acked it.
func (b *Mailbox) expire(e *entry) {
	for d := b.devices; d != nil; d = d.next {
		if d.window != nil && !b.wake {
			b.wake = true
			b.notices |= NoticeDue
		}
		if !d.greeted || !e.targets(d.id) || !d.acked.At[e.msg.Priority.Lane()].Less(e.pos) {
			continue // SPEC 2.2.8, 2.2.13: since its last hello, and 0 in its first
		}
		if e.where != nil && e.matches[d.id] < matched {
			continue // whether it was for d is unknown: never invent a loss (SPEC 2.2.13)
		}
		if d.uncleanShutdown && e.pos.Epoch < b.scope.Owner.Epoch {
			b.addUncertain(e)
			continue
		}
		d.expired++
		d.markDirty()
	}
	b.remove(e, Expired)
}

// Sweep expires what is over at nowMS, and computes DueMS. For each device with a stream it evaluates where on what is then the next push.
func (b *Mailbox) Sweep(nowMS int64) { b.SweepSome(nowMS, math.MaxInt) }

// SweepSome expires at most so many messages, and reports whether there may be more.
func (b *Mailbox) SweepSome(nowMS int64, most int) (more bool) {
	next, ended := int64(0), false
	for i := range protocol.Lanes {
		for _, e := range b.lane(i).entries {
			switch {
			case e.dead:
			case e.msg.ExpiresMS <= nowMS && most == 0:
				next, more = e.msg.ExpiresMS, true
			case e.msg.ExpiresMS <= nowMS:
				b.expire(e)
				ended = true
				most--
			case next == 0 || e.msg.ExpiresMS < next:
				next = e.msg.ExpiresMS
			}
		}
	}
	b.nextExpiryMS = next
	b.notices |= NoticeDue
	for d := b.devices; d != nil; d = d.next {
		if ended && !more && d.window != nil {
			d.nextEntry(nowMS)
		}
	}
	b.trim()
	return more
}
