package frontend

import (
	"ramen/frontend/accept"
	"ramen/frontend/stream"
	"ramen/protocol"
)

// request is what a device asks for, checked.
type request struct {
	stream.Request
	heartbeatEvents bool // SSE: heartbeats that a page can see
	wait            int  // of a poll, s
}

func (q *query) request(who identity) *request {
	return &request{stream.Request{
		User: who.user, Device: who.device, Expires: who.expires, Context: q.context,
		Cursor: q.cursor, HasSeq: q.hasSeq, Seq: protocol.Seq(q.seq), Name: q.stream,
		Window: q.window, HeartbeatMS: q.heartbeatMS,
	}, q.beatEvent, q.wait}
}

// newRequest checks what a device asks for over HTTP. SPEC 4.
func (s *Server) newRequest(h *accept.RequestHead) (*request, error) {
	q, err := parseQuery(h.Query)
	if err != nil {
		return nil, err
	}
	if h.LastEventID != "" { // a standard EventSource's, and wins
		if err := checkCursor("Last-Event-ID", h.LastEventID); err != nil {
			return nil, err
		}
		q.cursor = h.LastEventID
	}
	who, err := s.identify(h.Authorization, q.token, q.user, q.device)
	if err != nil {
		return nil, err
	}
	return q.request(who), nil
}

// newFrameRequest reads what a device asks for with gRPC's open. SPEC 7.
func (s *Server) newFrameRequest(authorization string, o *protocol.OpenFrame) (*request, error) {
	q := query{
		cursor: o.Cursor, stream: o.Stream, hasSeq: o.HasSeq, seq: uint64(o.Seq),
		window: int(o.Window), heartbeatMS: int32(o.HeartbeatMS), context: o.Context,
	}
	if err := checkCursor("open.cursor", o.Cursor); err != nil {
		return nil, err
	}
	if err := checkStream("open.stream", o.Stream); err != nil {
		return nil, err
	}
	if o.HeartbeatMS != 0 {
		if err := checkHeartbeat("open.heartbeat_ms", o.HeartbeatMS); err != nil {
			return nil, err
		}
	}
	if err := protocol.CheckContext(o.Context); err != nil {
		return nil, err
	}
	who, err := s.identify(authorization, o.Token, string(o.User), string(o.Device))
	if err != nil {
		return nil, err
	}
	return q.request(who), nil
}
