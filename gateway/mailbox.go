package gateway

import (
	"math"
	"runtime"
	"sync"
	"sync/atomic"

	"ramen/protocol"
	"ramen/store"
)

// mailbox is one user's messages and devices. It is in memory while somebody holds a pin on it, and some time longer.
type mailbox struct {
	// immutable
	*shard // the user's, with the gateway
	user   protocol.UserID
	epoch  protocol.Epoch // at which the shard is owned; another ownership has another mailbox

	nextExpiryMS atomic.Int64 // nothing here expires before; 0: nothing does
	sweepAtMS    atomic.Int64 // when remembered ids and unsure writes are to be looked at
	wake         atomic.Bool  // something expired: what it held up may be pushed
	unsured      atomic.Int32 // bytes in unsure

	// guarded by shard.mu
	loading   *loading // nil once loaded
	touchedMS int64
	pins      int32

	count  int32      // guarded by mu: entries that wait, and those being appended
	saving sync.Mutex // held across a durable save of one of its devices, for which only opens of this user wait
	step   *step      // what the write being prepared does to it; owned by its shard's committer

	mu sync.Mutex
	// guarded by mu
	loaded    bool    // its counts are in the gauges and in the ledger
	gone      bool    // the shard was given up: nothing may change any more, and no stream may be added
	bytes     int64   // of the entries counted
	lanes     *lanes  // nil while they are empty: an idle mailbox has none
	devices   *device // the first of the list by next, in the order in which they became known
	seen      seen
	unsaved   *unsaved // what the saver is to write; nil: nothing. It pins the mailbox
	trouble   *trouble // nil: none, as nearly always
	opens     bucket
	publishes bucket
}

// trouble is what a mailbox keeps while something went wrong.
type trouble struct {
	unsure []*step // writes with an unknown outcome, oldest first; they pin the mailbox
	doubts []doubt // what expired, for devices that may have acked it before a crash
}

// troubleLocked is b's trouble to add to.
func (b *mailbox) troubleLocked() *trouble {
	if b.trouble == nil {
		b.trouble = new(trouble)
	}
	return b.trouble
}

// loading is a mailbox on its way from the store.
type loading struct {
	done chan struct{}
	err  error // set before done is closed
}

func (b *mailbox) owner() store.Owner { return store.Owner{Shard: b.shard.id, Epoch: b.epoch} }

// laneLocked is a lane to look at.
func (b *mailbox) laneLocked(i int) *lane {
	if b.lanes == nil {
		return &emptyLane
	}
	return &b.lanes.at[i]
}

// makeLanesLocked is the lanes to change.
func (b *mailbox) makeLanesLocked() *lanes {
	if b.lanes == nil {
		b.lanes = spareLanes.Get().(*lanes)
		b.lanes.beginTallies(b.countDevices())
		b.lanes.held = 0
		b.holdLocked(lanesBytes)
	}
	return b.lanes
}

func (b *mailbox) deviceLocked(id protocol.DeviceID) *device {
	for d := b.devices; d != nil; d = d.next {
		if d.id == id {
			return d
		}
	}
	return nil
}

// placeLocked is d's place among the devices.
func (b *mailbox) placeLocked(d *device) (i int) {
	for at := b.devices; at != d; at = at.next {
		i++
	}
	return i
}

// linkLocked puts d at the end of the devices, unlinkLocked takes it off them, countDevices counts them.
func (b *mailbox) linkLocked(d *device) {
	at := &b.devices
	for *at != nil {
		at = &(*at).next
	}
	*at = d
}

func (b *mailbox) unlinkLocked(d *device) {
	for at := &b.devices; *at != nil; at = &(*at).next {
		if *at == d {
			*at, d.next = d.next, nil
			return
		}
	}
}

func (b *mailbox) countDevices() (n int) {
	for d := b.devices; d != nil; d = d.next {
		n++
	}
	return n
}

// insertLocked puts a durable entry at the end of its lane and says for how many known devices it is.
func (b *mailbox) insertLocked(e *entry) (devices int) {
	l := b.makeLanesLocked()
	l.held += int64(e.size)
	devices = b.tallyEntryLocked(e)
	in := &l.at[e.msg.Priority.Lane()]
	in.entries = append(in.entries, e)
	b.expiresLocked(e.msg.ExpiresMS)
	if e.msg.CollapseKey != "" {
		if b.lanes.collapse == nil {
			b.lanes.collapse = make(map[collapseKey]*entry)
		}
		b.lanes.collapse[e.collapseKey()] = e
	}
	b.g.ledger.waiting[e.msg.Priority.Lane()].Add(1)
	return devices
}

