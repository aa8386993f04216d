package gateway

import (
	"runtime"
	"sync"
	"sync/atomic"

	"ramen/gateway/mailbox"
	"ramen/protocol"
	"ramen/store"
)

// box is a mailbox in memory, with what surrounds it: its lock, its streams, who needs it. It is in memory while somebody holds a
// pin on it, and some time longer.
type box struct {
	mailbox.Mailbox // guarded by mu

	*ownership // immutable; another ownership of the shard has another box

	dueMS        atomic.Int64 // when the sweeper is to visit it; set under mu
	inDoubtBytes atomic.Int32 // of what is written again with its next step; set under mu

	// guarded by shard.mu
	pins      int32
	touchedMS int64 // when it was used last; stillLoading: it is on its way from the store

	saving saveLock // opens wait for it, and who mends; nobody else

	mu        sync.Mutex
	step      *step   // guarded by mu: what is being made or written; nil: nothing
	idSweepMS int64   // guarded by mu: when remembered ids and writes in doubt are to be looked at
	streams   *stream // guarded by mu: the first of the list by next
}

// stillLoading is touchedMS of a mailbox that is on its way from the store. Its loader has a pin.
const stillLoading = -1

func (b *box) lock() { b.mu.Lock() }

// enter is lock for who touches the mailbox: it locks, and answers nil, while the shard is served.
func (b *box) enter() error {
	b.mu.Lock()
	if err := b.gate(); err != nil {
		b.mu.Unlock()
		return err
	}
	return nil
}

// unlock acts on what has changed in the mailbox, and gives the lock back.
func (b *box) unlock() {
	if n := b.Notices(); n != 0 {
		b.heed(n)
	}
	b.mu.Unlock()
}

// heed acts on notices, with b.mu held.
func (b *box) heed(n mailbox.Notice) {
	b.ClearNotices()
	if n&mailbox.NoticeDirty != 0 {
		b.g.writeBehind.enqueue(b)
	}
	if n&mailbox.NoticeDue != 0 {
		b.publishDue()
	}
}

// publishDue tells the sweeper when to visit b, with b.mu held.
func (b *box) publishDue() {
	due := min(b.DueMS(), b.idSweepMS)
	b.dueMS.Store(due)
	b.shard.sweepBy(due)
}

// sweepAgain has the sweeper visit b at ms, whatever else is due in it. With b.mu held.
func (b *box) sweepAgain(ms int64) {
	b.idSweepMS = ms
	b.publishDue()
}

// live reports whether what was under way may still change b: it was not taken out of memory. With b.mu held.
func (b *box) live() bool { return b.Filled() && !b.over() }

// fill makes a mailbox of what the store has.
func (b *box) fill(kept store.Mailbox) error {
	if err := b.enter(); err != nil {
		return err
	}
	defer b.unlock()
	nowMS := b.g.nowMS()
	b.Fill(kept, nowMS)
	b.ForgetUnseen(b.g.unseenBefore())
	b.publishDue()
	return nil
}

// sweepPortion is how many messages, of up to 64 devices each, expire while a mailbox is held: publishes to the user wait for that,
// and with them others of their calls.
const sweepPortion = 256

// sweepAll expires what is over at nowMS, in portions. What is over by then and still there comes under the caller's own lock.
func (b *box) sweepAll(nowMS int64) {
	for more := true; more; {
		if b.enter() != nil {
			return
		}
		more = b.ExpiresBy(nowMS) && b.SweepSome(nowMS, sweepPortion)
		b.unlock()
		if more {
			runtime.Gosched()
		}
	}
}

// streamOf is the stream of a device, or nil. With b.mu held.
func (b *box) streamOf(d *mailbox.Device) *stream {
	for s := b.streams; s != nil; s = s.next {
		if s.Device() == d {
			return s
		}
	}
	return nil
}

// deliverAll pushes to every stream of b.
func (b *box) deliverAll() {
	all := streamsPool.Get().(*[]*stream)
	b.appendStreams(all)
	deliverTo(all)
}

// appendStreams adds b's streams to all.
func (b *box) appendStreams(all *[]*stream) {
	b.lock()
	for s := b.streams; s != nil; s = s.next {
		*all = append(*all, s)
	}
	b.unlock()
}

// deliverTo pushes to all, which is from streamsPool and goes back there.
func deliverTo(all *[]*stream) {
	for i, s := range *all {
		s.deliver()
		(*all)[i] = nil
	}
	*all = (*all)[:0]
	streamsPool.Put(all)
}

var streamsPool = sync.Pool{New: func() any { return new([]*stream) }}

// disown ends b for whoever still holds it: nothing in it changes any more, and no count. Its streams are lost. What is to be saved of
// it is answered, if anything is.
func (b *box) disown() (unsaved write) {
	all := streamsPool.Get().(*[]*stream)
	b.lock()
	for s := b.streams; s != nil; s = b.streams {
		s.lose()
		*all = append(*all, s)
	}
	unsaved.box = b
	unsaved.dirty, unsaved.records = b.TakeDirty(nil, b.g.nowMS())
	b.evictLost()
	b.ClearNotices() // nobody sweeps or saves it from now on
	if b.Unload() {
		b.g.release(b)
	}
	b.unlock()
	deliverTo(all)
	return unsaved
}

// evictLost keeps what is in b where its lease has ended, and nobody else is known to own the shard. With b.mu held.
func (b *box) evictLost() {
	if b.stateNow() == StateLost && b.lossNow().Reason == protocol.ReasonUnavailable {
		b.evict(true)
	}
}
