package scenario

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"ramen/clients/go/wire"
	"ramen/loadtest/expect"
	"ramen/loadtest/publisher"
	"ramen/protocol"
)

// When a device acks over SSE, where each ack is a request of its own. SPEC 2.9.2
const (
	slowAcks = 5 * time.Second
	slowHalf = 256 // pushes; less than half a window, since an ack takes its time too
)

// receive is the device: it holds a stream until ctx ends. opened is closed with the first hello.
func (s *slowBench) receive(ctx context.Context, opened chan struct{}) {
	dialer := &wire.Dialer{URL: s.server.Devices, GRPC: s.server.DevicesGRPC, TLS: s.tls, Net: s.dial}
	d := &slowDevice{slowBench: s, opened: opened}
	for again := time.Duration(0); ; again = time.Second {
		if publisher.Pause(ctx, again) != nil {
			return
		}
		err := d.hold(ctx, dialer)
		if ctx.Err() != nil {
			return
		}
		s.mu.Lock()
		s.ends[endOf(err)]++
		s.mu.Unlock()
	}
}

func endOf(err error) string {
	var end *wire.EndError
	if errors.As(err, &end) && end.Reason != protocol.ReasonNone {
		return end.Reason.String()
	}
	return err.Error()
}

// dial connects over the link, and counts the bytes that come.
func (s *slowBench) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	c, err := s.link.Far.Dial(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	return &countedConn{c, s}, nil
}

// countedConn counts what is read.
type countedConn struct {
	net.Conn
	s *slowBench
}

func (c *countedConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.s.mu.Lock()
	c.s.wire += int64(n)
	c.s.mu.Unlock()
	return n, err
}

// slowDevice is the device, with its streams one after another.
type slowDevice struct {
	*slowBench
	opened chan struct{}
	cursor string
}

// hold opens a stream and reads it to its end.
func (d *slowDevice) hold(ctx context.Context, dialer *wire.Dialer) error {
	opening, cancel := context.WithTimeout(ctx, d.p.Wait)
	defer cancel()
	d.mu.Lock()
	d.heard = time.Now()
	d.device.Opening()
	d.mu.Unlock()
	o := &protocol.OpenFrame{User: protocol.UserID(d.user), Device: protocol.DeviceID(expect.DeviceName(0)), Cursor: d.cursor, HeartbeatMS: uint32(d.p.Heartbeat.Milliseconds())}
	conn, err := dialer.Dial(opening, wire.Transport(d.p.Transport), o, d.alive)
	if err != nil {
		return err
	}
	var acks sync.WaitGroup
	defer acks.Wait()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	closeIt := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer func() {
		if closeIt() {
			_ = conn.Close()
		}
	}()
	a := &slowAcker{conn: conn, due: make(chan struct{}, 1)}
	if d.p.Transport == string(wire.SSE) {
		acks.Go(func() { a.run(ctx) })
	}
	for {
		var f protocol.ServerFrame
		if err := conn.Next(&f); err != nil {
			return err
		}
		if err := d.take(ctx, a, &f); err != nil {
			return err
		}
	}
}

// alive records the gap since the last byte.
func (d *slowDevice) alive() {
	now := time.Now()
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.measured {
		d.gap.Record(now.Sub(d.heard).Microseconds())
	}
	d.heard = now
}

func (d *slowDevice) take(ctx context.Context, a *slowAcker, f *protocol.ServerFrame) error {
	switch f.Kind {
	case protocol.ServerHello:
		seq := int64(f.Hello.Seq)
		if d.p.Transport == string(wire.Poll) {
			seq = -1
		}
		d.mu.Lock()
		d.device.Opened(d.expected, f.Hello.Resumed, d.cursor != "", seq)
		d.mu.Unlock()
		if !isClosed(d.opened) {
			close(d.opened)
		}
	case protocol.ServerHeartbeat:
		return a.conn.Echo(f.TimeMS)
	case protocol.ServerPush:
		d.push(&f.Push)
		if d.p.Transport == string(wire.SSE) {
			a.note(f.Push.Cursor)
			return nil
		}
		if f.Push.Cursor != "" || d.p.Transport != string(wire.Poll) { // only the last push of a poll's answer has one
			return a.conn.Ack(ctx, f.Push.Seq, f.Push.Cursor)
		}
	}
	return nil
}

// push checks and measures one push.
func (d *slowDevice) push(p *protocol.Push) {
	now := time.Now()
	d.mu.Lock()
	defer d.mu.Unlock()
	if p.Cursor != "" {
		d.cursor = p.Cursor
	}
	id := []byte(p.Message.ID)
	if d.device.Pushed(d.expected, uint64(p.Seq), id, p.Cursor != "") != expect.First {
		return
	}
	m, _ := expect.ParseID(id, d.expected.Run)
	if m.Lane == lowLane {
		d.lows++
		select {
		case d.more <- struct{}{}:
		default:
		}
		return
	}
	if due, ok := d.due[m.N]; ok {
		delete(d.due, m.N)
		d.high.Record(now.Sub(due).Microseconds())
	}
}

// slowAcker acks over SSE, beside the stream: every slowAcks, and when slowHalf pushes are not acked.
type slowAcker struct {
	conn wire.Conn
	due  chan struct{} // of capacity 1

	mu      sync.Mutex
	cursor  string // guarded by mu
	unacked int    // guarded by mu
}

func (a *slowAcker) note(cursor string) {
	a.mu.Lock()
	a.cursor = cursor
	a.unacked++
	half := a.unacked >= slowHalf
	a.mu.Unlock()
	if half {
		select {
		case a.due <- struct{}{}:
		default:
		}
	}
}

func (a *slowAcker) run(ctx context.Context) {
	tick := time.NewTicker(slowAcks)
	defer tick.Stop()
	for {
		select {
		case <-a.due:
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		a.mu.Lock()
		cursor, some := a.cursor, a.unacked > 0
		a.unacked = 0
		a.mu.Unlock()
		if some {
			_ = a.conn.Ack(ctx, 0, cursor) // after one that failed, the next ack covers it
		}
	}
}
