package gateway

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"ramen/link"
	"ramen/protocol"
)

// Open opens a stream for a device, evicting its older one.
func (g *Gateway) Open(ctx context.Context, o link.Open, r link.Receiver) (link.Stream, link.Opened, error) {
	b, err := g.acquire(ctx, o.Route, o.User)
	if err != nil {
		return nil, link.Opened{}, err
	}
	defer g.release(b)
	d, err := b.know(ctx, o)
	if err != nil {
		return nil, link.Opened{}, err
	}
	b.sweepAll(g.nowMS())
	s, old, opened, err := b.attach(d, o, r)
	if old != nil {
		old.deliver()
	}
	if err != nil {
		return nil, link.Opened{}, err
	}
	if opened.Expired > 0 && b.g.saver.saveNow(ctx, d) != nil {
		// Told twice, after a crash, it would be a loss that never was: rather tell it next time.
		b.mu.Lock()
		d.expired += opened.Expired
		b.mu.Unlock()
		opened.Expired = 0
	}
	return s, opened, nil
}

// know finds the device, or makes it known: durably, before it is told hello, since publishers rely on known devices.
func (b *mailbox) know(ctx context.Context, o link.Open) (*device, error) {
	d, durable, err := b.findOrAdd(o)
	if err != nil || durable {
		return d, err
	}
	// Where this fails the device stays known here, so that what is published now waits for it; its next open saves it again.
	if err := b.g.saver.saveNow(ctx, d); err != nil {
		return nil, err
	}
	b.mu.Lock()
	d.durable = true
	b.mu.Unlock()
	return d, nil
}

func (b *mailbox) findOrAdd(o link.Open) (d *device, durable bool, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.gone {
		return nil, false, link.ErrNotOwner
	}
	if o.Number.IsZero() { // a re-open is nothing that a device did
		if wait, ok := b.opens.take(b.g.nowUS(), b.g.cfg.OpensPerSecond, b.g.cfg.OpensBurst); !ok {
			return nil, false, &protocol.Error{Code: protocol.CodeResourceExhausted, RetryAfter: wait,
				Message: fmt.Sprintf("the user opens more than %g streams a second; reconnect with backoff", b.g.cfg.OpensPerSecond)}
		}
	}
	if d = b.deviceLocked(o.Device); d == nil {
		if err := b.g.admitUser(); err != nil {
			return nil, false, err
		}
		if err := b.makeRoomLocked(); err != nil {
			return nil, false, err
		}
		d = b.addDeviceLocked(o)
	}
	return d, d.durable, nil
}

// makeRoomLocked forgets the device that is unseen the longest, where there are as many as may be. SPEC 1.
func (b *mailbox) makeRoomLocked() error {
	known := b.countDevices()
	if known < b.g.cfg.DevicesPerUser {
		return nil
	}
	var oldest *device
	for d := b.devices; d != nil; d = d.next {
		if d.stream == nil && (oldest == nil || d.sinceMS < oldest.sinceMS) {
			oldest = d
		}
	}
	if oldest == nil {
		return protocol.Errorf(protocol.CodeResourceExhausted, "the user has %d devices with a stream each, and may have no more; end one of them first", known)
	}
	b.forgetDeviceLocked(oldest)
	return nil
}

// addDeviceLocked makes a device known: it gets what still waits.
func (b *mailbox) addDeviceLocked(o link.Open) *device {
	d := &device{mb: b, id: o.Device, context: o.Context, transport: o.Transport, sinceMS: b.g.nowMS()}
	b.linkLocked(d)
	b.g.memory.Add(knownBytes(d.id, d.context))
	b.tallyDeviceLocked(d)
	b.g.devices.Add(1)
	return d
}

// forgetDeviceLocked takes a device without a stream off the mailbox. What others have acked no longer waits for it.
func (b *mailbox) forgetDeviceLocked(d *device) {
	b.g.memory.Add(-knownBytes(d.id, d.context))
	if d.flow != nil {
		b.g.memory.Add(-d.flow.held)
		d.flow.held = 0
	}
	b.untallyDeviceLocked(d)
	b.unlinkLocked(d)
	for i := range protocol.Lanes {
		l := b.laneLocked(i)
		for at := l.after(d.acked.At[i]); at < len(l.entries); at++ {
			if e := l.entries[at]; !e.dead && e.targets(d.id) && e.verdicts[d.id] != unwanted {
				b.settleLocked(e, false)
			}
		}
		for _, e := range l.entries {
			delete(e.verdicts, d.id)
		}
	}
	b.trimLocked()
	b.g.devices.Add(-1)
	b.g.saver.dirtyLocked(d)
}

