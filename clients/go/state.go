package ramen

import (
	"errors"
	"sync/atomic"
	"time"

	"ramen/protocol"
)

// Why Run ended by the server's wish. They are wrapped with the server's own words.
var (
	ErrSuperseded       = errors.New("ramen: a newer stream of this device was opened elsewhere")
	ErrDisconnected     = errors.New("ramen: the device was disconnected by a backend")
	ErrUnauthenticated  = errors.New("ramen: the server does not accept the credentials")
	ErrPermissionDenied = errors.New("ramen: the credentials are for another user or device")
	ErrInvalid          = errors.New("ramen: the server does not accept the device's parameters")
	ErrRunning          = errors.New("ramen: the device is running already")
)

// State is where a device is.
type State uint8

// The states. A device may be online and opening its next stream at once: then it is online.
const (
	StateStopped    State = iota // Run is not called, or has ended
	StateConnecting              // a stream is being opened
	StateOnline                  // the server has said hello
	StateWaiting                 // until the next attempt
	StateOffline                 // the app has said that there is no network: see SetNetwork
)

var stateNames = [...]string{"stopped", "connecting", "online", "waiting", "offline"}

func (s State) String() string { return stateNames[s] }

// StateChange is what OnState is told.
type StateChange struct {
	State     State
	Transport Transport     // of the stream; empty while stopped
	Delay     time.Duration // waiting: until the next attempt
	Err       error         // waiting and stopped: why; may be nil
}

// Stats are counters since New, and where the device is now.
type Stats struct {
	State     State
	Transport Transport
	Cursor    string

	Attempts      uint64 // openings tried
	Streams       uint64 // hellos
	Resumed       uint64 // hellos with resumed
	Expired       uint64 // messages that expired unseen, as the hellos said
	Pushes        uint64 // pushes read
	Redelivered   uint64 // of these, marked so
	Duplicates    uint64 // of these, dropped as processed before
	Handled       uint64 // processed by the handler
	HandlerErrors uint64
	Acks          uint64 // acks sent
	Heartbeats    uint64 // heartbeats seen: none over SSE, where they are mere bytes
	GoAways       uint64
	Silent        uint64 // streams taken for dead for their silence
	Gaps          uint64 // streams left because a push was missing in between
	Fallbacks     uint64 // changes to a less preferred transport
}

type counters struct {
	attempts, streams, resumed, expired, pushes, redelivered, duplicates, handled, handlerErrors,
	acks, heartbeats, goaways, silent, gaps, fallbacks atomic.Uint64
}

// Stats is a snapshot.
func (d *Device) Stats() Stats {
	c := &d.count
	d.mu.Lock()
	defer d.mu.Unlock()
	return Stats{
		State: d.state.State, Transport: d.state.Transport, Cursor: d.cursor,
		Attempts: c.attempts.Load(), Streams: c.streams.Load(), Resumed: c.resumed.Load(), Expired: c.expired.Load(),
		Pushes: c.pushes.Load(), Redelivered: c.redelivered.Load(), Duplicates: c.duplicates.Load(),
		Handled: c.handled.Load(), HandlerErrors: c.handlerErrors.Load(), Acks: c.acks.Load(),
		Heartbeats: c.heartbeats.Load(), GoAways: c.goaways.Load(), Silent: c.silent.Load(), Gaps: c.gaps.Load(),
		Fallbacks: c.fallbacks.Load(),
	}
}

// finalErrors are the reasons that no reconnecting mends by itself.
var finalErrors = map[protocol.Reason]error{
	protocol.ReasonSuperseded:       ErrSuperseded,
	protocol.ReasonDisconnected:     ErrDisconnected,
	protocol.ReasonUnauthenticated:  ErrUnauthenticated,
	protocol.ReasonPermissionDenied: ErrPermissionDenied,
	protocol.ReasonInvalidArgument:  ErrInvalid,
}
