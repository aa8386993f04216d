package stream

import (
	"sync"

	"ramen/frontend/admission"
	"ramen/link"
	"ramen/protocol"
	"ramen/topology"
)

// Stream is one device's stream. A transport embeds it in its own, calls Init, Open and Start, and then tells it what its
// connection does by the methods whose names begin with On. It is the link's Receiver.
type Stream struct {
	// guarded by wheel.mu
	timerMS    int64 // a time that was asked for while it was in no slot; 0: none was
	pos        int32
	slot       int16 // -1: in no slot
	membership membership
	wheel      uint8 // which of the set's; immutable after Start

	// immutable after Init
	set        *Set
	out        FrameWriter
	names      string // of the user, and of the device behind it
	openedMS   uint32 // server clock, cut to 32 bits
	intervalMS int32  // of heartbeats; 0: none
	window     uint16 // as asked for; 0: the transport's most
	transport  protocol.Transport
	userLen    uint8 // of names

	mu sync.Mutex
	// guarded by mu
	buffered         int32 // bytes that the transport holds, less what OnWritten still has to report
	creditInFlight   int32 // credit of what is buffered
	creditToReturn   int32 // credit to return with the next
	pushes           uint32
	rttMS            uint16 // of the latest heartbeat that the gateway was told, 65 s at most; 0: of none
	opens            uint16 // generation of the latest open: calls of an earlier one are dropped
	state            state
	leaving          protocol.Reason  // ReasonNone: not asked to leave
	closedEarly      protocol.Reason  // the gateway ended it before hello
	lost             detachCause      // Lost came while an open was under way
	echoDue          bool             // a heartbeat was written and not answered
	heartbeatSkipped bool             // bytes were buffered when a heartbeat was due
	client           clientIndex      // immutable after Start; it stands where there was room
	permit           admission.Permit // none where the handler keeps it, which writes the end itself
	ring             *ring            // nil while all is acked
	backpressure     *backpressure    // nil while the connection takes everything
	reconnect        *reconnect       // nil while it has a gateway
	link             link.Stream      // nil but while live
	number           protocol.StreamNumber
	context          *protocol.DeviceContext
	acked            string // cursor
	sent             protocol.Seq
	wroteMS          int64 // when bytes last left
	heardMS          int64 // when the device last said something
	heartbeatMS      int64 // when the last heartbeat was written
	expiresMS        int64 // of the token; 0: never
	moveMS           int64 // when to ask it to leave, 0: never; once it is leaving, when it ends
}

var _ link.Receiver = (*Stream)(nil)

// membership of a stream in its wheel only moves forward.
type membership uint8

const (
	notOnWheel membership = iota // not yet
	onWheel                      // in a slot, or being called
	offWheel                     // for good
)

type state uint8

const (
	opening state = iota
	live
	detached
	closed
)

// detachCause says why a live stream lost its gateway.
type detachCause uint8

const (
	notDetached       detachCause = iota
	detachedByView                // a newer view has another owner, or none that can be reached
	lostByRebalance               // the gateway said that the shard moves
	lostByDrain                   // that it ends
	lostAsUnreachable             // that its lease has ended, or the link broke
	lostUnexplained               // nothing
	detachCauses
)

// causeOf is the cause of a loss that a gateway or a link told.
func causeOf(r protocol.Reason) detachCause {
	switch r {
	case protocol.ReasonRebalance:
		return lostByRebalance
	case protocol.ReasonDrain:
		return lostByDrain
	case protocol.ReasonUnavailable:
		return lostAsUnreachable
	}
	return lostUnexplained
}

// FrameWriter is how a transport writes frames. All calls are made under the stream's mutex; none blocks or calls back.
type FrameWriter interface {
	// WritePushes writes a batch, in one piece where the transport can. more says that further pushes follow at once.
	WritePushes(batch []protocol.Push, more bool) WriteResult
	WriteHeartbeat(unixMS int64) WriteResult
	WriteGoAway(g *protocol.GoAway) WriteResult
	// End closes the transport in order, behind what was written.
	End(reason protocol.Reason, detail string)
	// Abort closes it at once: the peer is gone or takes nothing.
	Abort(reason protocol.Reason, detail string)
}

// WriteResult is what became of one write: its bytes, and how many bytes the transport has buffered in all.
type WriteResult struct{ N, Buffered int }

// User is whose stream it is.
func (s *Stream) User() protocol.UserID { return protocol.UserID(s.names[:s.userLen]) }

// Device is that of the stream.
func (s *Stream) Device() protocol.DeviceID { return protocol.DeviceID(s.names[s.userLen:]) }

// NowMS is the server's clock.
func (s *Stream) NowMS() int64 { return s.set.clock.now() }

// PausedMS is how much of the time since fromMS this process did not run.
func (s *Stream) PausedMS(fromMS int64) int64 { return s.timers().pauses.since(fromMS) }

// UsePoller has the stream's timers served with a poller of package sock. It is called by Start's connect; without it they are served
// with those of all streams whose connections have no poller.
func (s *Stream) UsePoller(poller int) { s.wheel = uint8(1 + poller%(len(s.set.wheels)-1)) }

// timers is the wheel that s is on.
func (s *Stream) timers() *wheel { return s.set.wheels[s.wheel] }

// ackedLocked is the seq up to which all is acked.
func (s *Stream) ackedLocked() protocol.Seq { return s.sent - protocol.Seq(s.ring.len()) }

// shard is that of the user, with its streams.
func (s *Stream) shard() *shard {
	all := s.set.shards.of
	return &all[topology.ShardOf(s.User(), len(all))]
}

// currentLocked reports whether g is the latest generation. Nobody is 65,536 opens late.
func (s *Stream) currentLocked(g link.Generation) bool { return uint16(g) == s.opens }

// credit is what may be under way to this stream in all, in bytes.
func (s *Stream) credit() int {
	if s.transport == protocol.TransportPoll {
		return s.set.cfg.PollBytes
	}
	return s.set.cfg.Credit
}

// WriteReply has the transport write an answer of its own, such as a pong, unless the stream has ended or bytes are buffered,
// so that answers fill no memory. It counts for no heartbeat: devices need not see it.
func (s *Stream) WriteReply(write func() WriteResult) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state == closed || s.buffered > 0 {
		return
	}
	wrote := s.wroteMS
	s.wroteLocked(s.set.clock.now(), write(), 0)
	s.wroteMS = wrote
}

// Flush has the transport write what it has held back, if anything.
func (s *Stream) Flush(write func() (WriteResult, bool)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if w, wrote := write(); wrote {
		s.wroteLocked(s.set.clock.now(), w, 0)
	}
}

// UnlessClosed calls f under the stream's mutex, unless the stream has ended.
func (s *Stream) UnlessClosed(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state != closed {
		f()
	}
}
