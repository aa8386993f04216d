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
	b.mu.Lock()
	if wait, ok := b.opens.take(b.g.nowUS(), b.g.cfg.OpensPerSecond, b.g.cfg.OpensBurst); !ok && o.Number.IsZero() {
		b.mu.Unlock()
		return nil, &protocol.Error{Code: protocol.CodeResourceExhausted, RetryAfter: wait,
			Message: fmt.Sprintf("the user opens more than %g streams a second; reconnect with backoff", b.g.cfg.OpensPerSecond)}
	}
	d := b.deviceLocked(o.Device)
	if d == nil {
		if err := b.makeRoomLocked(); err != nil {
			b.mu.Unlock()
			return nil, err
		}
		d = b.addDeviceLocked(o)
	}
	durable := d.durable
	b.mu.Unlock()
	if durable {
		return d, nil
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

// makeRoomLocked forgets the device that is unseen the longest, where there are as many as may be. PROTOCOL 1.
func (b *mailbox) makeRoomLocked() error {
	if len(b.devices) < b.g.cfg.DevicesPerUser {
		return nil
	}
	var oldest *device
	for _, d := range b.devices {
		if d.stream == nil && (oldest == nil || d.lastSeenMS < oldest.lastSeenMS) {
			oldest = d
		}
	}
	if oldest == nil {
		return protocol.Errorf(protocol.CodeResourceExhausted, "the user has %d devices with a stream each, and may have no more; end one of them first", len(b.devices))
	}
	b.forgetDeviceLocked(oldest)
	return nil
}

// addDeviceLocked makes a device known: it gets what still waits.
func (b *mailbox) addDeviceLocked(o link.Open) *device {
	d := &device{mb: b, id: o.Device, context: o.Context, transport: o.Transport, lastSeenMS: b.g.nowMS()}
	b.devices = append(b.devices, d)
	for i := range b.lanes {
		for _, e := range b.lanes[i].entries {
			if !e.dead && e.targets(d.id) {
				e.waiting++
			}
		}
	}
	b.g.devices.Add(1)
	return d
}

// forgetDeviceLocked takes a device without a stream off the mailbox. What others have acked no longer waits for it.
func (b *mailbox) forgetDeviceLocked(d *device) {
	for i := range b.devices {
		if b.devices[i] == d {
			b.devices = append(b.devices[:i], b.devices[i+1:]...)
			break
		}
	}
	d.forgotten = true
	for i := range b.lanes {
		l := &b.lanes[i]
		for at := l.after(d.acked.At[i]); at < len(l.entries); at++ {
			if e := l.entries[at]; !e.dead && e.targets(d.id) && e.verdicts[d.id] != unwanted {
				b.settleLocked(e, false)
			}
		}
		for _, e := range l.entries {
			delete(e.verdicts, d.id)
		}
		l.trim()
	}
	b.g.devices.Add(-1)
	b.g.saver.dirtyLocked(d)
}

// attach puts a new stream on d. The older one is returned for its goaway.
func (b *mailbox) attach(d *device, o link.Open, r link.Receiver) (s, old *stream, opened link.Opened, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if d.forgotten {
		return nil, nil, opened, protocol.Errorf(protocol.CodeUnavailable, "the device was forgotten while it was opening a stream; open it again")
	}
	number := o.Number
	if number.IsZero() {
		number = protocol.StreamNumber{Epoch: b.shard.epochNow(), Counter: b.g.counter.Add(1)}
	} else if number.Less(d.number) {
		return nil, nil, opened, link.ErrSuperseded
	}
	if old = d.stream; old != nil {
		if old.number == number {
			old.loseLocked()
			old.ending.kind = endTold // the same socket has come back: its old end is told nothing
		} else {
			old.endLocked(protocol.ReasonSuperseded, "the device opened a newer stream")
		}
	}
	resumed := b.resumeLocked(d, o)
	s = b.streamLocked(d, o, r, number)
	opened = link.Opened{
		Number:  number,
		Name:    streamName(number),
		Resumed: resumed,
		Seq:     d.pushed.Seq,
		Expired: d.expired,
		Cursor:  b.g.sealer.Seal(b.user, d.id, protocol.Cursor{Seq: d.pushed.Seq, At: d.acked.At}),
	}
	if o.Number.IsZero() {
		d.expired = 0
	}
	b.g.saver.dirtyLocked(d)
	return s, old, opened, nil
}

// streamLocked makes the stream and says who the device is now.
func (b *mailbox) streamLocked(d *device, o link.Open, r link.Receiver, number protocol.StreamNumber) *stream {
	pushes, bytes := o.Transport.Window()
	if o.Window > 0 && o.Window < pushes {
		pushes = o.Window
	}
	s := &stream{d: d, number: number, receiver: r, transport: o.Transport, window: pushes, windowBytes: bytes}
	nowMS := b.g.nowMS()
	d.stream, d.number, d.transport, d.context = s, number, o.Transport, o.Context
	d.connectedMS, d.lastSeenMS, d.rttMS = nowMS, nowMS, 0
	b.g.streams.Add(1)
	b.g.pin(b)
	if len(d.sent) >= s.window {
		s.fillLocked()
	}
	return s
}

// resumeLocked takes what the device says of where it stands as acks, and begins anew behind them. PROTOCOL 2.3, 2.4.
func (b *mailbox) resumeLocked(d *device, o link.Open) (resumed bool) {
	if !o.Number.IsZero() {
		return b.reopenLocked(d, o)
	}
	switch {
	case o.Cursor != "":
		if c, err := b.honour(d.id, o.Cursor); err == nil {
			resumed = true
			d.ackLocked(c)
		}
	case o.HasSeq && o.Name != "":
		resumed = o.Name == streamName(d.number) && !d.number.IsZero() && o.Seq <= d.pushed.Seq
		if resumed {
			d.ackSeqLocked(o.Seq)
		}
	}
	d.sent, d.bytes = nil, 0
	d.read = d.acked.At
	d.pushed.Seq = max(d.pushed.Seq, d.acked.Seq)
	return resumed
}

// reopenLocked goes on with a socket that had another gateway: behind what went out on it, which is not acked.
func (b *mailbox) reopenLocked(d *device, o link.Open) bool {
	if c, err := b.honour(d.id, o.Acked); err == nil {
		d.ackLocked(c)
	}
	d.sent, d.bytes = nil, 0
	d.read = d.acked.At
	at := d.acked.At
	for _, w := range o.Sent {
		c, err := b.honour(d.id, w.Cursor)
		if err != nil {
			break // not written by this store: what follows is pushed again
		}
		i := w.Priority.Lane()
		at[i] = c.At[i]
		d.read = d.read.Max(c.At)
		d.sent = append(d.sent, sent{pos: c.At[i], lane: uint8(i), bytes: int32(w.Bytes)})
		d.bytes += w.Bytes
	}
	d.pushed = protocol.Cursor{Seq: o.Seq, At: at}
	return true
}

// honour reads a cursor of the device's: authentic, and not of an epoch that has not been.
func (b *mailbox) honour(id protocol.DeviceID, text string) (protocol.Cursor, error) {
	c, err := b.g.sealer.Open(b.user, id, text)
	if err != nil {
		return c, err
	}
	for _, p := range c.At {
		if p.Epoch > b.shard.epochNow() {
			return c, protocol.ErrForeignCursor
		}
	}
	return c, nil
}

// streamName is the opaque name of a stream: unique over restarts, since the epoch is raised by each.
func streamName(n protocol.StreamNumber) string {
	return "s" + strconv.FormatUint(uint64(n.Epoch), 36) + "." + strconv.FormatUint(n.Counter, 36)
}

// Ack takes an ack that did not come on the stream. PROTOCOL 5.
func (g *Gateway) Ack(ctx context.Context, a link.Ack) error {
	b, err := g.acquire(ctx, a.Route, a.User)
	if err != nil {
		return err
	}
	defer g.release(b)
	b.mu.Lock()
	d, err := b.ackBesideLocked(a)
	var s *stream
	if err == nil {
		d.lastSeenMS = g.nowMS()
		if s = d.stream; s != nil {
			s.note, s.noted = d.pushed.Seq-protocol.Seq(len(d.sent)), true
			s.progressLocked()
		}
	}
	b.mu.Unlock()
	if s != nil {
		s.deliver()
	}
	return err
}

func (b *mailbox) ackBesideLocked(a link.Ack) (*device, error) {
	d := b.deviceLocked(a.Device)
	if a.Name != "" {
		switch {
		case d == nil || d.number.IsZero() || a.Name != streamName(d.number):
			return nil, protocol.Errorf(protocol.CodeNotFound, "stream %q is not the device's latest, or the server does not know it; ack with the cursor of the push", a.Name)
		case a.Seq > d.pushed.Seq:
			return nil, protocol.Invalidf("ack of seq %d is beyond the last push, %d", a.Seq, d.pushed.Seq)
		}
		d.ackSeqLocked(a.Seq)
		return d, nil
	}
	c, err := b.honour(a.Device, a.Cursor)
	if err != nil || d == nil {
		return nil, protocol.Invalidf("the cursor cannot be honoured: it is not one that this device of this user was pushed")
	}
	d.ackLocked(c)
	return d, nil
}

// unseenBefore is the Unix ms before which a device must have been seen to be forgotten.
func (g *Gateway) unseenBefore(now time.Time) int64 {
	return now.Add(-g.cfg.DeviceUnseen).UnixMilli()
}
