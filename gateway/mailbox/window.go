package mailbox

import (
	"math"
	"sync"

	"ramen/protocol"
)

// Window limits what a device's stream may be pushed: by the window of unacked pushes, and by the credit that its frontend gives. The
// mailbox's lock guards it.
type Window struct {
	d      *Device // immutable
	credit int32   // bytes of pushes
	rttMS  uint32  // round trip of the last heartbeat
	pushes uint16  // the most unacked
	full   bool    // pushing waits for an ack
}

// attach makes w the window of d's new stream. most is the number of pushes that the device asks for; 0: the transport's. SPEC 2.10.3.
func (w *Window) attach(d *Device, most int) {
	pushes, _ := d.transport.Window()
	if most > 0 && most < pushes {
		pushes = most
	}
	w.d, w.pushes = d, uint16(pushes)
	d.window = w
	d.box.scope.Ledger.Memory.Add(streamBytes(d.transport))
	w.full = d.unacked() >= int(w.pushes)
}

// Device is the device whose window it is.
func (w *Window) Device() *Device { return w.d }

// Detach removes the stream from its device. Unacked pushes stay in the device's inflight, for acks that do not come on a stream.
func (w *Window) Detach(nowMS int64) {
	d := w.d
	if d.window != w {
		return
	}
	d.nextEntry(nowMS) // evaluates where of the next push by the context that the device has until now
	d.window = nil
	d.box.scope.Ledger.Memory.Add(-streamBytes(d.transport))
	d.sinceMS = nowMS
	d.markDirty()
}

// AddCredit allows that many more bytes of pushes, and reports whether there is any credit now.
func (w *Window) AddCredit(bytes int) bool {
	w.credit = int32(min(int64(w.credit)+int64(bytes), math.MaxInt32))
	return w.credit > 0
}

// SetRTT sets the round trip of the last heartbeat, in ms.
func (w *Window) SetRTT(ms uint32) { w.rttMS = ms }

// RTT is the round trip of the last heartbeat, in ms; 0: not measured yet.
func (w *Window) RTT() uint32 { return w.rttMS }

// Refresh replaces the context of the device. It does not change results of where.
func (w *Window) Refresh(c *protocol.DeviceContext, nowMS int64) {
	w.d.nextEntry(nowMS) // evaluates where of the next push by the old context
	w.d.setContext(c)
	w.d.markDirty()
}

// Full reports whether pushing waits for an ack, which starts the ack deadline. SPEC 2.9.7, 2.9.8.
func (w *Window) Full() bool { return w.full }

// Progress updates Full after an ack.
func (w *Window) Progress() { w.full = w.d.unacked() >= int(w.pushes) }

// StillFull updates and returns Full: the message that did not fit may have gone.
func (w *Window) StillFull(nowMS int64) bool {
	w.full = w.fullFor(w.d.nextEntry(nowMS))
	return w.full
}

// fullFor reports whether the window has its number of pushes, or e does not fit. SPEC 2.9.7.
func (w *Window) fullFor(e *entry) bool {
	f := w.d.inflight
	if f == nil || len(f.sent) == 0 {
		return false
	}
	_, bytes := w.d.transport.Window()
	return len(f.sent) >= int(w.pushes) || e != nil && f.bytes+len(e.msg.Payload) > bytes
}

// hasRoom reports whether e may be pushed now. One push always fits the window. SPEC 2.10.5.
func (w *Window) hasRoom(e *entry) bool {
	if w.fullFor(e) {
		w.full = true
		return false
	}
	return w.credit > 0
}

// The most pushes, and bytes by their cost, in a batch.
const (
	batchPushes = 256
	batchBytes  = 256 << 10
)

// Batch is a list of pushes that go out together. It comes from a pool; Free returns it.
type Batch struct{ Pushes []protocol.Push }

var batches = sync.Pool{New: func() any { return new(Batch) }}

// Free returns the batch to the pool.
func (p *Batch) Free() {
	clear(p.Pushes)
	p.Pushes = p.Pushes[:0]
	batches.Put(p)
}

// Next returns the next pushes that window and credit have room for; nil: none. more reports whether a further one would fit.
func (w *Window) Next(nowMS int64) (batch *Batch, more bool) {
	d, bytes := w.d, 0
	for batch == nil || len(batch.Pushes) < batchPushes && bytes < batchBytes {
		e := d.nextEntry(nowMS)
		if e == nil || !w.hasRoom(e) {
			return batch, false
		}
		if batch == nil {
			batch = batches.Get().(*Batch)
		}
		p := d.send(e)
		w.credit -= int32(p.Cost())
		bytes += p.Cost()
		batch.Pushes = append(batch.Pushes, p)
		if d.unacked() >= int(w.pushes) {
			w.full = true
		}
	}
	e := d.nextEntry(nowMS)
	return batch, e != nil && w.hasRoom(e)
}
