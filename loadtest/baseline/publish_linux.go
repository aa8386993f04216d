package baseline

import (
	"encoding/binary"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"ramen/protocol"
	"ramen/protocol/protowalk"
)

// mostTime is the default TTL of a RAMEN server, for expires_ms. Nothing expires here.
const mostTime = 30 * time.Minute

// The fields of PublishRequest and Publish that the baseline reads. SPEC 7.1.
const (
	requestMessages = 1
	publishUser     = 1
	publishID       = 3
	publishType     = 4
	publishPriority = 5
	publishPayload  = 6
)

// publishes handles the complete requests in b, and returns how many bytes they were.
func (s *server) publishes(c *conn, b []byte) (taken int) {
	for {
		rest := b[taken:]
		if len(rest) < 4 {
			return taken
		}
		n := int(binary.BigEndian.Uint32(rest))
		if n > mostKept {
			s.drop(c)
			return taken
		}
		if len(rest) < 4+n {
			return taken
		}
		taken += 4 + n
		if !s.publish(c, rest[4:4+n]) {
			s.drop(c)
			return taken
		}
	}
}

// publish pushes each message of a PublishRequest to its user, and writes a PublishResponse. False: the request is malformed.
func (s *server) publish(c *conn, b []byte) bool {
	var results []protocol.PublishResult
	w := protowalk.Of(b)
	for w.Next() {
		if w.Number != requestMessages || w.Type != protowire.BytesType {
			return false
		}
		one := w.Bytes
		name, id, ok := whose(one)
		if !ok {
			return false
		}
		results = append(results, protocol.PublishResult{ID: string(id), Status: protocol.PublishAccepted, Devices: 1})
		u := s.users[string(name)]
		if u == nil {
			u = new(user)
			s.users[string(name)] = u
		}
		u.n++
		u.last = append(u.last[:0], one...)
		if u.conn != nil {
			s.out = s.appendPush(s.out[:0], u.conn, one)
			s.write(u.conn, s.out)
		}
	}
	if w.Bad {
		return false
	}
	answer := protocol.AppendPublishResultsProto(make([]byte, 4, 4+48*len(results)), results)
	binary.BigEndian.PutUint32(answer, uint32(len(answer)-4))
	s.write(c, answer)
	return true
}

// whose returns the user and the id of a Publish.
func whose(b []byte) (user, id []byte, ok bool) {
	w := protowalk.Of(b)
	for w.Next() {
		switch w.Number {
		case publishUser:
			user = w.Bytes
		case publishID:
			id = w.Bytes
		}
	}
	return user, id, !w.Bad && len(user) > 0
}

// appendPush appends the push of a Publish in the encoding of c; the user's count of pushes is its seq.
func (s *server) appendPush(b []byte, c *conn, publish []byte) []byte {
	now := time.Now().UnixMilli()
	m := protocol.Message{ContentType: protocol.ContentTypeJSON, CreatedMS: now, ExpiresMS: now + mostTime.Milliseconds()}
	for w := protowalk.Of(publish); w.Next(); {
		switch w.Number {
		case publishID:
			m.ID = protocol.MessageID(w.Bytes)
		case publishType:
			m.Type = string(w.Bytes)
		case publishPriority:
			m.Priority = protocol.LanePriority(int(w.Varint) - 1)
		case publishPayload:
			m.Payload = w.Bytes
		}
	}
	p := protocol.Push{Seq: protocol.Seq(c.user.n), Cursor: cursorOf(c.user.n), Message: &m}
	switch c.state {
	case sse:
		s.body = protocol.AppendSSEPush(s.body[:0], &p)
		return appendChunk(b, s.body)
	case wsJSON:
		s.body = protocol.AppendJSONPush(s.body[:0], &p)
		return appendFrame(b, opText, s.body)
	}
	s.body = protocol.AppendProtoPush(s.body[:0], &p)
	return appendFrame(b, opBinary, s.body)
}
