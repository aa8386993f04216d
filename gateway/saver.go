package gateway

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"time"

	"ramen/store"
)

// saver writes lazily what may be lost without losing a message: where devices stand, and which entries nobody needs. Both
// wait in their mailbox, which is pinned and queued until they are written.
//
// What expired is forgotten before the count of it is saved: a crash between the two tells a device of fewer losses than
// there were, never of more. SPEC 2.2.
type saver struct {
	g *Gateway

	// order keeps a record that is saved at once from being overwritten by an older one under way. It is held across I/O:
	// for writing by who flushes, a portion at a time, for reading by opens that save a device at once.
	order sync.RWMutex

	mu sync.Mutex
	// guarded by mu
	queue []*mailbox // the one that waits for longest first
	added uint64     // to queue, in all
	taken uint64     // from queue, in all
	rests bool       // run waits for work, and not for time: a tick is a wake of an idle process

	work  chan struct{}     // of capacity 1: run need not rest any more
	marks [saveSteps]uint64 // added at the last ticks; owned by run
}

// saveSteps is in how many steps an interval's mailboxes are written: at once they would hold up what is published meanwhile.
const saveSteps = 50

// savePortion is how many mailboxes are in one write: appends wait for it, and on one processor everything else. About
// half a millisecond.
const savePortion = 256

func (v *saver) init(g *Gateway) { v.g, v.work = g, make(chan struct{}, 1) }

// dirtyLocked notes that d's record is to be saved. The caller holds d's mailbox.
func (v *saver) dirtyLocked(d *device) {
	u := v.unsavedLocked(d.mb)
	if u.next++; u.next >= len(u.devices) {
		u.next = 0
	}
	if len(u.devices) > 0 && u.devices[u.next] == d { // as where each of many messages is for all devices, in their order
		return
	}
	if u.next = slices.Index(u.devices, d); u.next < 0 {
		u.next = len(u.devices)
		u.devices = append(u.devices, d)
	}
}

// forgetLocked notes that nobody needs entries of b any more. The caller holds b.
func (v *saver) forgetLocked(b *mailbox, refs ...store.Ref) {
	u := v.unsavedLocked(b)
	u.forgets = append(u.forgets, refs...)
}

// unsavedLocked is what is to be written of b: at first nothing, but pinned and queued.
func (v *saver) unsavedLocked(b *mailbox) *unsaved {
	if b.unsaved == nil {
		b.unsaved = &unsaved{box: b}
		v.g.pin(b)
		v.mu.Lock()
		v.queue = append(v.queue, b)
		v.added++
		if v.rests {
			v.rests = false
			v.work <- struct{}{} // empty: run has taken what was there before it rested
		}
		v.mu.Unlock()
	}
	return b.unsaved
}

// run is the saver's goroutine. A mailbox is written an interval after something in it has changed: what changes meanwhile
// is one write.
func (v *saver) run(ctx context.Context) {
	every := max(v.g.cfg.SaveInterval/saveSteps, time.Millisecond)
	tick := time.NewTicker(every)
	defer tick.Stop()
	for step := 0; ; step = (step + 1) % saveSteps {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if v.rest() {
			tick.Stop()
			select {
			case <-ctx.Done():
				return
			case <-v.work:
			}
			tick.Reset(every)
			continue
		}
		if err := v.flushOldest(ctx, v.due(step), false); err != nil && ctx.Err() == nil {
			v.g.log.Warn("what was acked is not saved yet, and will be", "error", err)
		}
	}
}

// rest reports that nothing is queued. Then run waits for work, and what is queued from then on for an interval.
func (v *saver) rest() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.queue) > 0 {
		return false
	}
	v.rests = true
	for i := range v.marks {
		v.marks[i] = v.added
	}
	return true
}

// due is how many mailboxes have waited for an interval.
func (v *saver) due(step int) int {
	v.mu.Lock()
	defer v.mu.Unlock()
	before := v.marks[step]
	v.marks[step] = v.added
	return int(max(before, v.taken) - v.taken)
}

// flush writes all that is to be saved by now.
func (v *saver) flush(ctx context.Context, durable bool) error {
	v.mu.Lock()
	n := len(v.queue)
	v.mu.Unlock()
	return v.flushOldest(ctx, n, durable)
}

// flushOldest writes the n mailboxes that have waited for longest, in portions: on a small machine streams are served in
// between. What fails is kept for the next time, but for shards that were given up.
func (v *saver) flushOldest(ctx context.Context, n int, durable bool) error {
	for ; n > 0; runtime.Gosched() {
		done, err := v.flushSome(ctx, min(n, savePortion), durable)
		if n -= done; err != nil || done == 0 {
			return err
		}
	}
	return nil
}

// flushSome writes up to n mailboxes, and answers how many.
func (v *saver) flushSome(ctx context.Context, n int, durable bool) (int, error) {
	v.order.Lock()
	defer v.order.Unlock()
	all := v.take(n)
	err := v.write(ctx, all, durable)
	switch {
	case errors.Is(err, store.ErrFenced): // one shard that was lost must not hold up the others
		err = nil
		for owner, some := range byOwner(all) {
			e := v.write(ctx, some, durable)
			if errors.Is(e, store.ErrFenced) {
				v.g.fenced(owner)
			} else if e != nil {
				keep(some...)
				err = e
			}
		}
	case err != nil:
		keep(all...)
	}
	for i := range all {
		v.g.release(all[i].box)
	}
	return len(all), err
}

