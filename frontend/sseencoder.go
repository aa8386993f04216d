package frontend

import (
	"ramen/frontend/transport"
	"ramen/protocol"
)

// sseEncoder writes events. SPEC 5.
type sseEncoder struct{ heartbeat string }

var (
	sseLF    = sseEncoder{protocol.SSEHeartbeat}
	sseEvent = sseEncoder{protocol.SSEHeartbeatEvent} // heartbeats that a page can see

	chunkedLF    = newChunked(sseLF)
	chunkedEvent = newChunked(sseEvent)
)

// sseEncoderOf is how events are written: in chunks or as they are, with heartbeats as events or not.
func sseEncoderOf(chunked, heartbeatEvents bool) transport.Encoder {
	switch {
	case chunked && heartbeatEvents:
		return chunkedEvent
	case chunked:
		return chunkedLF
	case heartbeatEvents:
		return sseEvent
	}
	return sseLF
}

// retry: is drawn for each stream, so that devices cut together do not come back together. ms, SPEC 5.
const (
	retryLeast, retryMost = 500, 2000
)

func (sseEncoder) AppendHello(b []byte, h *protocol.Hello) []byte {
	return protocol.AppendSSEHello(b, h, transport.Draw(retryLeast, retryMost))
}

func (sseEncoder) AppendPush(b []byte, p *protocol.Push) []byte { return protocol.AppendSSEPush(b, p) }

func (e sseEncoder) AppendHeartbeat(b []byte, _ int64) []byte { return append(b, e.heartbeat...) }

func (sseEncoder) AppendGoAway(b []byte, g *protocol.GoAway) []byte {
	retry := 0
	if g.ReconnectMS > 0 {
		retry = transport.Draw(1, int(g.ReconnectMS))
	}
	return protocol.AppendSSEGoAway(b, g, retry)
}

func (sseEncoder) AppendEnd(b []byte, _ protocol.Reason, _ string) []byte { return b }
