package backend

import (
	"net/http"

	"ramen/frontend/httpconn"
	"ramen/protocol"
)

// servePublish is POST /v1/publish.
func (s *Server) servePublish(w http.ResponseWriter, r *http.Request, _, _ string) *protocol.Error {
	body, err := s.readBody(w, r)
	if err != nil {
		return err
	}
	held := int64(body.Len())
	defer s.give(held)
	b, alone, err := s.prepareJSON(body.Bytes())
	s.release(body)
	if err != nil {
		return err
	}
	s.publish(r.Context(), sideHTTP, b)
	if alone && b.results[0].Err != nil {
		return b.results[0].Err
	}
	out := s.buffer()
	defer s.release(out)
	answer := protocol.AppendPublishResults(out.AvailableBuffer(), b.results)
	httpconn.WriteJSON(w, http.StatusOK, answer)
	out.Write(answer) // keeps the room, if it grew
	return nil
}

// prepareJSON decodes and checks a body; alone says that it is one message for one user, whose error is the request's.
func (s *Server) prepareJSON(body []byte) (b *batch, alone bool, _ *protocol.Error) {
	room := s.borrow()
	messages, batched, err := protocol.DecodePublishJSON((*room)[:0], body, &s.cfg.Publish)
	if err != nil {
		return nil, false, asError(err)
	}
	alone = !batched && (len(messages[0].Users) == 0 || messages[0].Both())
	b = s.prepare(messages)
	s.back(room, messages)
	return b, alone, nil
}

// serveDevices is GET /v1/users/{user}/devices.
func (s *Server) serveDevices(w http.ResponseWriter, r *http.Request, user, _ string) *protocol.Error {
	devices, err := s.devices(r.Context(), user)
	if err != nil {
		return err
	}
	bytes := devicesBytes(devices)
	release, err := s.holdList(bytes, protocol.CodeUnavailable)
	if err != nil {
		return err
	}
	defer release()
	s.withDeadline(w, bytes, func() { httpconn.WriteJSON(w, http.StatusOK, appendDevices(nil, devices)) })
	return nil
}

// serveMessages is GET /v1/users/{user}/messages. It writes as it goes: a mailbox may be far larger than a buffer.
func (s *Server) serveMessages(w http.ResponseWriter, r *http.Request, user, _ string) *protocol.Error {
	messages, err := s.messages(r.Context(), user)
	if err != nil {
		return err
	}
	bytes := messagesBytes(messages)
	release, err := s.holdList(bytes, protocol.CodeUnavailable)
	if err != nil {
		return err
	}
	defer release()
	s.withDeadline(w, bytes, func() { s.writeMessages(w, messages) })
	return nil
}

func (s *Server) writeMessages(w http.ResponseWriter, messages []*protocol.Message) {
	httpconn.JSONHeader(w.Header())
	b := append(make([]byte, 0, listPiece), `{"messages":[`...)
	for rest := messages; len(rest) > 0; b = b[:0] {
		s.encode(func() {
			for ; len(rest) > 0 && len(b) < listPiece; rest = rest[1:] {
				if len(rest) < len(messages) {
					b = append(b, ',')
				}
				b = appendMessage(b, rest[0])
			}
		})
		if _, err := w.Write(b); err != nil {
			return // the client has gone away, or does not read
		}
	}
	w.Write(append(b, "]}\n"...))
}

// serveRecall is DELETE /v1/users/{user}/messages/{id}.
func (s *Server) serveRecall(w http.ResponseWriter, r *http.Request, user, id string) *protocol.Error {
	recalled, err := s.recall(r.Context(), user, id)
	if err == nil && !recalled {
		err = protocol.Errorf(protocol.CodeNotFound, "no message with this id waits for the user: it was never published, or was acked, expired, collapsed or recalled")
	}
	if err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// serveDisconnect is POST /v1/users/{user}/disconnect.
func (s *Server) serveDisconnect(w http.ResponseWriter, r *http.Request, user, _ string) *protocol.Error {
	body, err := s.readBody(w, r)
	if err != nil {
		return err
	}
	defer s.give(int64(body.Len()))
	device, detail, bad := protocol.DecodeDisconnectJSON(body.Bytes())
	s.release(body)
	if bad != nil {
		return asError(bad)
	}
	n, err := s.disconnect(r.Context(), user, device, detail)
	if err != nil {
		return err
	}
	httpconn.WriteJSON(w, http.StatusOK, appendStreams(nil, n))
	return nil
}
