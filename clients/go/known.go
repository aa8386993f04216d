package ramen

import (
	"context"
	"time"

	"ramen/protocol"
)

// KnownDevice is a device as a backend sees it. SPEC 7.1.
type KnownDevice struct {
	Device    string
	Online    bool
	Transport string // of its last stream: sse, ws, grpc, poll
	Context   DeviceContext
	Connected time.Time     // zero while offline
	LastSeen  time.Time     //
	Pending   int           // messages for it, alive, not acked
	Unacked   int           // of these, pushed on its stream
	RTT       time.Duration // of the last heartbeat; 0: not measured
}

// Devices lists the user's known devices.
func (p *Publisher) Devices(ctx context.Context, user string) ([]KnownDevice, error) {
	if err := p.ask(user); err != nil {
		return nil, err
	}
	defer p.end()
	return p.backend.devices(ctx, user)
}

// Messages lists what waits in the user's mailbox, without payloads over 16 KiB.
func (p *Publisher) Messages(ctx context.Context, user string) ([]Message, error) {
	if err := p.ask(user); err != nil {
		return nil, err
	}
	defer p.end()
	return p.backend.messages(ctx, user)
}

// Recall takes a waiting message back; false where there is none of that id. Once it has answered, the message does not
// come back. What was pushed already is not undone.
func (p *Publisher) Recall(ctx context.Context, user, id string) (bool, error) {
	if err := protocol.CheckMessageID(id); err != nil {
		return false, err
	}
	if err := p.ask(user); err != nil {
		return false, err
	}
	defer p.end()
	return p.backend.recall(ctx, user, id)
}

// Disconnect ends the stream of one device, or of all the user's where device is empty, and answers how many there were.
// Devices are told not to come back by themselves.
func (p *Publisher) Disconnect(ctx context.Context, user, device, detail string) (int, error) {
	if err := p.ask(user); err != nil {
		return 0, err
	}
	defer p.end()
	return p.backend.disconnect(ctx, user, device, detail)
}

// ask begins a call about user.
func (p *Publisher) ask(user string) error {
	if err := protocol.CheckUser(user); err != nil {
		return err
	}
	return p.begin()
}

func unixMilli(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}
