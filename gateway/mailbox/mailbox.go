package mailbox

import (
	"math"

	"ramen/internal/tool/ratelimit"
	"ramen/protocol"
	"ramen/store"
)

// Mailbox is one user's messages and devices, at one ownership of the user's shard. The caller holds a lock of its own around each
// call, and reads Notices before it gives that back.
type Mailbox struct {
	// immutable
	scope *Scope
	user  protocol.UserID

	last         protocol.Position // the last that the store is known to have of it; zero: none
	nextExpiryMS int64             // nothing here expires before; 0: nothing does
	count        int32             // entries that wait, and those being appended
	filled       bool              // its counts are in the ledger
	marked       bool              // last tells of all that was written: an append with entries was the last write
	wake         bool              // something expired: what it held up may be pushed
	notices      Notice
	bytes        int64     // of the entries counted
	lanes        *lanes    // nil while they are empty: an idle mailbox has none
	devices      *Device   // the first of the list by next, in the order in which they became known
	dedup        dedup     // ids accepted not long ago
	dirty        *Dirty    // what is to be saved; nil: nothing
	recovery     *recovery // nil: none, as nearly always
	opens        ratelimit.Bucket
	publishes    ratelimit.Bucket
}

// Notice is what the owner of a mailbox has to do because of what has changed in it.
type Notice uint8

const (
	// NoticeDirty says that there is something to save, for the first time since TakeDirty.
	NoticeDirty Notice = 1 << iota
	// NoticeDue says that DueMS has become earlier.
	NoticeDue
)

// Make makes b the mailbox of a user. It is of use once it is filled.
func (b *Mailbox) Make(scope *Scope, user protocol.UserID) { b.scope, b.user = scope, user }

// User is whose mailbox it is.
func (b *Mailbox) User() protocol.UserID { return b.user }

// Scope is what it shares with others.
func (b *Mailbox) Scope() *Scope { return b.scope }

// Notices are those since ClearNotices.
func (b *Mailbox) Notices() Notice { return b.notices }

// ClearNotices forgets the notices: the caller has acted on them.
func (b *Mailbox) ClearNotices() { b.notices = 0 }

// Waiting is how many messages wait, those that are being appended included.
func (b *Mailbox) Waiting() int { return int(b.count) }

// Filled reports whether it is in memory: between Fill and Unload.
func (b *Mailbox) Filled() bool { return b.filled }

// TakeWoken reports whether messages expired since the last call that may have held up others.
func (b *Mailbox) TakeWoken() bool {
	woken := b.wake
	b.wake = false
	return woken
}

// Last is the position that the store is known to have as the mailbox's last: as it was loaded, or appended since. Zero: none.
func (b *Mailbox) Last() protocol.Position { return b.last }

// Fill makes a mailbox of what the store has: what every device has acked, or time has ended, goes at once.
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

// restoreEntry puts an entry of the store's back into its lane.
func (b *Mailbox) restoreEntry(k *store.Entry) {
	e := &entry{pos: k.Position, msg: k.Message, device: k.Device, where: k.Where, quota: int32(QuotaBytes(k.Message, k.Where))}
	b.scope.Ledger.Loaded.Add(1)
	b.enter(e)
	b.remember(b.scope.hash(e.msg.ID), max(b.scope.retainedMS(e.msg.CreatedMS), e.msg.ExpiresMS))
	b.insert(e)
	lane := e.msg.Priority.Lane()
	for d := b.devices; d != nil; d = d.next {
		if e.targets(d.id) && !d.acked.At[lane].Less(e.pos) {
			pending := e.pendingFor(d)
			d.tally().take(pending)
			b.deviceDone(e, pending) // acked before: only the store had not forgotten it yet
			if e.dead {
				return
			}
		}
	}
}

// Unload takes b out of the ledger, for who takes it out of memory, and gives up what is in doubt: whatever became of that is for
// the next owner to see. Nothing may be done with b afterwards. abandoned reports whether something was in doubt.
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

// lane is a lane to look at.
func (b *Mailbox) lane(i int) *lane {
	if b.lanes == nil {
		return &emptyLane
	}
	return &b.lanes.at[i]
}

// makeLanes is the lanes to change.
func (b *Mailbox) makeLanes() *lanes {
	if b.lanes == nil {
		b.lanes = spareLanes.Get().(*lanes)
		b.lanes.beginTallies(b.countDevices())
		b.lanes.held = 0
		b.hold(lanesBytes)
	}
	return b.lanes
}

// insert puts a durable entry at the end of its lane and says for how many known devices it is.
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

// expiresAt notes that something expires at ms.
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

// remove takes a live entry out of the mailbox for good. The store forgets it, unless it was killed there already.
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
	if until := b.scope.retainedMS(e.msg.CreatedMS); e.msg.ExpiresMS > until {
		b.remember(b.scope.hash(e.msg.ID), until)
	}
}

// reserve takes room for e, or says which bound it meets. freed is what the same write takes out.
func (b *Mailbox) reserve(e *entry, freed room, nowMS int64) error {
	limits := &b.scope.Limits
	if count, bytes := b.wouldBe(e, freed); count > limits.Messages || bytes > limits.Bytes {
		if b.ExpiresBy(nowMS) {
			b.Sweep(nowMS) // what is over takes no room
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

// userParts is the part of the gateway's memory that the messages of one user may take: a mailbox comes from the store as a whole,
// and several at once must have room.
const userParts = 4

// room is a part of a mailbox.
type room struct {
	count int
	bytes int64 // as mailbox_bytes counts
	held  int64 // of memory
}

func (r *room) add(e *entry) {
	r.count++
	r.bytes += int64(e.quota)
	r.held += int64(e.size)
}

func (b *Mailbox) wouldBe(e *entry, freed room) (count int, bytes int64) {
	return int(b.count) + 1 - freed.count, b.bytes + int64(e.quota) - freed.bytes
}

// enter counts an entry, leave one that comes into no lane. Of one that leaves a lane the room is counted at once, and the memory
// when it is trimmed.
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

// Trim drops dead entries from the lanes, and gives these back once nothing is left in any, nor of their keys in the store. Whoever
// had looked at a lane before must look again.
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

// find is the waiting entry with that id, or nil.
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

// Bounds is where a list ends: with that many messages, or once their payloads are that many bytes.
type Bounds struct{ Messages, Bytes int }

// Messages are what waits behind after, in the order in which it would be pushed, and the last of them where more follow.
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

// DueMS is when b is to be swept: 0 at once, math.MaxInt64 where nothing waits for its time.
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

// expire ends a message whose time is over, and counts it for each device that it was for and that had not acked it.
func (b *Mailbox) expire(e *entry) {
	for d := b.devices; d != nil; d = d.next {
		if d.window != nil && !b.wake {
			b.wake = true
			b.notices |= NoticeDue
		}
		if !d.greeted || !e.targets(d.id) || !d.acked.At[e.msg.Priority.Lane()].Less(e.pos) {
			continue // SPEC 2.2: since its last hello, and 0 in its first
		}
		if e.where != nil && e.matches[d.id] < matched {
			continue // nobody knows whether it was for d: never invent a loss
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

// Sweep expires what is over at nowMS and finds when to come again. What is the next to be pushed then is matched with its device.
func (b *Mailbox) Sweep(nowMS int64) { b.SweepSome(nowMS, math.MaxInt) }

// SweepSome is Sweep for so many messages at most, and reports whether there may be more.
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
