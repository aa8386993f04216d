package gateway

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"
	"time"

	"ramen/store"
)

// saver writes lazily what may be lost without losing a message: where devices stand, and which entries nobody needs.
// A dirty device pins its mailbox until its record is written.
//
// What expired is forgotten before the count of it is saved: a crash between the two tells a device of fewer losses than
// there were, never of more. PROTOCOL 2.2.
type saver struct {
	g    *Gateway
	kick chan struct{} // of capacity 1: many entries are to be forgotten

	// order keeps a record that is saved at once from being overwritten by an older one under way. It is held across I/O:
	// for writing by the saver, for reading by opens that save a device at once.
	order sync.RWMutex

	mu sync.Mutex
	// guarded by mu
	dirty   []*device
	forgets map[*mailbox][]store.Ref
	count   int // of refs in forgets
}

// forgotten is what left a mailbox.
type forgotten struct {
	box  *mailbox
	refs []store.Ref
}

// forgetBatch is how many entries to be forgotten are worth a write before the interval is over.
const forgetBatch = 8192

func (v *saver) init(g *Gateway) { v.g, v.kick = g, make(chan struct{}, 1) }

// dirtyLocked notes that d's record is to be saved. The caller holds d's mailbox.
func (v *saver) dirtyLocked(d *device) {
	if d.dirty {
		return
	}
	d.dirty = true
	v.g.pin(d.mb)
	v.mu.Lock()
	v.dirty = append(v.dirty, d)
	v.mu.Unlock()
}

// forget notes that nobody needs the entry any more. The caller holds b.
func (v *saver) forget(b *mailbox, ref store.Ref) {
	v.mu.Lock()
	v.addLocked(b, ref)
	full := v.count == forgetBatch
	v.mu.Unlock()
	if full {
		select {
		case v.kick <- struct{}{}:
		default:
		}
	}
}

func (v *saver) addLocked(b *mailbox, refs ...store.Ref) {
	if v.forgets == nil {
		v.forgets = make(map[*mailbox][]store.Ref)
	}
	v.forgets[b] = append(v.forgets[b], refs...)
	v.count += len(refs)
}

// takeLocked takes the forgets of b.
func (v *saver) takeLocked(b *mailbox) forgotten {
	f := forgotten{b, v.forgets[b]}
	v.count -= len(f.refs)
	delete(v.forgets, b)
	return f
}

// run is the saver's goroutine.
func (v *saver) run(ctx context.Context) {
	tick := time.NewTicker(v.g.cfg.SaveInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-v.kick:
		}
		if err := v.flush(ctx, false); err != nil && ctx.Err() == nil {
			v.g.log.Warn("what was acked is not saved yet, and will be", "error", err)
		}
	}
}

// portion is what is written at once.
type portion struct {
	dirty   []*device
	saves   []store.DeviceSave // of dirty, one each
	forgets []forgotten
}

// flush writes all that is to be saved. What fails is kept for the next time, but for shards that were given up.
func (v *saver) flush(ctx context.Context, durable bool) error {
	v.order.Lock()
	defer v.order.Unlock()
	all := v.take()
	err := v.write(ctx, all, durable)
	switch {
	case errors.Is(err, store.ErrFenced): // one shard that was lost must not hold up the others
		err = nil
		for owner, p := range all.byOwner() {
			e := v.write(ctx, p, durable)
			if errors.Is(e, store.ErrFenced) {
				v.g.fenced(owner)
			} else if e != nil {
				v.keep(p)
				err = e
			}
		}
	case err != nil:
		v.keep(all)
	}
	for _, d := range all.dirty {
		v.g.release(d.mb)
	}
	return err
}

