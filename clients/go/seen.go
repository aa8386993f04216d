package ramen

import "ramen/protocol"

// seenSize is how many ids of processed messages are remembered: at least 1,000 (SPEC 2.6.3), and more than the widest
// window (1,024), all of which may come again.
const seenSize = 2048

// seen remembers the last seenSize ids. Owned by the handler's goroutine.
type seen struct {
	ids  map[protocol.MessageID]struct{}
	ring []protocol.MessageID
	at   int // where the oldest is, once the ring is full
}

func (s *seen) has(id protocol.MessageID) bool {
	_, ok := s.ids[id]
	return ok
}

func (s *seen) add(id protocol.MessageID) {
	if s.ids == nil {
		s.ids = make(map[protocol.MessageID]struct{})
	}
	if s.has(id) {
		return
	}
	s.ids[id] = struct{}{}
	if len(s.ring) < seenSize {
		s.ring = append(s.ring, id)
		return
	}
	delete(s.ids, s.ring[s.at])
	s.ring[s.at] = id
	s.at = (s.at + 1) % seenSize
}
