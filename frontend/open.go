package frontend

import (
	"context"
	"strings"

	"ramen/link"
	"ramen/protocol"
)

// request is a checked wish for a stream.
type request struct {
	query
	who identity
}

// newRequest checks what a device asks for over HTTP. SPEC 4.
func (s *Server) newRequest(w *wish) (*request, error) {
	q, err := parseQuery(w.query)
	if err != nil {
		return nil, err
	}
	if w.lastEvent != "" { // a standard EventSource's, and wins
		if err := checkCursor("Last-Event-ID", w.lastEvent); err != nil {
			return nil, err
		}
		q.cursor = w.lastEvent
	}
	who, err := s.identify(w.authorization, q.token, q.user, q.device)
	if err != nil {
		return nil, err
	}
	return &request{q, who}, nil
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
	return &request{q, who}, nil
}

// init makes s what r asks for. What a stream keeps for its life is copied: r's strings share the memory of a whole request.
func (s *stream) init(srv *Server, r *request, t protocol.Transport, out outlet) {
	s.srv, s.out = srv, out
	s.transport = t
	s.openedMS = srv.clock.now()
	if t != protocol.TransportPoll {
		if s.intervalMS = r.heartbeatMS; s.intervalMS == 0 {
			s.intervalMS = int32(srv.cfg.Heartbeat.Milliseconds())
		}
	}
	if most, _ := t.Window(); r.window > 0 && r.window < most {
		s.window = uint16(r.window)
	}
	if !r.who.expires.IsZero() {
		s.expiresMS = srv.clock.at(r.who.expires)
	}
	user, device := string(r.who.user), string(r.who.device)
	s.context = r.context
	both := len(user) + len(device)
	if c := s.context; c != nil {
		s.names = compact(&user, &device, &c.App, &c.AppVersion, &c.OS, &c.OSVersion, &c.Model, &c.Locale)[:both]
		compactLabels(c)
	} else {
		s.names = compact(&user, &device)
	}
	s.userLen = uint8(len(user)) // at most 128. SPEC 1
}

// compact copies strings into one piece of memory, one behind the other.
func compact(all ...*string) string {
	var b strings.Builder
	n := 0
	for _, s := range all {
		n += len(*s)
	}
	b.Grow(n)
	for _, s := range all {
		b.WriteString(*s)
	}
	rest := b.String()
	for _, s := range all {
		*s, rest = rest[:len(*s)], rest[len(*s):]
	}
	return b.String()
}

func compactLabels(c *protocol.DeviceContext) {
	if c.Labels == nil {
		return
	}
	labels := make(map[string]string, len(c.Labels))
	for k, v := range c.Labels {
		compact(&k, &v)
		labels[k] = v
	}
	c.Labels = labels
}

// ask opens s at the owner of its user.
func (s *stream) ask(ctx context.Context, r *request) (link.Stream, link.Opened, error) {
	ctx, cancel := context.WithTimeout(ctx, s.srv.cfg.OpenTimeout)
	defer cancel()
	return s.srv.router.Open(ctx, link.Open{
		User: s.user(), Device: s.device(), Transport: s.transport, Context: s.context,
		Cursor: strings.Clone(r.cursor), HasSeq: r.hasSeq, Seq: protocol.Seq(r.seq), Name: strings.Clone(r.stream),
		Window: int(s.window),
	}, s)
}