// unsaved is what is to be written of one mailbox.
type unsaved struct {
	box     *mailbox
	devices []*device          // forgotten ones too
	next    int                // in devices: the one that was dirtied last
	records []store.DeviceSave // of devices, one each; as they were when they were taken
	forgets []store.Ref        // whatever expired by the counts in records is among these, or was written before

	leftovers []leftover // of the forgets, those with a key
}

// take takes up to n mailboxes from the queue.
func (v *saver) take(n int) []*unsaved {
	v.mu.Lock()
	boxes := v.queue[:min(len(v.queue), n)]
	v.taken += uint64(len(boxes))
	if v.queue = v.queue[len(boxes):]; len(v.queue) == 0 {
		v.queue = nil
	}
	v.mu.Unlock()
	all := make([]*unsaved, len(boxes))
	records := make([]store.DeviceSave, 0, len(boxes)) // of all: small pieces would leave holes among what stays
	for i, b := range boxes {
		all[i], records = b.takeUnsaved(records)
	}
	return all
}

// takeUnsaved takes what is to be written of b. Its records are appended to records.
func (b *mailbox) takeUnsaved(records []store.DeviceSave) (*unsaved, []store.DeviceSave) {
	b.mu.Lock()
	defer b.mu.Unlock()
	u, before := b.unsaved, len(records)
	b.unsaved = nil
	for _, d := range u.devices {
		records = append(records, d.saveLocked())
	}
	u.records = records[before:len(records):len(records)]
	return u, records
}

// keep puts back what could not be written. A mailbox that is gone has nobody to write it later.
func keep(all ...*unsaved) {
	for _, u := range all {
		u.box.mu.Lock()
		if saver := &u.box.g.saver; !u.box.gone {
			now, more := saver.unsavedLocked(u.box), u.devices
			if len(more) > len(now.devices) { // each is looked for among the others, which may be all that a long outage has seen
				now.devices, more = more, now.devices
			}
			for _, d := range more {
				saver.dirtyLocked(d)
			}
			saver.forgetLocked(u.box, u.forgets...)
			now.leftovers = append(now.leftovers, u.leftovers...)
		}
		u.box.mu.Unlock()
	}
}

// byOwner is all, cut by shard.
func byOwner(all []*unsaved) map[store.Owner][]*unsaved {
	cut := make(map[store.Owner][]*unsaved)
	for _, u := range all {
		owner := u.box.owner()
		cut[owner] = append(cut[owner], u)
	}
	return cut
}

// saveMost is how many entries and records there are at most in one write, one mailbox's entries more or less: it has a deadline.
const saveMost = 2048

// write writes the forgets before all records.
func (v *saver) write(ctx context.Context, all []*unsaved, durable bool) error {
	for rest := all; len(rest) > 0; runtime.Gosched() {
		var forgets []store.Forget
		some := rest
		for n := 0; n < saveMost && len(rest) > 0; rest = rest[1:] {
			if u := rest[0]; len(u.forgets) > 0 {
				forgets = append(forgets, u.forget())
				n += len(u.forgets)
			}
		}
		if len(forgets) == 0 {
			continue
		}
		if err := v.within(ctx, func(ctx context.Context) error { return v.g.store.Forget(ctx, forgets) }); err != nil {
			return fmt.Errorf("gateway: forget entries of %d users: %w", len(forgets), err)
		}
		for _, u := range some[:len(some)-len(rest)] {
			u.box.forgotten(u.leftovers)
		}
	}
	var records []store.DeviceSave
	for i := range all {
		records = append(records, all[i].records...)
	}
	for batch := range slices.Chunk(records, saveMost) {
		if err := v.within(ctx, func(ctx context.Context) error { return v.g.store.SaveDevices(ctx, batch, durable) }); err != nil {
			return fmt.Errorf("gateway: save %d devices: %w", len(batch), err)
		}
	}
	return nil
}

func (v *saver) within(ctx context.Context, call func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, v.g.cfg.LoadTimeout)
	defer cancel()
	return call(ctx)
}

func (u *unsaved) forget() store.Forget {
	return store.Forget{Owner: u.box.owner(), User: u.box.user, Refs: u.forgets}
}

// saveNow writes d's record durably before it returns, behind the forgets that its count of losses goes with.
func (v *saver) saveNow(ctx context.Context, d *device) error {
	v.order.RLock()
	defer v.order.RUnlock()
	b := d.mb
	b.saving.Lock()
	defer b.saving.Unlock()
	b.mu.Lock()
	save := d.saveLocked()
	now := &unsaved{box: b}
	if b.unsaved != nil { // it stays queued: there may be more to write
		now.forgets, b.unsaved.forgets = b.unsaved.forgets, nil
		now.leftovers, b.unsaved.leftovers = b.unsaved.leftovers, nil
	}
	b.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), v.g.cfg.AppendTimeout)
	defer cancel()
	if len(now.forgets) > 0 {
		if err := v.g.store.Forget(ctx, []store.Forget{now.forget()}); err != nil {
			keep(now)
			return v.g.storeError(b.owner(), "forget", err)
		}
		b.forgotten(now.leftovers)
	}
	if err := v.g.store.SaveDevices(ctx, []store.DeviceSave{save}, true); err != nil {
		return v.g.storeError(b.owner(), "save device", err)
	}
	return nil
}
