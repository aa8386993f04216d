package request

import (
	"ramen/frontend/origin"
	"ramen/frontend/stream"
	"ramen/protocol"
)

// Reader reads requests.
type Reader struct {
	Tokens stream.Verifier // nil: authentication is off
	Cookie string          // name of the cookie that may have the token; empty: none may
	Pages  *origin.Policy  // whose pages may send it; nil: nobody's
}

// Stream is a request for a stream over HTTP.
type Stream struct {
	stream.Request
	HeartbeatEvents bool // SSE: heartbeats that a page can see
	WaitS           int  // of a poll
}

// Head is what matters of the head of an HTTP request.
type Head struct {
	origin.Page
	Query         string // raw
	Authorization string
	LastEventID   string
	Cookies       string // all of them, "; " between two
}

// Stream reads what a device asks for over HTTP. SPEC 4.
func (r *Reader) Stream(h *Head) (Stream, error) {
	q, err := parseQuery(h.Query)
	if err != nil {
		return Stream{}, err
	}
	if h.LastEventID != "" { // a standard EventSource's, and wins
		if err := checkCursor("Last-Event-ID", h.LastEventID); err != nil {
			return Stream{}, err
		}
		q.cursor = h.LastEventID
	}
	who, err := r.identify(h, q.token, q.user, q.device)
	if err != nil {
		return Stream{}, err
	}
	return Stream{q.request(who), q.heartbeatEvents, q.waitS}, nil
}

// Frame reads what a device asks for with gRPC's open. SPEC 7.
func (r *Reader) Frame(authorization string, o *protocol.OpenFrame) (*stream.Request, error) {
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
	who, err := r.identify(&Head{Authorization: authorization}, o.Token, string(o.User), string(o.Device))
	if err != nil {
		return nil, err
	}
	q := query{
		cursor: o.Cursor, stream: o.Stream, hasSeq: o.HasSeq, seq: uint64(o.Seq),
		window: int(o.Window), heartbeatMS: int32(o.HeartbeatMS), context: o.Context,
	}
	f := q.request(who)
	return &f, nil
}

func (q *query) request(who identity) stream.Request {
	return stream.Request{
		User: who.user, Device: who.device, Expires: who.expires, Context: q.context,
		Cursor: q.cursor, HasSeq: q.hasSeq, Seq: protocol.Seq(q.seq), Name: q.stream,
		Window: q.window, HeartbeatMS: q.heartbeatMS,
	}
}
