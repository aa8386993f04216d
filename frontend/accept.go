package frontend

import (
	"net"
	"net/http"

	"ramen/frontend/accept"
	"ramen/frontend/auth"
	"ramen/frontend/ws"
	"ramen/protocol"
)

// newAcceptor makes the way from a plain listener to a stream.
func (s *Server) newAcceptor(l net.Listener) *accept.Acceptor {
	return accept.New(accept.Config{
		Paths: []string{eventsPath, socketPath}, HeadTimeout: s.cfg.ReadHeaderTimeout, MaxHeadBytes: s.cfg.MaxHeaderBytes,
		Loop: s.loop, Frontend: s, Context: s.ctx, Logger: s.log,
	}, l)
}

// Open implements accept.Frontend: it opens a stream of events or a WebSocket.
func (s *Server) Open(r *accept.Request) bool {
	h := &r.Head
	if s.strangeHost(h.Host) {
		return false
	}
	if h.Path == eventsPath {
		s.lookAtPage(h.Origin, h.Host, h.Path)
		permit, refused := s.Admission.AdmitFrom(r.Remote)
		defer permit.Close()
		if x, opened, ok := s.openEvents(s.ctx, r, h, refused); ok {
			s.takeEvents(x, r, h, opened, permit.Move())
		}
		return true
	}
	offer := ws.Offer(h.Upgrade)
	n, unusual := offer.Answer(s.cfg.WS)
	if unusual != nil || !s.origins.allowsSocketOf(h.Origin, h.Host) {
		return false
	}
	n.Early = []byte(r.Behind)
	permit, refused := s.Admission.AdmitFrom(r.Remote)
	defer permit.Close()
	if refused != nil && refused.Reason != protocol.ReasonResourceExhausted {
		s.Refusals.WriteError(r, refused.Err)
	} else {
		s.serveSocket(s.ctx, r, h, &n, &permit, refused)
	}
	return true
}

// ResponseHeader implements accept.Frontend.
func (s *Server) ResponseHeader(r *accept.RequestHead) http.Header {
	h := make(http.Header, 8)
	s.origins.answer(h, r.Origin)
	return h
}

// headOf is what matters of the head of a request of net/http's.
func headOf(r *http.Request) *accept.RequestHead {
	return &accept.RequestHead{
		Path: r.URL.Path, Query: r.URL.RawQuery, Host: r.Host, Origin: r.Header.Get("Origin"),
		Authorization: auth.Credential(r.Header["Authorization"]), LastEventID: r.Header.Get("Last-Event-ID"),
	}
}
