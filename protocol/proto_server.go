package protocol

import "google.golang.org/protobuf/encoding/protowire"

// The frames of the server in protobuf: the bytes of a ServerFrame. SPEC 7.

// The fields of ServerFrame's oneof.
const (
	serverHello     = 1
	serverPush      = 2
	serverHeartbeat = 3
	serverGoAway    = 4
)

// AppendProtoHello appends a ServerFrame with h.
func AppendProtoHello(b []byte, h *Hello) []byte {
	stream, cursor, resumed := validText(h.Stream), validText(h.Cursor), protowire.EncodeBool(h.Resumed)
	n := sizeVarintField(1, resumed) + sizeVarintField(2, uint64(h.HeartbeatMS)) + sizeVarintField(3, uint64(h.TimeoutMS)) +
		sizeVarintField(4, uint64(h.AckMS)) + sizeVarintField(5, uint64(h.TimeMS)) + sizeVarintField(6, uint64(h.Expired)) +
		sizeStringField(7, stream) + sizeVarintField(8, uint64(h.Seq)) + sizeStringField(9, cursor)
	b = appendLen(b, serverHello, n)
	b = appendVarintField(b, 1, resumed)
	b = appendVarintField(b, 2, uint64(h.HeartbeatMS))
	b = appendVarintField(b, 3, uint64(h.TimeoutMS))
	b = appendVarintField(b, 4, uint64(h.AckMS))
	b = appendVarintField(b, 5, uint64(h.TimeMS))
	b = appendVarintField(b, 6, uint64(h.Expired))
	b = appendStringField(b, 7, stream)
	b = appendVarintField(b, 8, uint64(h.Seq))
	return appendStringField(b, 9, cursor)
}

// AppendProtoHeartbeat appends a ServerFrame with a heartbeat.
func AppendProtoHeartbeat(b []byte, timeMS int64) []byte {
	b = appendLen(b, serverHeartbeat, sizeVarintField(1, uint64(timeMS)))
	return appendVarintField(b, 1, uint64(timeMS))
}

// AppendProtoGoAway appends a ServerFrame with g.
func AppendProtoGoAway(b []byte, g *GoAway) []byte {
	reason, detail := g.Reason.String(), validText(g.Detail)
	n := sizeStringField(1, reason) + sizeVarintField(2, uint64(g.ReconnectMS)) + sizeStringField(3, detail)
	b = appendLen(b, serverGoAway, n)
	b = appendStringField(b, 1, reason)
	b = appendVarintField(b, 2, uint64(g.ReconnectMS))
	return appendStringField(b, 3, detail)
}

// AppendProtoPush appends a ServerFrame with p. The payload is copied once, into b.
func AppendProtoPush(b []byte, p *Push) []byte {
	var t messageTexts
	t.read(p.Message)
	cursor, redelivered := validText(p.Cursor), protowire.EncodeBool(p.Redelivered)
	message := t.size(p.Message)
	n := sizeVarintField(1, uint64(p.Seq)) + sizeLen(2, message) + sizeStringField(3, cursor) + sizeVarintField(4, redelivered)
	b = appendLen(b, serverPush, n)
	b = appendVarintField(b, 1, uint64(p.Seq))
	b = appendLen(b, 2, message)
	b = t.append(b, p.Message)
	b = appendStringField(b, 3, cursor)
	return appendVarintField(b, 4, redelivered)
}

// messageTexts are the strings of a Message, as they are written.
type messageTexts struct {
	id                       MessageID
	typ, contentType, colKey string
	headers                  map[string]string
}

func (t *messageTexts) read(m *Message) {
	t.id, t.typ, t.contentType, t.colKey = validText(m.ID), validText(m.Type), validText(m.ContentType), validText(m.CollapseKey)
	t.headers = validTexts(m.Headers)
}

func (t *messageTexts) size(m *Message) int {
	return sizeStringField(1, t.id) + sizeStringField(2, t.typ) + sizeVarintField(3, uint64(m.Priority)) + sizeStringField(4, m.Payload) +
		sizeStringField(5, t.contentType) + sizeVarintField(6, uint64(m.CreatedMS)) + sizeVarintField(7, uint64(m.ExpiresMS)) +
		sizeStringField(8, t.colKey) + sizeMapField(9, t.headers)
}

func (t *messageTexts) append(b []byte, m *Message) []byte {
	b = appendStringField(b, 1, t.id)
	b = appendStringField(b, 2, t.typ)
	b = appendVarintField(b, 3, uint64(m.Priority))
	b = appendStringField(b, 4, m.Payload)
	b = appendStringField(b, 5, t.contentType)
	b = appendVarintField(b, 6, uint64(m.CreatedMS))
	b = appendVarintField(b, 7, uint64(m.ExpiresMS))
	b = appendStringField(b, 8, t.colKey)
	return appendMapField(b, 9, t.headers)
}
