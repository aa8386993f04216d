package mailbox

import (
	"math"
	"sync"

	"ramen/protocol"
)

// Window is what a device's stream may be pushed: its window, which acks make room in, and credit, which its frontend gives. It is
// guarded like its mailbox.
type Window struct {
	d      *Device // immutable
	credit int32   // bytes of pushes
	rttMS  uint32  // round trip of the last heartbeat
	pushes uint16  // at most
	full   bool    // something waits for an ack
}

// attach makes w the window of d's new stream; most is the pushes that the device asks for, 0: the transport's most.
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

// Device is whose window it is.
func (w *Window) Device() *Device { return w.d }

// Detach takes the stream off its device. What was pushed and not acked stays in the device's sent, for an ack that comes beside
// the stream.
func (w *Window) Detach(nowMS int64) {
	d := w.d
	if d.window != w {
		return
	}
	d.nextEntry(nowMS) // what was the next was matched with what the device was
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

// SetRTT notes the round trip of the last heartbeat, RTT gives it, in ms.
func (w *Window) SetRTT(ms uint32) { w.rttMS = ms }

// RTT is the round trip of the last heartbeat in ms; 0: none was measured.
func (w *Window) RTT() uint32 { return w.rttMS }

// Refresh replaces the context of the device. What where has matched stands.
func (w *Window) Refresh(c *protocol.DeviceContext, nowMS int64) {
	w.d.nextEntry(nowMS) // what is the next by now is matched with what the device was
	w.d.setContext(c)
	w.d.markDirty()
}

// Full reports whether something waits for an ack: from then on the device has its time. SPEC 2.9.
func (w *Window) Full() bool { return w.full }

// Progress says that something was acked.
func (w *Window) Progress() { w.full = w.d.unacked() >= int(w.pushes) }

// StillFull looks again whether the window is full: what did not fit may have gone.
func (w *Window) StillFull(nowMS int64) bool {
	w.full = w.fullFor(w.d.nextEntry(nowMS))
	return w.full
}

// fullFor reports whether the window is at its number of pushes, or e does not fit.
func (w *Window) fullFor(e *entry) bool {
	f := w.d.inflight
	if f == nil || len(f.sent) == 0 {
		return false
	}
	_, bytes := w.d.transport.Window()
	return len(f.sent) >= int(w.pushes) || e != nil && f.bytes+len(e.msg.Payload) > bytes
}

// hasRoom reports whether e may go out now. One push always fits the window. SPEC 2.10.
func (w *Window) hasRoom(e *entry) bool {
	if w.fullFor(e) {
		w.full = true
		return false
	}
	return w.credit > 0
}

// batchPushes and batchBytes bound one batch.
const (
	batchPushes = 256
	batchBytes  = 256 << 10
)

// Batch is pushes that go out together. It comes from a pool, and Free gives it back.
type Batch struct{ Pushes []protocol.Push }

var batches = sync.Pool{New: func() any { return new(Batch) }}

// Free gives the batch back to the pool.
func (p *Batch) Free() {
	clear(p.Pushes)
	p.Pushes = p.Pushes[:0]
	batches.Put(p)
}

// Next takes from the mailbox what window and credit have room for; nil where that is nothing. more says that there is room for
// further ones.
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
