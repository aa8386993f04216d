package devices

import (
	"context"

	"ramen/clients/go/wire"
	"ramen/protocol"
)

// wired is a stream over the Go client's package wire, with a goroutine.
type wired struct {
	cancel context.CancelFunc
	conn   wire.Conn // guarded by the shard; nil: not connected yet
}

// dialWired opens such a stream. Called with mu held.
func (s *Shard) dialWired(d *Device, at *endpoint, o *protocol.OpenFrame) {
	ctx, cancel := context.WithCancel(s.ctx)
	w := &wired{cancel: cancel}
	d.conn = w
	kind, open := d.kind, *o
	s.streams.Go(func() {
		defer cancel()
		err := w.run(ctx, d, at, kind, &open)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.now = now()
		d.ended(w, err)
	})
}

func (w *wired) cut() { w.cancel() }

func (w *wired) run(ctx context.Context, d *Device, at *endpoint, k kind, o *protocol.OpenFrame) error {
	s := d.sh
	opening, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	conn, err := at.dialer.Dial(opening, k.transport(), o, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.now = now(); d.has(w) {
			d.from = w
			d.alive()
		}
	})
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer func() {
		if stop() {
			_ = conn.Close()
		}
	}()
	s.mu.Lock()
	w.conn = conn
	s.mu.Unlock()
	var f protocol.ServerFrame
	for {
		if err := conn.Next(&f); err != nil {
			return err
		}
		if err := w.take(ctx, d, k, &f); err != nil {
			return err
		}
	}
}

// take hands a frame to the device, and sends the echo or ack that it calls for.
func (w *wired) take(ctx context.Context, d *Device, k kind, f *protocol.ServerFrame) error {
	s := d.sh
	s.mu.Lock()
	s.now = now()
	if !d.has(w) {
		s.mu.Unlock()
		return context.Canceled
	}
	d.from = w
	d.frame(f)
	acks := d.conn == w && d.ackDue > 0 && (k != sseKind || int(d.unacked) >= s.halfWindow(k))
	seq, cursor := d.seq, ""
	if acks {
		cursor = string(d.cursor)
		s.acked(d)
	}
	s.mu.Unlock()
	if f.Kind == protocol.ServerHeartbeat {
		return w.conn.Echo(f.TimeMS)
	}
	if !acks {
		return nil
	}
	if k == pollKind && f.Push.Cursor == "" {
		return nil // only the last push of an answer has a cursor
	}
	return w.conn.Ack(ctx, protocol.Seq(seq), cursor)
}

// wake acks on a stream that has nothing to read. Called with mu held.
func (w *wired) wake(d *Device) {
	if w.conn == nil || len(d.cursor) == 0 {
		return
	}
	s, conn, seq, cursor := d.sh, w.conn, protocol.Seq(d.seq), string(d.cursor)
	s.acked(d)
	s.streams.Go(func() { _ = conn.Ack(s.ctx, seq, cursor) }) // after one that failed, the next ack covers it
}
