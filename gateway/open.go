package gateway

import (
	"context"
	"fmt"

	"ramen/gateway/mailbox"
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
	open := openOf(&o)
	d, err := b.registerDevice(ctx, &open)
	if err != nil {
		return nil, link.Opened{}, err
	}
	b.sweepAll(g.nowMS())
	s, old, opened, err := b.attach(d, &open, r, o.Generation)
	if old != nil {
		old.deliver()
	}
	if err != nil {
		return nil, link.Opened{}, err
	}
	if opened.Expired > 0 && g.writeBehind.saveNow(ctx, b, d) != nil {
		// Told twice, after a crash, it would be a loss that never was: rather tell it next time.
		b.lock()
		d.PutBackExpired(opened.Expired)
		b.unlock()
		opened.Expired = 0
	}
	return s, opened, nil
}

// openOf is o as a mailbox takes it.
func openOf(o *link.Open) mailbox.Open {
	m := mailbox.Open{
		Device: o.Device, Transport: o.Transport, Context: o.Context, Window: o.Window,
		Cursor: o.Cursor, HasSeq: o.HasSeq, Seq: o.Seq, Name: o.Name,
		Number: o.Number, Reopen: !o.Number.IsZero(), Acked: o.Acked,
	}
	if len(o.Sent) > 0 {
		m.Sent = make([]mailbox.Sent, len(o.Sent))
		for i, s := range o.Sent {
			m.Sent[i] = mailbox.Sent(s)
		}
	}
	return m
}

// registerDevice finds the device, or makes it known: durably, before it is told hello, since publishers rely on known devices.
func (b *box) registerDevice(ctx context.Context, o *mailbox.Open) (*mailbox.Device, error) {
	d, durable, err := b.findOrAdd(o)
	if err != nil || durable {
		return d, err
	}
	// Where this fails the device stays known here, so that what is published now waits for it; its next open saves it again.
	if err := b.g.writeBehind.saveNow(ctx, b, d); err != nil {
		return nil, err
	}
	b.lock()
	d.SetDurable()
	b.unlock()
	return d, nil
}

func (b *box) findOrAdd(o *mailbox.Open) (d *mailbox.Device, durable bool, err error) {
	if err := b.enter(); err != nil {
		return nil, false, err
	}
	defer b.unlock()
	if !o.Reopen { // a re-open is nothing that a device did
		if wait, ok := b.TakeOpen(b.g.nowUS()); !ok {
			return nil, false, &protocol.Error{Code: protocol.CodeResourceExhausted, RetryAfter: wait,
				Message: fmt.Sprintf("the user opens more than %g streams a second; reconnect with backoff", b.g.cfg.OpensPerSecond)}
		}
	}
	if d = b.Device(o.Device); d == nil {
		if err := b.g.admitUser(); err != nil {
			return nil, false, err
		}
		if d, err = b.AddDevice(o, b.g.nowMS()); err != nil {
			return nil, false, err
		}
	}
	return d, d.Durable(), nil
}

// attach puts a new stream on d. The older one is returned for its goaway.
func (b *box) attach(d *mailbox.Device, o *mailbox.Open, r link.Receiver, g link.Generation) (s, old *stream, opened link.Opened, err error) {
	if err := b.enter(); err != nil {
		return nil, nil, opened, err
	}
	defer b.unlock()
	if !d.Known() {
		return nil, nil, opened, protocol.Errorf(protocol.CodeUnavailable, "the device was forgotten while it was opening a stream; open it again")
	}
	if !o.Reopen {
		o.Number = b.NewStream()
	} else if o.Number.Less(d.Number()) {
		return nil, nil, opened, link.ErrSuperseded
	}
	if old = b.streamOf(d); old != nil {
		if d.Number() == o.Number {
			old.detach(endTold) // the same socket has come back: its old end is told nothing
		} else {
			old.close(protocol.ReasonSuperseded, "the device opened a newer stream")
		}
	}
	s = &stream{box: b, receiver: r, generation: g}
	m := b.Attach(d, &s.Window, o, b.g.nowMS())
	s.ackedBeside = m.AckedBeside
	s.next, b.streams = b.streams, s
	b.g.streams.Add(1)
	b.g.pin(b)
	s.timeAcks()
	return s, old, link.Opened{
		Number: o.Number, Name: m.Name, Epoch: b.Owner.Epoch, Resumed: m.Resumed, Seq: m.Seq, Expired: m.Expired, Cursor: m.Cursor, Pending: m.Pending,
	}, nil
}

// Ack takes an ack that did not come on the stream. SPEC 5.
func (g *Gateway) Ack(ctx context.Context, a link.Ack) error {
	b, err := g.acquire(ctx, a.Route, a.User)
	if err != nil {
		return err
	}
	defer g.release(b)
	s, err := b.ackBeside(a)
	if s != nil {
		s.deliver()
	}
	return err
}

// ackBeside answers the live stream whose window has moved, if one has.
func (b *box) ackBeside(a link.Ack) (*stream, error) {
	if err := b.enter(); err != nil {
		return nil, err
	}
	defer b.unlock()
	d, moved, err := b.AckBeside(mailbox.Ack{Device: a.Device, Cursor: a.Cursor, Seq: a.Seq, Name: a.Name}, b.g.nowMS())
	if err != nil || !moved {
		return nil, err
	}
	s := b.streamOf(d)
	if s != nil {
		s.ackedBeside = true
		s.progress()
	}
	return s, nil
}
