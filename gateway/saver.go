package gateway

import (
	"context"
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
	// for writing by the saver, for reading by opens that tell of a loss.
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

// flush writes all that is to be saved. What fails is kept for the next time.
func (v *saver) flush(ctx context.Context, durable bool) error {
	v.order.Lock()
	defer v.order.Unlock()
	v.mu.Lock()
	dirty := v.dirty
	v.dirty = nil
	v.mu.Unlock()
	saves := make([]store.DeviceSave, len(dirty))
	for i, d := range dirty {
		d.mb.mu.Lock()
		d.dirty = false
		saves[i] = d.saveLocked()
		d.mb.mu.Unlock()
	}
	v.mu.Lock() // after the records: whatever expired by their count is among these
	forgets := v.forgets
	v.forgets = nil
	v.mu.Unlock()

	err := v.write(ctx, saves, forgets, durable)
	for _, d := range dirty {
		if err != nil && d.mb.shard.epochNow() != 0 {
			d.mb.mu.Lock()
			v.dirtyLocked(d)
			d.mb.mu.Unlock()
		}
		v.g.release(d.mb)
	}
	return err
}

func (v *saver) write(ctx context.Context, saves []store.DeviceSave, forgets []forgotten, durable bool) error {
	ctx, cancel := context.WithTimeout(ctx, v.g.cfg.LoadTimeout)
	defer cancel()
	if len(forgets) > 0 {
		if err := v.g.store.Forget(ctx, group(forgets)); err != nil {
			v.mu.Lock()
			v.forgets = append(v.forgets, forgets...)
			v.mu.Unlock()
			return fmt.Errorf("gateway: forget %d entries: %w", len(forgets), err)
		}
	}
	if len(saves) > 0 {
		if err := v.g.store.SaveDevices(ctx, saves, durable); err != nil {
			return fmt.Errorf("gateway: save %d devices: %w", len(saves), err)
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
		batch = append(batch, store.Forget{Owner: b.shard.owner(), User: b.user, Refs: refs})
	}
	return batch
}

// saveNow writes d's record durably before it returns.
func (v *saver) saveNow(ctx context.Context, d *device) error {
	v.order.RLock()
	defer v.order.RUnlock()
	d.mb.mu.Lock()
	save := d.saveLocked()
	d.mb.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), v.g.cfg.AppendTimeout)
	defer cancel()
	if err := v.g.store.SaveDevices(ctx, []store.DeviceSave{save}, true); err != nil {
		return v.g.storeError(d.mb.shard, "save device", err)
	}
	return nil
}
