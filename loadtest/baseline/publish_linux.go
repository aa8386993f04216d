package baseline

import (
	"encoding/binary"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"ramen/protocol"
)

// mostTime is the default TTL of a RAMEN server, for expires_ms. Nothing expires here.
const mostTime = 30 * time.Minute

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
	for len(b) > 0 {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 || number != 1 || kind != protowire.BytesType {
			return false
		}
		one, size := protowire.ConsumeBytes(b[n:])
		if size < 0 {
			return false
		}
		b = b[n+size:]
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
	answer := protocol.AppendPublishResultsProto(make([]byte, 4, 4+48*len(results)), results)
	binary.BigEndian.PutUint32(answer, uint32(len(answer)-4))
	s.write(c, answer)
	return true
}

// whose returns the user and the id of a Publish.
func whose(b []byte) (user, id []byte, ok bool) {
	ok = fields(b, func(number protowire.Number, _ uint64, text []byte) {
		switch number {
		case 1:
			user = text
		case 3:
			id = text
		}
	})
	return user, id, ok && len(user) > 0
}

// appendPush appends the push of a Publish in the encoding of c; the user's count of pushes is its seq.
func (s *server) appendPush(b []byte, c *conn, publish []byte) []byte {
	now := time.Now().UnixMilli()
	m := protocol.Message{ContentType: protocol.ContentTypeJSON, CreatedMS: now, ExpiresMS: now + mostTime.Milliseconds()}
	fields(publish, func(number protowire.Number, v uint64, text []byte) {
		switch number {
		case 3:
			m.ID = protocol.MessageID(text)
		case 4:
			m.Type = string(text)
		case 5:
			m.Priority = protocol.LanePriority(int(v) - 1)
		case 6:
			m.Payload = text
		}
	})
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

// fields walks over a message's fields. False: it is malformed.
func fields(b []byte, each func(number protowire.Number, v uint64, text []byte)) bool {
	for len(b) > 0 {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return false
		}
		size := protowire.ConsumeFieldValue(number, kind, b[n:])
		if size < 0 {
			return false
		}
		switch kind {
		case protowire.VarintType:
			v, _ := protowire.ConsumeVarint(b[n:])
			each(number, v, nil)
		case protowire.BytesType:
			text, _ := protowire.ConsumeBytes(b[n:])
			each(number, 0, text)
		}
		b = b[n+size:]
	}
	return true
}
