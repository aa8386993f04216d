package frontend

import "net/http"

func (s *Server) upgrade(w http.ResponseWriter, r *http.Request) {}
