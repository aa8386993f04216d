package frontend

import (
	"net"
	"net/http"
	"strings"
	"sync"

	"ramen/frontend/accept"
	"ramen/frontend/auth"
	"ramen/frontend/origin"
	"ramen/frontend/request"
	"ramen/frontend/transport/ws"
	frames "ramen/frontend/ws"
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
	if s.untrustedHost(h.Host) {
		return false
	}
	head := heads.Get().(*request.Head)
	*head = headOf(h)
	defer func() {
		*head = request.Head{} // it holds the whole request
		heads.Put(head)
	}()
	if h.Path == eventsPath {
		s.countUnreadable(h.Origin, h.Host, h.Path)
		s.events.ServeRaw(s.ctx, r, r, head, r.Remote)
		return true
	}
	return s.sockets.ServeRaw(s.ctx, r, r, &ws.Raw{Head: head, Offer: frames.Offer(h.Upgrade), Behind: r.Behind, Remote: r.Remote})
}

// heads are pooled: a connect that leaves less behind leaves fewer holes among what stays.
var heads = sync.Pool{New: func() any { return new(request.Head) }}

// ResponseHeader implements accept.Frontend.
func (s *Server) ResponseHeader(r *accept.RequestHead) http.Header {
	h := make(http.Header, 8)
	s.origins.Answer(h, r.Origin)
	return h
}

// headOf is what streams are told of the head of a raw request.
func headOf(h *accept.RequestHead) request.Head {
	return request.Head{
		Page:  origin.Page{Origin: h.Origin, Host: h.Host, FetchSite: h.FetchSite},
		Query: h.Query, Authorization: h.Authorization, LastEventID: h.LastEventID, Cookies: h.Cookies,
	}
}

// headFrom is what matters of the head of a request of net/http's.
func headFrom(r *http.Request) *request.Head {
	return &request.Head{
		Page:  origin.Page{Origin: r.Header.Get("Origin"), Host: r.Host, FetchSite: strings.Join(r.Header["Sec-Fetch-Site"], ","), TLS: r.TLS != nil},
		Query: r.URL.RawQuery, Authorization: auth.Credential(r.Header["Authorization"]),
		LastEventID: r.Header.Get("Last-Event-ID"), Cookies: strings.Join(r.Header["Cookie"], "; "),
	}
}