// expiresLocked notes that something expires at ms.
func (b *mailbox) expiresLocked(ms int64) {
	if next := b.nextExpiryMS.Load(); next == 0 || ms < next {
		b.nextExpiryMS.Store(ms)
		b.shard.sweepBy(ms)
	}
}

// fate is why an entry leaves its mailbox.
type fate uint8

const (
	fateAcked fate = iota
	fateExpired
	fateCollapsed
	fateRecalled
	fates
)

// removeLocked takes a live entry out of the mailbox for good. The store forgets it, unless it was killed there already.
func (b *mailbox) removeLocked(e *entry, why fate) {
	b.untallyEntryLocked(e)
	e.dead, e.ended = true, why
	i := e.msg.Priority.Lane()
	b.lanes.at[i].dead++
	b.count--
	b.bytes -= int64(e.quota)
	b.g.ledger.waiting[i].Add(-1)
	b.g.ledger.ended[why].Add(1)
	lazily, ref := why == fateAcked || why == fateExpired, e.ref()
	if lazily {
		b.g.saver.forgetLocked(b, ref)
	}
	if e.msg.CollapseKey != "" {
		k := e.collapseKey()
		if b.lanes.collapse[k] == e {
			delete(b.lanes.collapse, k)
		}
		if lazily {
			b.leftLocked(k, ref)
		}
	}
	if retainedMS := e.msg.CreatedMS + b.g.cfg.IDRetention.Milliseconds(); e.msg.ExpiresMS > retainedMS {
		b.rememberLocked(hashID(&b.g.identity.Key, e.msg.ID), retainedMS)
	}
}

// reserveLocked takes room for e, or says which bound it meets. freed is what the same write takes out.
func (b *mailbox) reserveLocked(e *entry, freed room) error {
	if count, bytes := b.wouldBe(e, freed); count > b.g.cfg.MailboxMessages || bytes > b.g.cfg.MailboxBytes {
		if nowMS := b.g.nowMS(); b.expiresBy(nowMS) {
			b.sweepLocked(nowMS) // what is over takes no room
		}
	}
	cfg := &b.g.cfg
	count, bytes := b.wouldBe(e, freed)
	switch {
	case count > cfg.MailboxMessages:
		return protocol.Errorf(protocol.CodeResourceExhausted, "the user's mailbox is full: %d messages wait, the most is %d; retry when devices have acked or messages have expired", b.count, cfg.MailboxMessages)
	case bytes > cfg.MailboxBytes:
		return protocol.Errorf(protocol.CodeResourceExhausted, "the user's mailbox is full: %d bytes of payload, headers and where wait, this message has %d, the most is %d; retry when devices have acked or messages have expired", b.bytes, e.quota, cfg.MailboxBytes)
	}
	if held := b.heldLocked() - freed.held; held > cfg.MemoryBytes/userParts {
		return protocol.Errorf(protocol.CodeResourceExhausted, "the user's mailbox is full: what waits takes %d bytes of memory with its headers, where and ids, the most is %d; retry when devices have acked or messages have expired", held, cfg.MemoryBytes/userParts)
	}
	b.enterLocked(e)
	return nil
}

// userParts is the part of the gateway's memory that the messages of one user may take: a mailbox comes from the store as a whole, and
// several at once must have room.
const userParts = 4

// room is a part of a mailbox.
type room struct {
	count int
	bytes int64 // as mailbox_bytes counts
	held  int64 // of memory
}

func (b *mailbox) wouldBe(e *entry, freed room) (count int, bytes int64) {
	return int(b.count) + 1 - freed.count, b.bytes + int64(e.quota) - freed.bytes
}

// expiresBy reports whether something may have expired at nowMS.
func (b *mailbox) expiresBy(nowMS int64) bool {
	next := b.nextExpiryMS.Load()
	return next != 0 && next <= nowMS
}

