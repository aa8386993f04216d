package frontend

import "net/http"

// ack serves POST and GET /ramen/ack, with which devices on SSE ack. SPEC 5.
func (s *Server) ack(w http.ResponseWriter, r *http.Request) {
	if refused := s.Admission.Call(r.RemoteAddr); refused != nil {
		s.Refusals.WriteError(w, refused.Err)
		return
	}
	a, err := s.Requests.Ack(headFrom(r))
	if err == nil {
		err = s.router.Ack(r.Context(), a)
	}
	if err != nil {
		s.Refusals.WriteError(w, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}
