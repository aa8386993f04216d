package gateway

import (
	"context"
	"errors"
	"fmt"
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
	forgets []forgotten
}

// forgotten is an entry that left its mailbox.
type forgotten struct {
	box *mailbox
	ref store.Ref
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
	v.forgets = append(v.forgets, forgotten{b, ref})
	b.forgets++
	full := len(v.forgets) == forgetBatch
	v.mu.Unlock()
	if full {
		select {
		case v.kick <- struct{}{}:
		default:
		}
	}
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
	p.forgets, v.forgets = v.forgets, nil
	for _, f := range p.forgets {
		f.box.forgets = 0
	}
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
	v.forgets = append(v.forgets, forgets...)
	for _, f := range forgets {
		f.box.forgets++
	}
}

func (v *saver) write(ctx context.Context, p *portion, durable bool) error {
	ctx, cancel := context.WithTimeout(ctx, v.g.cfg.LoadTimeout)
	defer cancel()
	if len(p.forgets) > 0 {
		if err := v.g.store.Forget(ctx, group(p.forgets)); err != nil {
			return fmt.Errorf("gateway: forget %d entries: %w", len(p.forgets), err)
		}
	}
	if len(p.saves) > 0 {
		if err := v.g.store.SaveDevices(ctx, p.saves, durable); err != nil {
			return fmt.Errorf("gateway: save %d devices: %w", len(p.saves), err)
		}
	}
	return nil
}

// group gathers entries of one user that follow each other, as they do after an ack.
func group(forgets []forgotten) []store.Forget {
	batch := make([]store.Forget, 0, len(forgets))
	for i := 0; i < len(forgets); {
		b, refs := forgets[i].box, make([]store.Ref, 0, 1)
		for ; i < len(forgets) && forgets[i].box == b; i++ {
			refs = append(refs, forgets[i].ref)
		}
		batch = append(batch, store.Forget{Owner: b.owner(), User: b.user, Refs: refs})
	}
	return batch
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
	if forgets := v.forgetsOf(d.mb); len(forgets) > 0 {
		if err := v.g.store.Forget(ctx, group(forgets)); err != nil {
			v.keepForgets(forgets)
			return v.g.storeError(d.mb.owner(), "forget", err)
		}
	}
	if err := v.g.store.SaveDevices(ctx, []store.DeviceSave{save}, true); err != nil {
		return v.g.storeError(d.mb.owner(), "save device", err)
	}
	return nil
}

// forgetsOf takes the forgets of b out of what waits.
func (v *saver) forgetsOf(b *mailbox) (of []forgotten) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if b.forgets == 0 {
		return nil
	}
	rest := v.forgets[:0]
	for _, f := range v.forgets {
		if f.box == b {
			of = append(of, f)
		} else {
			rest = append(rest, f)
		}
	}
	v.forgets, b.forgets = rest, 0
	return of
}
