package gateway

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"time"

	"ramen/gateway/mailbox"
	"ramen/link"
	"ramen/store"
)

// writeBehind writes lazily what may be lost without losing a message: where devices stand, and which entries nobody needs. Both
// wait in their mailbox, which is pinned and queued until they are written.
//
// What expired is forgotten before the count of it is saved: a crash between the two tells a device of fewer losses than
// there were, never of more. SPEC 2.2.
type writeBehind struct {
	g *Gateway

	mu sync.Mutex
	// guarded by mu
	queue []*box // the one that waits for longest first
	added uint64 // to queue, in all
	taken uint64 // from queue, in all
	rests bool   // run waits for work, and not for time: a tick is a wake of an idle process

	work  chan struct{}     // of capacity 1: run need not rest any more
	marks [saveSteps]uint64 // added at the last ticks; owned by run
}

// saveSteps is in how many steps an interval's mailboxes are written: at once they would hold up what is published meanwhile.
const saveSteps = 50

// savePortion is how many mailboxes are in one write: appends wait for it, and on one processor everything else. About
// half a millisecond.
const savePortion = 256

func (v *writeBehind) init(g *Gateway) { v.g, v.work = g, make(chan struct{}, 1) }

// enqueue has b written an interval later. The caller holds b, in which something has just become dirty.
func (v *writeBehind) enqueue(b *box) {
	v.g.pin(b)
	v.enqueueAgain(b)
}

// enqueueAgain is enqueue of one that is pinned.
func (v *writeBehind) enqueueAgain(b *box) {
	v.mu.Lock()
	v.queue = append(v.queue, b)
	v.added++
	if v.rests {
		v.rests = false
		v.work <- struct{}{} // empty: run has taken what was there before it rested
	}
	v.mu.Unlock()
}

// run is the goroutine of the write-behind. A mailbox is written an interval after something in it has changed: what changes meanwhile
// is one write.
func (v *writeBehind) run(ctx context.Context) {
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
			v.g.log.Warn("acks could not be saved; retrying", "error", err)
		}
	}
}

