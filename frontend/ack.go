package frontend

import (
	"net/http"
	"strings"

	"ramen/frontend/auth"
	"ramen/link"
	"ramen/protocol"
)

// ack serves POST and GET /ramen/ack, with which devices on SSE ack. SPEC 5.
func (s *Server) ack(w http.ResponseWriter, r *http.Request) {
	if refused := s.admission.Call(r.RemoteAddr); refused != nil {
		s.fail(w, refused.Err)
		return
	}
	a, err := s.newAck(r)
	if err == nil {
		err = s.router.Ack(r.Context(), a)
	}
	if err != nil {
		s.fail(w, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (s *Server) newAck(r *http.Request) (link.Ack, error) {
	q, err := parseQuery(r.URL.RawQuery)
	if err != nil {
		return link.Ack{}, err
	}
	who, err := s.identify(auth.Credential(r.Header["Authorization"]), q.token, q.user, q.device)
	if err != nil {
		return link.Ack{}, err
	}
	a := link.Ack{User: who.user, Device: who.device}
	switch {
	case q.cursor != "": // counts where both are given. SPEC 2.4
		a.Cursor = strings.Clone(q.cursor)
	case q.hasSeq && q.stream == "":
		return a, protocol.Invalidf("seq needs the stream that it was counted on: give the stream of hello, or a cursor")
	case q.hasSeq:
		a.Seq, a.Name = protocol.Seq(q.seq), strings.Clone(q.stream)
	default:
		return a, protocol.Invalidf("there is nothing to ack: give cursor, or seq and stream")
	}
	return a, nil
}
