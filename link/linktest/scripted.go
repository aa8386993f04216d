package linktest

import (
	"context"
	"sync"

	"ramen/link"
	"ramen/protocol"
)

// scripted is a gateway that answers what the test says, and shows what it was asked.
type scripted struct {
	publish    func(ctx context.Context, batch []link.Publish) []link.Result
	open       func(ctx context.Context, o link.Open) (link.Opened, error)
	ack        func(ctx context.Context, a link.Ack) error
	devices    func(at link.Route, user protocol.UserID) ([]link.Device, error)
	messages   func(at link.Route, user protocol.UserID, p link.Page) (link.MessagePage, error)
	recall     func(at link.Route, user protocol.UserID, id protocol.MessageID) (bool, error)
	disconnect func(at link.Route, user protocol.UserID, device protocol.DeviceID, detail string) (int, error)

	mu      sync.Mutex
	streams map[protocol.DeviceID]*end // guarded by mu
	opened  chan struct{}              // guarded by mu: closed and replaced with each stream
}

var _ link.Gateway = (*scripted)(nil)

func (g *scripted) Publish(ctx context.Context, batch []link.Publish) []link.Result {
	return g.publish(ctx, batch)
}

func (g *scripted) Open(ctx context.Context, o link.Open, r link.Receiver) (link.Stream, link.Opened, error) {
	opened, err := link.Opened{}, error(nil)
	if g.open != nil {
		opened, err = g.open(ctx, o)
	}
	if err != nil {
		return nil, link.Opened{}, err
	}
	e := newEnd(r, o.Generation)
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.streams == nil {
		g.streams = make(map[protocol.DeviceID]*end)
	}
	g.streams[o.Device] = e
	close(g.openedLocked())
	g.opened = nil
	return e, opened, nil
}

// openedLocked is closed by the next open.
func (g *scripted) openedLocked() chan struct{} {
	if g.opened == nil {
		g.opened = make(chan struct{})
	}
	return g.opened
}

func (g *scripted) Ack(ctx context.Context, a link.Ack) error { return g.ack(ctx, a) }

func (g *scripted) Devices(_ context.Context, at link.Route, user protocol.UserID) ([]link.Device, error) {
	if g.devices == nil {
		return nil, nil
	}
	return g.devices(at, user)
}

func (g *scripted) Messages(_ context.Context, at link.Route, user protocol.UserID, p link.Page) (link.MessagePage, error) {
	return g.messages(at, user, p)
}

func (g *scripted) Recall(_ context.Context, at link.Route, user protocol.UserID, id protocol.MessageID) (bool, error) {
	return g.recall(at, user, id)
}

func (g *scripted) Disconnect(_ context.Context, at link.Route, user protocol.UserID, device protocol.DeviceID, detail string) (int, error) {
	return g.disconnect(at, user, device, detail)
}

func (g *scripted) stream(device protocol.DeviceID) *end {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.streams[device]
}

// end is the gateway's end of a stream. It records what the frontend says.
type end struct {
	receiver   link.Receiver
	generation link.Generation

	mu        sync.Mutex
	changed   chan struct{} // closed and replaced with each change
	credit    int
	acks      []ackCall
	contexts  []*protocol.DeviceContext
	roundTrip []uint32
	closed    int
	reason    protocol.Reason // of the first Close
}

type ackCall struct {
	seq    protocol.Seq
	cursor string
}

func newEnd(r link.Receiver, g link.Generation) *end {
	return &end{receiver: r, generation: g, changed: make(chan struct{})}
}

func (e *end) change(f func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	f()
	close(e.changed)
	e.changed = make(chan struct{})
}

func (e *end) Credit(n int) { e.change(func() { e.credit += n }) }
func (e *end) Ack(seq protocol.Seq, cursor string) {
	e.change(func() { e.acks = append(e.acks, ackCall{seq, cursor}) })
}
func (e *end) Refresh(c *protocol.DeviceContext) {
	e.change(func() { e.contexts = append(e.contexts, c) })
}
func (e *end) Measured(ms uint32) { e.change(func() { e.roundTrip = append(e.roundTrip, ms) }) }
func (e *end) Close(reason protocol.Reason) {
	e.change(func() {
		if e.closed++; e.closed == 1 {
			e.reason = reason
		}
	})
}

// push gives a batch to the receiver and then spoils the slice, which is the gateway's again. After Close it does nothing.
func (e *end) push(more bool, pushes ...protocol.Push) {
	e.mu.Lock()
	closed := e.closed > 0
	e.mu.Unlock()
	if closed {
		return
	}
	batch := append([]protocol.Push(nil), pushes...)
	e.receiver.Push(e.generation, batch, more)
	for i := range batch {
		batch[i] = protocol.Push{Seq: 1 << 50, Cursor: "spoiled", Message: &protocol.Message{ID: "spoiled"}}
	}
}

// The other calls of the receiver.

func (e *end) acked(seq protocol.Seq) { e.receiver.Acked(e.generation, seq) }
func (e *end) close(reason protocol.Reason, detail string) {
	e.receiver.Closed(e.generation, reason, detail)
}
func (e *end) lose(l link.Loss) { e.receiver.Lost(e.generation, l) }
