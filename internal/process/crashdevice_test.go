package process

import (
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"ramen/clients/go/wire"
	"ramen/protocol"
)

// crashDevice is a device that keeps its cursor, processes pushes a few at a time, acks now and then, and comes back over
// another transport each time.
type crashDevice struct {
	c            *crash
	user, device string
	greeted      chan struct{} // closed at the first hello
	greet        sync.Once

	mu  sync.Mutex
	got map[string]bool // guarded by mu: ids received, processed or not

	// owned by run
	rng     *rand.Rand
	cursor  string          // of the last push processed
	covered map[string]bool // ids that the cursor covers
	twice   int
}

func newCrashDevice(c *crash, user, device string) *crashDevice {
	return &crashDevice{c: c, user: user, device: device, greeted: make(chan struct{}), got: make(map[string]bool), covered: make(map[string]bool)}
}

func (d *crashDevice) awaitHello() {
	select {
	case <-d.greeted:
	case <-time.After(patience):
		d.c.t.Fatalf("%s/%s has no hello", d.user, d.device)
	}
}

// run opens streams until ctx ends.
func (d *crashDevice) run(ctx context.Context, rng *rand.Rand) {
	d.rng = rng
	for {
		at, ok := d.c.awaitUp(ctx)
		if !ok {
			return
		}
		d.stream(ctx, at)
		select {
		case <-time.After(time.Duration(d.rng.IntN(30)) * time.Millisecond):
		case <-ctx.Done():
			return
		}
	}
}

// stream holds one stream until it ends, or until the device has had enough of it.
func (d *crashDevice) stream(ctx context.Context, at addresses) {
	transport := allTransports[d.rng.IntN(len(allTransports))]
	open := &protocol.OpenFrame{User: protocol.UserID(d.user), Device: protocol.DeviceID(d.device), Cursor: d.cursor}
	if d.rng.IntN(12) == 0 {
		open.Cursor = "" // it has lost its place: all that is not acked comes again. SPEC 2.4
	}
	dialer := wire.Dialer{URL: "http://" + at.devices, GRPC: at.devicesGRPC, Wait: time.Second}
	conn, err := dialer.Dial(ctx, transport, open, nil)
	if err != nil {
		d.checkEnd(transport, err)
		return
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	if open.Cursor == "" {
		clear(d.covered)
	}
	s := &crashStream{d: d, conn: conn, transport: transport, cursor: open.Cursor, seen: make(map[string]bool), last: make(map[lane]int)}
	for left := 20 + d.rng.IntN(3000); left > 0; left-- {
		var f protocol.ServerFrame
		if err := conn.Next(&f); err != nil {
			d.checkEnd(transport, err)
			return
		}
		s.take(ctx, &f)
	}
}

// checkEnd finds ends that a killed server does not explain.
func (d *crashDevice) checkEnd(transport wire.Transport, err error) {
	var end *wire.EndError
	if !errors.As(err, &end) {
		d.c.t.Errorf("%s/%s over %s: %v", d.user, d.device, transport, err)
		return
	}
	switch end.Reason {
	case protocol.ReasonNone, protocol.ReasonUnavailable:
	default:
		d.c.t.Errorf("%s/%s over %s: %v", d.user, d.device, transport, err)
	}
}

// lane is where order is promised: what one publisher publishes to one user at one priority.
type lane struct {
	publisher int
	priority  protocol.Priority
}

// crashStream is what must hold within one stream.
type crashStream struct {
	d         *crashDevice
	conn      wire.Conn
	transport wire.Transport
	cursor    string // that it was opened with
	hello     bool
	seq       protocol.Seq
	seen      map[string]bool
	last      map[lane]int // numbers
	waiting   []string     // received, not processed
}

func (s *crashStream) take(ctx context.Context, f *protocol.ServerFrame) {
	switch f.Kind {
	case protocol.ServerHello:
		s.takeHello(&f.Hello)
	case protocol.ServerPush:
		s.takePush(ctx, &f.Push)
	case protocol.ServerHeartbeat:
		_ = s.conn.Echo(f.TimeMS) // an end is seen by Next
	case protocol.ServerGoAway:
		s.errorf("goaway %v: %s", f.GoAway.Reason, f.GoAway.Detail)
	}
}

func (s *crashStream) errorf(format string, args ...any) {
	s.d.c.t.Errorf("%s/%s over %s: "+format, append([]any{s.d.user, s.d.device, s.transport}, args...)...)
}

func (s *crashStream) takeHello(h *protocol.Hello) {
	if h.Resumed != (s.cursor != "") && !s.hello {
		s.errorf("resumed is %v with the cursor %q", h.Resumed, s.cursor)
	}
	s.hello, s.seq = true, h.Seq
	s.d.greet.Do(func() { close(s.d.greeted) })
}

func (s *crashStream) takePush(ctx context.Context, p *protocol.Push) {
	var body struct {
		ID                string
		Publisher, Number int
	}
	id := string(p.Message.ID)
	if err := json.Unmarshal(p.Message.Payload, &body); err != nil || body.ID != id {
		s.errorf("message %s has the payload %.200q", id, p.Message.Payload)
	}
	switch {
	case !s.hello:
		s.errorf("push %s came before hello", id)
	case s.seq != 0 && p.Seq != s.seq+1:
		s.errorf("push %s has seq %d behind %d", id, p.Seq, s.seq)
	case s.seen[id]:
		s.errorf("message %s came twice on one stream", id)
	case s.d.covered[id]:
		s.errorf("message %s came again, though the cursor covers it", id)
	}
	s.seq, s.seen[id] = p.Seq, true
	if s.transport == wire.Poll && p.Cursor != "" {
		s.seq = 0 // the next poll is another stream, and what another process pushed in vain has had its numbers
	}
	s.checkOrder(id, lane{body.Publisher, p.Message.Priority}, body.Number)
	s.received(id)
	s.process(ctx, p)
}

// checkOrder finds a message that overtook an older one of its lane.
func (s *crashStream) checkOrder(id string, l lane, number int) {
	c := s.d.c
	c.mu.Lock()
	unordered := c.unordered[id]
	c.mu.Unlock()
	if unordered {
		return
	}
	if number <= s.last[l] {
		s.errorf("message %s came behind number %d of its publisher and priority", id, s.last[l])
	}
	s.last[l] = number
}

func (s *crashStream) received(id string) {
	d := s.d
	d.mu.Lock()
	if d.got[id] {
		d.twice++
	}
	d.got[id] = true
	d.mu.Unlock()
	d.c.moved()
}

// process takes pushes as processed, some at a time, and acks some of those times.
func (s *crashStream) process(ctx context.Context, p *protocol.Push) {
	d := s.d
	s.waiting = append(s.waiting, string(p.Message.ID))
	if p.Cursor == "" || (s.transport != wire.Poll && d.rng.IntN(4) > 0) {
		return // within a poll's answer its last push alone has a cursor
	}
	for _, id := range s.waiting {
		d.covered[id] = true
	}
	s.waiting = s.waiting[:0]
	d.cursor = p.Cursor
	often := 2
	if s.transport == wire.SSE {
		often = 20
	}
	if s.transport != wire.Poll && d.rng.IntN(often) > 0 {
		return
	}
	if err := s.conn.Ack(ctx, p.Seq, p.Cursor); err != nil && ctx.Err() == nil {
		var refused *protocol.Error
		if errors.As(err, &refused) {
			s.errorf("ack of %s: %v", p.Cursor, err)
		}
	}
}