// enterLocked counts an entry, releaseLocked one that comes into no lane. Of one that leaves a lane the room is counted at once, and
// the memory when it is trimmed.
func (b *mailbox) enterLocked(e *entry) {
	b.count++
	b.bytes += int64(e.quota)
	e.size = int32(messageBytes(e.msg, e.device, e.where))
	b.g.memory.Add(int64(e.size))
}

func (b *mailbox) releaseLocked(e *entry) {
	b.count--
	b.bytes -= int64(e.quota)
	b.g.memory.Add(-int64(e.size))
}

// trimLocked drops dead entries from the lanes, and gives these back once nothing is left in any, nor of their keys in the
// store. Whoever had looked at a lane before must look again.
func (b *mailbox) trimLocked() {
	if b.lanes == nil {
		return
	}
	left := 0
	for i := range b.lanes.at {
		l := &b.lanes.at[i]
		if l.dead > 0 {
			b.lanes.changes++
			b.holdLocked(-l.trim())
		}
		left += len(l.entries)
	}
	if left == 0 && len(b.lanes.leftovers) == 0 {
		b.lanes.collapse, b.lanes.leftovers = nil, nil
		b.lanes.last.device = nil
		b.holdLocked(-b.lanes.held)
		spareLanes.Put(b.lanes)
		b.lanes = nil
	}
}

// findLocked is the waiting entry with that id, or nil.
func (b *mailbox) findLocked(id protocol.MessageID) *entry {
	for i := range protocol.Lanes {
		for _, e := range b.laneLocked(i).entries {
			if !e.dead && e.msg.ID == id {
				return e
			}
		}
	}
	return nil
}

// expireLocked ends a message whose time is over, and counts it for each device that it was for and that had not acked it.
func (b *mailbox) expireLocked(e *entry) {
	for d := b.devices; d != nil; d = d.next {
		if d.stream != nil {
			b.wake.Store(true)
			b.shard.sweepBy(0)
		}
		if !d.greeted || !e.targets(d.id) || !d.acked.At[e.msg.Priority.Lane()].Less(e.pos) {
			continue // SPEC 2.2: since its last hello, and 0 in its first
		}
		if e.where != nil && e.verdicts[d.id] < wanted {
			continue // nobody knows whether it was for d: never invent a loss
		}
		if d.doubtful && e.pos.Epoch < b.epoch {
			b.doubtLocked(e)
			continue
		}
		d.expired++
		b.g.saver.dirtyLocked(d)
	}
	b.removeLocked(e, fateExpired)
}

// sweepPortion is how many messages, of up to 64 devices each, expire while a mailbox is held: publishes to the user wait for that,
// and with them the committer.
const sweepPortion = 256

// sweepAll expires what is over at nowMS, in portions. What is over by then and still there comes under the caller's own lock.
func (b *mailbox) sweepAll(nowMS int64) {
	for more := b.expiresBy(nowMS); more; runtime.Gosched() {
		b.mu.Lock()
		more = !b.gone && b.sweepSomeLocked(nowMS, sweepPortion)
		b.mu.Unlock()
	}
}

// sweepLocked expires what is over at nowMS and finds when to come again. What is the next to be pushed then is judged.
func (b *mailbox) sweepLocked(nowMS int64) { b.sweepSomeLocked(nowMS, math.MaxInt) }

// sweepSomeLocked is sweepLocked for so many messages at most, and reports whether there may be more.
func (b *mailbox) sweepSomeLocked(nowMS int64, most int) (more bool) {
	next, ended := int64(0), false
	for i := range protocol.Lanes {
		for _, e := range b.laneLocked(i).entries {
			switch {
			case e.dead:
			case e.msg.ExpiresMS <= nowMS && most == 0:
				next, more = e.msg.ExpiresMS, true
			case e.msg.ExpiresMS <= nowMS:
				b.expireLocked(e)
				ended = true
				most--
			case next == 0 || e.msg.ExpiresMS < next:
				next = e.msg.ExpiresMS
			}
		}
	}
	b.nextExpiryMS.Store(next)
	if next != 0 {
		b.shard.sweepBy(next)
	}
	for d := b.devices; d != nil; d = d.next {
		if ended && !more && d.stream != nil {
			d.nextLocked(nowMS)
		}
	}
	b.trimLocked()
	return more
}
