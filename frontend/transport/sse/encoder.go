package sse

import (
	"ramen/frontend/transport"
	"ramen/protocol"
)

// encoder writes events. SPEC 5.
type encoder struct{ heartbeat string }

var (
	lineEncoder  = encoder{protocol.SSEHeartbeat}
	eventEncoder = encoder{protocol.SSEHeartbeatEvent} // heartbeats that a page can see

	chunkedLF    = newChunked(lineEncoder)
	chunkedEvent = newChunked(eventEncoder)
)

// encoderOf is how events are written: in chunks or as they are, with heartbeats as events or not.
func encoderOf(chunked, heartbeatEvents bool) transport.Encoder {
	switch {
	case chunked && heartbeatEvents:
		return chunkedEvent
	case chunked:
		return chunkedLF
	case heartbeatEvents:
		return eventEncoder
	}
	return lineEncoder
}

// retry: is drawn for each stream, so that devices cut together do not come back together. ms, SPEC 5.
const (
	retryLeast, retryMost = 500, 2000
)

func (encoder) AppendHello(b []byte, h *protocol.Hello) []byte {
	return protocol.AppendSSEHello(b, h, transport.Draw(retryLeast, retryMost))
}

func (encoder) AppendPush(b []byte, p *protocol.Push) []byte { return protocol.AppendSSEPush(b, p) }

func (e encoder) AppendHeartbeat(b []byte, _ int64) []byte { return append(b, e.heartbeat...) }

func (encoder) AppendGoAway(b []byte, g *protocol.GoAway) []byte {
	retry := 0
	if g.ReconnectMS > 0 {
		retry = transport.Draw(1, int(g.ReconnectMS))
	}
	return protocol.AppendSSEGoAway(b, g, retry)
}

func (encoder) AppendEnd(b []byte, _ protocol.Reason, _ string) []byte { return b }