// rest reports that nothing is queued. Then run waits for work, and what is queued from then on for an interval.
func (v *writeBehind) rest() bool {
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
func (v *writeBehind) due(step int) int {
	v.mu.Lock()
	defer v.mu.Unlock()
	before := v.marks[step]
	v.marks[step] = v.added
	return int(max(before, v.taken) - v.taken)
}

// flush writes all that is to be saved by now.
func (v *writeBehind) flush(ctx context.Context, durable bool) error {
	v.mu.Lock()
	n := len(v.queue)
	v.mu.Unlock()
	return v.flushOldest(ctx, n, durable)
}

// flushOldest writes the n mailboxes that have waited for longest, in portions: on a small machine streams are served in
// between. What fails is kept for the next time, but for shards that were given up. It goes on behind a user whose writes fail, and
// stops where all of a portion do.
func (v *writeBehind) flushOldest(ctx context.Context, n int, durable bool) (err error) {
	for ; n > 0; runtime.Gosched() {
		done, failed, e := v.flushSome(ctx, min(n, savePortion), durable)
		if e != nil {
			err = e
		}
		if n -= done; failed == done {
			return err
		}
	}
	return err
}

// flushSome writes up to n mailboxes. It answers how many, of how many that failed, and the error of one of those.
func (v *writeBehind) flushSome(ctx context.Context, n int, durable bool) (done, failed int, err error) {
	all, n := v.take(n)
	v.write(ctx, all, durable)
	for i := range all {
		w := &all[i]
		if w.failed() {
			w.putBack()
			failed++
			err = w.err
		}
		w.box.endSaving()
		w.box.endWrite()
		v.g.release(w.box)
	}
	return n, failed, err
}

// write is what is to be written of one mailbox.
type write struct {
	box     *box
	dirty   *mailbox.Dirty
	records []store.DeviceSave // of its devices, as they were when they were taken
	err     error              // why it is not written
}

// failed reports whether w is to be written again. What belongs to somebody else now is not.
func (w *write) failed() bool {
	switch {
	case w.err == nil, errors.Is(w.err, link.ErrNotOwner):
		return false
	case errors.Is(w.err, store.ErrFenced):
		return !w.box.fenced(w.err)
	}
	return true
}

// take takes up to n mailboxes from the queue, and answers how many, with what is to be written of them: nothing of those whose shard
// is not served. A release writes its own, and what is lost is lost.
func (v *writeBehind) take(n int) ([]write, int) {
	v.mu.Lock()
	boxes := v.queue[:min(len(v.queue), n)]
	v.taken += uint64(len(boxes))
	if v.queue = v.queue[len(boxes):]; len(v.queue) == 0 {
		v.queue = nil
	}
	v.mu.Unlock()
	all := make([]write, 0, len(boxes))
	records := make([]store.DeviceSave, 0, len(boxes)) // of all: small pieces would leave holes among what stays
	for _, b := range boxes {
		if !b.tryBeginSaving() { // a record is being saved at once: it is not to be waited for
			v.enqueueAgain(b)
			continue
		}
		if b.beginWrite() != nil {
			b.endSaving()
			v.g.release(b)
			continue
		}
		var w write
		w, records = b.takeDirty(records)
		all = append(all, w)
	}
	return all, len(boxes)
}

// takeDirty takes what is to be written of b. Its records are appended to records.
func (b *box) takeDirty(records []store.DeviceSave) (write, []store.DeviceSave) {
	b.lock()
	defer b.unlock()
	before := len(records)
	dirty, records := b.TakeDirty(records, b.g.nowMS())
	return write{box: b, dirty: dirty, records: records[before:len(records):len(records)]}, records
}

// putBack makes dirty again what could not be written. A mailbox that was given up has nobody to write it later.
func (w *write) putBack() {
	w.box.lock()
	defer w.box.unlock()
	if w.box.live() {
		w.box.PutBack(w.dirty)
	}
}

// forgotten notes that the store has forgotten what w says.
func (w *write) forgotten() {
	w.box.lock()
	defer w.box.unlock()
	if w.box.live() {
		w.box.Forgotten(w.dirty)
	}
}

// saveMost is how many entries and records there are at most in one write, one mailbox's entries more or less: it has a deadline.
const saveMost = 2048

// write writes the forgets before all records, and sets the error of each of all.
func (v *writeBehind) write(ctx context.Context, all []write, durable bool) {
	var forgets []store.Forget
	var of []*write
	n := 0
	for i := range all {
		w := &all[i]
		if !w.box.mayWrite() {
			w.err = w.box.refusal()
		} else if refs := w.dirty.Forgets(); len(refs) > 0 {
			forgets, of = append(forgets, w.forget()), append(of, w)
			n += len(refs)
		}
		if n >= saveMost || n > 0 && i == len(all)-1 {
			v.forget(ctx, forgets, of)
			forgets, of, n = nil, nil, 0
			runtime.Gosched()
		}
	}
	var records []store.DeviceSave
	of = nil
	for i := range all {
		w := &all[i]
		if w.err == nil && !w.box.mayWrite() {
			w.err = w.box.refusal()
		}
		if w.err == nil { // else what its records count is not forgotten yet
			records = append(records, w.records...)
			of = append(of, slices.Repeat([]*write{w}, len(w.records))...)
		}
	}
	for ; len(records) > 0; runtime.Gosched() {
		n := min(saveMost, len(records))
		v.save(ctx, records[:n], of[:n], durable)
		records, of = records[n:], of[n:]
	}
}

func (v *writeBehind) forget(ctx context.Context, forgets []store.Forget, of []*write) {
	ctx, cancel := context.WithTimeout(ctx, v.g.cfg.LoadTimeout)
	defer cancel()
	errs := v.g.store.Forget(ctx, forgets)
	for i, w := range of {
		if errs != nil && errs[i] != nil {
			w.err = fmt.Errorf("gateway: forget entries of user %q: %w", w.box.User(), errs[i])
			continue
		}
		w.forgotten()
	}
}

func (v *writeBehind) save(ctx context.Context, records []store.DeviceSave, of []*write, durable bool) {
	ctx, cancel := context.WithTimeout(ctx, v.g.cfg.LoadTimeout)
	defer cancel()
	for i, err := range v.g.store.SaveDevices(ctx, records, durable) {
		if err != nil {
			of[i].err = fmt.Errorf("gateway: save device %q of user %q: %w", records[i].Device.ID, records[i].User, err)
		}
	}
}

func (u *write) forget() store.Forget {
	return store.Forget{Owner: u.box.Owner, User: u.box.User(), Refs: u.dirty.Forgets(), Below: u.dirty.Below()}
}

// What an end does where the store fails: it is all that is left to wait for, and what is not saved comes to devices a second time.
const (
	endAttempts = 3
	endPause    = 500 * time.Millisecond // the store may refuse at once for a while
)

// writeReleased writes what shards that are released leave to save, of which nothing else is being written. At the end of the gateway what
// fails is written again: nobody waits for the shards.
func (v *writeBehind) writeReleased(ctx context.Context, all []write, durable bool) error {
	attempts := 1
	select {
	case <-v.g.closing:
		attempts = endAttempts
	default:
	}
	for {
		failed, err := v.writeOnce(ctx, all, durable)
		if attempts--; len(failed) == 0 || attempts == 0 || errors.Is(err, store.ErrClosed) {
			return err
		}
		v.g.log.Warn("acks could not be saved; retrying", "error", err)
		select {
		case <-ctx.Done():
			return err
		case <-time.After(endPause):
		}
		all = failed
	}
}

// writeOnce answers what of all has failed, and the error of one of those.
func (v *writeBehind) writeOnce(ctx context.Context, all []write, durable bool) (failed []write, err error) {
	for len(all) > 0 {
		n := min(len(all), savePortion)
		v.write(ctx, all[:n], durable)
		for _, w := range all[:n] {
			if w.failed() {
				err = w.err
				w.err = nil
				failed = append(failed, w)
			}
		}
		all = all[n:]
	}
	return failed, err
}

// saveNow writes d's record durably before it returns, behind the forgets that its count of losses goes with.
func (v *writeBehind) saveNow(ctx context.Context, b *box, d *mailbox.Device) error {
	if err := b.beginSaving(ctx); err != nil {
		return err
	}
	defer b.endSaving()
	if err := b.beginWrite(); err != nil {
		return err
	}
	defer b.endWrite()
	b.lock()
	save := d.Save(v.g.nowMS())
	now := write{box: b, dirty: b.TakeForgets()} // the rest stays queued
	b.unlock()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), v.g.cfg.AppendTimeout)
	defer cancel()
	if now.dirty != nil {
		if err := errors.Join(v.g.store.Forget(ctx, []store.Forget{now.forget()})...); err != nil {
			now.putBack()
			return b.storeError("forget", err)
		}
		now.forgotten()
		if !b.mayWrite() {
			return b.refusal()
		}
	}
	batch := oneSave.Get().(*[1]store.DeviceSave)
	batch[0] = save
	err := errors.Join(v.g.store.SaveDevices(ctx, batch[:], true)...)
	*batch = [1]store.DeviceSave{}
	oneSave.Put(batch)
	if err != nil {
		return b.storeError("save device", err)
	}
	return nil
}

// oneSave is pooled: each connect of a new device needs one for a moment, and it has the size of a mailbox.
var oneSave = sync.Pool{New: func() any { return new([1]store.DeviceSave) }}
