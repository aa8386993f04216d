package protocol

import "bytes"

// DecodeProtoServerFrame reads the bytes of a ServerFrame into f, which keeps no part of b. No bytes, or only fields
// that it does not know, are ServerNone. The error is a *FrameError.
func DecodeProtoServerFrame(b []byte, f *ServerFrame) error {
	*f = ServerFrame{}
	return protoFields("a server's frame", b, func(field protoField) error {
		switch field.number {
		case serverHello:
			f.become(ServerHello)
			return field.message("hello", f.Hello.readProto)
		case serverPush:
			f.become(ServerPush)
			if f.Push.Message == nil {
				f.Push.Message = new(Message)
			}
			return field.message("push", f.Push.readProto)
		case serverHeartbeat:
			f.become(ServerHeartbeat)
			return field.message("heartbeat", f.readHeartbeat)
		case serverGoAway:
			f.become(ServerGoAway)
			return field.message("goaway", f.GoAway.readProto)
		}
		return nil
	})
}

// become drops what f held of another kind: of a oneof's members the last one counts.
func (f *ServerFrame) become(kind ServerFrameKind) {
	if f.Kind != kind {
		*f = ServerFrame{Kind: kind}
	}
}

func (f *ServerFrame) readHeartbeat(field protoField) error {
	if field.number == 1 {
		return field.int64(&f.TimeMS)
	}
	return nil
}

func (h *Hello) readProto(field protoField) error {
	switch field.number {
	case 1:
		return field.bool(&h.Resumed)
	case 2:
		return field.uint32(&h.HeartbeatMS)
	case 3:
		return field.uint32(&h.TimeoutMS)
	case 4:
		return field.uint32(&h.AckMS)
	case 5:
		return field.int64(&h.TimeMS)
	case 6:
		return field.uint32(&h.Expired)
	case 7:
		return field.string(&h.Stream)
	case 8:
		return field.uint((*uint64)(&h.Seq))
	case 9:
		return field.string(&h.Cursor)
	}
	return nil
}

func (g *GoAway) readProto(field protoField) error {
	switch field.number {
	case 1:
		var word string
		err := field.string(&word)
		g.Reason, _ = ParseReason(word)
		return err
	case 2:
		return field.uint32(&g.ReconnectMS)
	case 3:
		return field.string(&g.Detail)
	}
	return nil
}

func (p *Push) readProto(field protoField) error {
	switch field.number {
	case 1:
		return field.uint((*uint64)(&p.Seq))
	case 2:
		return field.message("message", p.Message.readProto)
	case 3:
		return field.string(&p.Cursor)
	case 4:
		return field.bool(&p.Redelivered)
	}
	return nil
}

func (m *Message) readProto(field protoField) error {
	switch field.number {
	case 1:
		return field.string((*string)(&m.ID))
	case 2:
		return field.string(&m.Type)
	case 3:
		var number uint32
		err := field.uint32(&number)
		if m.Priority = PriorityUnspecified; number <= uint32(PriorityLow) {
			m.Priority = Priority(number)
		}
		return err
	case 4:
		var payload []byte
		err := field.bytes(&payload)
		m.Payload = bytes.Clone(payload)
		return err
	case 5:
		return field.string(&m.ContentType)
	case 6:
		return field.int64(&m.CreatedMS)
	case 7:
		return field.int64(&m.ExpiresMS)
	case 8:
		return field.string(&m.CollapseKey)
	case 9:
		return field.entry(&m.Headers)
	}
	return nil
}