// attach puts a new stream on d. The older one is returned for its goaway.
func (b *mailbox) attach(d *device, o link.Open, r link.Receiver) (s, old *stream, opened link.Opened, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.gone {
		return nil, nil, opened, link.ErrNotOwner
	}
	if b.deviceLocked(d.id) != d {
		return nil, nil, opened, protocol.Errorf(protocol.CodeUnavailable, "the device was forgotten while it was opening a stream; open it again")
	}
	number := o.Number
	if number.IsZero() {
		number = protocol.StreamNumber{Epoch: b.epoch, Counter: b.g.counter.Add(1)}
	} else if number.Less(d.number) {
		return nil, nil, opened, link.ErrSuperseded
	}
	if old = d.stream; old != nil {
		if d.number == number {
			old.detachLocked(endTold) // the same socket has come back: its old end is told nothing
		} else {
			old.endLocked(protocol.ReasonSuperseded, "the device opened a newer stream")
		}
	}
	again := !o.Number.IsZero()
	resumed, beside := true, false
	if again {
		var known bool
		beside, known = b.reopenLocked(d, o)
		b.resolveLocked(d, known)
	} else {
		resumed = b.resumeLocked(d, o)
		b.resolveLocked(d, resumed)
	}
	d.restLocked()
	s = b.streamLocked(d, o, r, number)
	opened = link.Opened{
		Number:  number,
		Name:    b.g.streamName(number),
		Resumed: resumed,
		Seq:     d.pushedLocked().Seq,
		Cursor:  b.g.sealer.Seal(b.user, d.id, protocol.Cursor{Seq: d.pushedLocked().Seq, At: d.acked.At}),
	}
	if !again { // a re-open tells no hello
		opened.Expired = b.tellLocked(d)
	}
	opened.Pending = d.nextLocked(b.g.nowMS()) != nil
	if beside {
		s.noted = true
	}
	d.greeted = true
	b.g.saver.dirtyLocked(d)
	return s, old, opened, nil
}

// tellLocked is how many messages for d expired since its last hello, up to this moment; the count begins anew.
func (b *mailbox) tellLocked(d *device) (expired uint32) {
	if nowMS := b.g.nowMS(); b.expiresBy(nowMS) {
		b.sweepLocked(nowMS)
	}
	expired, d.expired = d.expired, 0
	return expired
}

// streamLocked makes the stream and says who the device is now.
func (b *mailbox) streamLocked(d *device, o link.Open, r link.Receiver, number protocol.StreamNumber) *stream {
	pushes, bytes := o.Transport.Window()
	if o.Window > 0 && o.Window < pushes {
		pushes = o.Window
	}
	s := &stream{d: d, receiver: r, window: uint16(pushes), windowBytes: int32(bytes)}
	d.stream, d.number, d.transport = s, number, o.Transport
	d.changeLocked(o.Context)
	d.sinceMS = b.g.nowMS()
	b.g.streams.Add(1)
	b.g.memory.Add(streamBytes(d.transport))
	b.g.pin(b)
	if d.unackedLocked() >= int(s.window) {
		s.fillLocked()
	}
	return s
}

// resumeLocked takes what the device says of where it stands as acks, and begins anew behind them. SPEC 2.3, 2.4.
func (b *mailbox) resumeLocked(d *device, o link.Open) (resumed bool) {
	switch {
	case o.Cursor != "":
		if c, err := b.honour(d.id, o.Cursor); err == nil {
			resumed = true
			d.ackLocked(c)
		}
	case o.HasSeq && o.Name != "":
		resumed = o.Name == b.g.streamName(d.number) && !d.number.IsZero() && o.Seq <= d.pushedLocked().Seq
		if resumed {
			d.ackSeqLocked(o.Seq)
		}
	}
	f := d.flowLocked()
	f.rewind(d.acked.At)
	f.pushed.Seq = max(f.pushed.Seq, d.acked.Seq)
	return resumed
}