func (v *saver) take() *portion {
	v.mu.Lock()
	p := &portion{dirty: v.dirty}
	v.dirty = nil
	v.mu.Unlock()
	p.saves = make([]store.DeviceSave, len(p.dirty))
	for i, d := range p.dirty {
		d.mb.mu.Lock()
		d.dirty = false
		p.saves[i] = d.saveLocked()
		d.mb.mu.Unlock()
	}
	v.mu.Lock() // after the records: whatever expired by their count is among these
	defer v.mu.Unlock()
	p.forgets = make([]forgotten, 0, len(v.forgets))
	for b, refs := range v.forgets {
		p.forgets = append(p.forgets, forgotten{b, refs})
	}
	v.forgets, v.count = nil, 0
	return p
}

// byOwner is p cut by shard.
func (p *portion) byOwner() map[store.Owner]*portion {
	cut := make(map[store.Owner]*portion)
	of := func(b *mailbox) *portion {
		q := cut[b.owner()]
		if q == nil {
			q = new(portion)
			cut[b.owner()] = q
		}
		return q
	}
	for i, d := range p.dirty {
		q := of(d.mb)
		q.dirty, q.saves = append(q.dirty, d), append(q.saves, p.saves[i])
	}
	for _, f := range p.forgets {
		q := of(f.box)
		q.forgets = append(q.forgets, f)
	}
	return cut
}

// keep puts back what could not be written. A mailbox that is gone has nobody to write it later.
func (v *saver) keep(p *portion) {
	for _, d := range p.dirty {
		d.mb.mu.Lock()
		if !d.mb.gone {
			v.dirtyLocked(d)
		}
		d.mb.mu.Unlock()
	}
	v.keepForgets(p.forgets)
}

func (v *saver) keepForgets(forgets []forgotten) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, f := range forgets {
		v.addLocked(f.box, f.refs...)
	}
}

// savePortion is how many records, or entries to forget, are in one write: appends wait for it, and it has a deadline.
const savePortion = 4096

// write writes p in portions, the forgets before all records.
func (v *saver) write(ctx context.Context, p *portion, durable bool) error {
	for batch := range forgetPortions(p.forgets) {
		if err := v.within(ctx, func(ctx context.Context) error { return v.g.store.Forget(ctx, batch) }); err != nil {
			return fmt.Errorf("gateway: forget entries of %d users: %w", len(batch), err)
		}
	}
	for batch := range slices.Chunk(p.saves, savePortion) {
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

// forgetPortions cuts forgets into writes. One user's are at most a mailbox, and stay together.
func forgetPortions(forgets []forgotten) iter.Seq[[]store.Forget] {
	return func(yield func([]store.Forget) bool) {
		for len(forgets) > 0 {
			var batch []store.Forget
			for n := 0; n < savePortion && len(forgets) > 0; forgets = forgets[1:] {
				f := &forgets[0]
				batch = append(batch, f.write())
				n += len(f.refs)
			}
			if !yield(batch) {
				return
			}
		}
	}
}

func (f *forgotten) write() store.Forget {
	return store.Forget{Owner: f.box.owner(), User: f.box.user, Refs: f.refs}
}

// saveNow writes d's record durably before it returns, behind the forgets that its count of losses goes with.
func (v *saver) saveNow(ctx context.Context, d *device) error {
	v.order.RLock()
	defer v.order.RUnlock()
	d.mb.saving.Lock()
	defer d.mb.saving.Unlock()
	d.mb.mu.Lock()
	save := d.saveLocked()
	d.mb.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), v.g.cfg.AppendTimeout)
	defer cancel()
	v.mu.Lock()
	f := v.takeLocked(d.mb)
	v.mu.Unlock()
	if len(f.refs) > 0 {
		if err := v.g.store.Forget(ctx, []store.Forget{f.write()}); err != nil {
			v.keepForgets([]forgotten{f})
			return v.g.storeError(d.mb.owner(), "forget", err)
		}
	}
	if err := v.g.store.SaveDevices(ctx, []store.DeviceSave{save}, true); err != nil {
		return v.g.storeError(d.mb.owner(), "save device", err)
	}
	return nil
}
