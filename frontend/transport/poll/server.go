package poll

import (
	"net/http"
	"time"

	"ramen/frontend/admission"
	"ramen/frontend/request"
	"ramen/frontend/stream"
	"ramen/frontend/transport"
	"ramen/protocol"
)

// pendingTime is how long what a gateway said is pending may take at most: it may be on another machine, or have been lost.
const pendingTime = time.Second

// Server serves GET /ramen/poll.
type Server struct {
	*transport.Services
	mostBytes int // of an answer
}

// New makes a Server. mostBytes is how many bytes of pushes an answer may have: stream.Config.PollBytes.
func New(s *transport.Services, mostBytes int) *Server { return &Server{s, mostBytes} }

// Serve answers a poll.
func (s *Server) Serve(w http.ResponseWriter, r *http.Request, h *request.Head) {
	permit, refused := s.Admission.Admit(r.RemoteAddr)
	defer permit.Close() // once the answer is written
	if refused != nil {
		s.Refusals.WriteError(w, refused.Err)
		return
	}
	q, err := s.Requests.Stream(h)
	if err != nil {
		s.Refusals.WriteError(w, err)
		return
	}
	p := newStream(s.mostBytes)
	p.stream.Init(s.Streams, &q.Request, protocol.TransportPoll, p)
	opened, err := p.stream.Open(r.Context(), &q.Request)
	if err != nil {
		s.Refusals.WriteError(w, err)
		return
	}
	p.stream.Start(opened, admission.Permit{}, func(h *protocol.Hello) (stream.WriteResult, error) {
		p.answer = protocol.PollAnswer{Resumed: h.Resumed, Stream: h.Stream, Expired: h.Expired, Cursor: opened.Cursor}
		return stream.WriteResult{}, nil
	})
	wait := time.Duration(q.WaitS) * time.Second
	if opened.Pending {
		wait = max(wait, pendingTime)
	}
	if !p.wait(r.Context(), wait) {
		p.stream.OnGone()
		return
	}
	p.stream.Finish(protocol.ReasonNone, "")
	p.write(w)
}
