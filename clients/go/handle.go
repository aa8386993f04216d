package ramen

import (
	"context"
	"fmt"
	"time"

	"ramen/protocol"
)

const (
	saveEvery   = 64              // messages, at the latest
	saveTimeout = 5 * time.Second // of a save
	loadTimeout = 2 * time.Second
)

// handler processes pushes one after the other. It is the only writer of the device's cursor, so the cursor never covers
// a message that was not processed.
type handler struct {
	d       *Device
	seen    seen
	unsaved int
}

// run ends with ctx.
func (h *handler) run(ctx context.Context) {
	for {
		it, more, ok := h.d.inbox.take(ctx)
		if !ok {
			return
		}
		if it.place != "" {
			h.begin(it)
		} else if err := h.process(ctx, it); err != nil {
			if ctx.Err() != nil {
				return // stopped: what was processed before is still to be acked on this stream
			}
			it.from.dead.Store(true) // what it pushed after must not be acked before this one
			it.from.cancel(fmt.Errorf("%w: %w", errHandler, err))
			continue
		}
		if h.unsaved > 0 && (!more || h.unsaved >= saveEvery) {
			h.save()
		}
	}
}

func (h *handler) process(ctx context.Context, it item) error {
	d, p := h.d, &it.push
	if h.seen.has(p.Message.ID) {
		d.count.duplicates.Add(1)
	} else {
		m := Message{Message: *p.Message, Redelivered: p.Redelivered, Seq: p.Seq}
		if err := d.cfg.Handler(ctx, &m); err != nil {
			d.count.handlerErrors.Add(1)
			if ctx.Err() == nil {
				d.fault("handler", err)
			}
			return err
		}
		d.count.handled.Add(1)
		h.seen.add(p.Message.ID)
	}
	h.moved(p)
	it.from.acker.processed(p)
	return nil
}

// begin takes over the place at which a stream begins, where the device has none that the server honours: so one that was
// pushed nothing comes back with a place, too. SPEC 2.2.14
func (h *handler) begin(it item) {
	h.d.mu.Lock()
	moved := h.d.cursor == "" || !it.resumed
	if moved {
		h.d.cursor = it.place
	}
	h.d.mu.Unlock()
	if moved {
		h.unsaved++
	}
}

// moved takes over the push's cursor. Within a poll's answer only the last push has one.
func (h *handler) moved(p *protocol.Push) {
	if p.Cursor == "" {
		return
	}
	h.d.mu.Lock()
	h.d.cursor = p.Cursor
	h.d.mu.Unlock()
	h.unsaved++
}

func (h *handler) save() {
	h.unsaved = 0
	h.d.saver.save()
}