// reopenLocked goes on with a socket that had another gateway: behind what went out on it, which is not acked. beside
// reports that some of it was acked beside the stream meanwhile; known, that what was acked is.
func (b *mailbox) reopenLocked(d *device, o link.Open) (beside, known bool) {
	if c, err := b.honour(d.id, o.Acked); err == nil {
		known = true
		d.ackLocked(c)
	}
	f := d.flowLocked()
	f.rewind(d.acked.At)
	at := d.acked.At
	for k, w := range o.Sent {
		c, err := b.honour(d.id, w.Cursor)
		if err != nil || w.Seq+protocol.Seq(len(o.Sent)-1-k) != o.Seq || w.Priority.Lane() < 0 || w.Priority.Lane() >= protocol.Lanes {
			// Not written by this store, or not these pushes: all is pushed again.
			f.rewind(d.acked.At)
			at = d.acked.At
			break
		}
		i := w.Priority.Lane()
		at[i] = c.At[i]
		f.read = f.read.Max(c.At)
		f.sent = append(f.sent, sent{pos: c.At[i], lane: uint8(i), bytes: int32(w.Bytes)})
		f.bytes += w.Bytes
	}
	f.pushed = protocol.Cursor{Seq: o.Seq, At: at}
	sent := len(f.sent)
	f.drop(d.acked.At)
	d.weighLocked()
	return len(f.sent) < sent, known
}

// honour reads a cursor of the device's: authentic, and of no place that has not been.
func (b *mailbox) honour(id protocol.DeviceID, text string) (protocol.Cursor, error) {
	c, err := b.g.sealer.Open(b.user, id, text)
	if err != nil {
		return c, err
	}
	for _, p := range c.At {
		if p.Epoch > b.epoch || p.Epoch == b.epoch && p.Micros > b.g.micros.Load() {
			return c, protocol.ErrForeignCursor // of a store that has been set back
		}
	}
	return c, nil
}

// streamName is the opaque name of a stream: unique over restarts, since the epoch is raised by each, and over stores, since a
// wiped one begins with the same epochs again.
func (g *Gateway) streamName(n protocol.StreamNumber) string {
	return "s" + strconv.FormatUint(uint64(g.identity.Generation), 36) + "." + strconv.FormatUint(uint64(n.Epoch), 36) + "." + strconv.FormatUint(n.Counter, 36)
}

// Ack takes an ack that did not come on the stream. SPEC 5.
func (g *Gateway) Ack(ctx context.Context, a link.Ack) error {
	b, err := g.acquire(ctx, a.Route, a.User)
	if err != nil {
		return err
	}
	defer g.release(b)
	b.mu.Lock()
	s, err := b.ackBesideLocked(a)
	b.mu.Unlock()
	if s != nil {
		s.deliver()
	}
	return err
}

// ackBesideLocked answers the live stream whose window has moved, if one has.
func (b *mailbox) ackBesideLocked(a link.Ack) (*stream, error) {
	if b.gone {
		return nil, link.ErrNotOwner
	}
	d := b.deviceLocked(a.Device)
	moved, err := b.ackOfLocked(d, a)
	if err != nil {
		return nil, err
	}
	s := d.stream
	if s == nil {
		d.sinceMS = b.g.nowMS()
		return nil, nil
	}
	if !moved {
		return nil, nil
	}
	s.noted = true
	s.progressLocked()
	return s, nil
}

func (b *mailbox) ackOfLocked(d *device, a link.Ack) (moved bool, err error) {
	if a.Name != "" {
		switch {
		case d == nil || d.number.IsZero() || a.Name != b.g.streamName(d.number):
			return false, protocol.Errorf(protocol.CodeNotFound, "stream %q is not the device's latest, or the server does not know it; ack with the cursor of the push", a.Name)
		case a.Seq > d.pushedLocked().Seq:
			return false, protocol.Invalidf("ack of seq %d is beyond the last push, %d", a.Seq, d.pushedLocked().Seq)
		}
		return d.ackSeqLocked(a.Seq), nil
	}
	c, err := b.honour(a.Device, a.Cursor)
	if err != nil || d == nil {
		return false, protocol.Invalidf("the cursor cannot be honoured: it is not one that this device of this user was pushed")
	}
	return d.ackLocked(c), nil
}

// unseenBefore is the Unix ms before which a device must have been seen to be forgotten.
func (g *Gateway) unseenBefore(now time.Time) int64 {
	return now.Add(-g.cfg.DeviceUnseen).UnixMilli()
}
