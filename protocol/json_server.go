package protocol

import (
	"encoding/base64"
	"strconv"
)

// The JSON of what the server says: the objects of SPEC 5.1 to 5.6, and the text frames of SPEC 6.2 around them.

// AppendJSONHello appends the text frame {"hello":{…}}, with the cursor in it.
func AppendJSONHello(b []byte, h *Hello) []byte {
	b = append(b, `{"hello":`...)
	return append(appendHelloObject(b, h, true), '}')
}

// AppendJSONPush appends the text frame {"push":{…}}, with the cursor in it.
func AppendJSONPush(b []byte, p *Push) []byte {
	b = append(b, `{"push":`...)
	return append(AppendJSONPushObject(b, p, true), '}')
}

// AppendJSONGoAway appends the text frame {"goaway":{…}}.
func AppendJSONGoAway(b []byte, g *GoAway) []byte {
	b = append(b, `{"goaway":`...)
	return append(appendGoAwayObject(b, g), '}')
}

// AppendErrorJSON appends {"error":{"code":…,"message":…}}, the body of every HTTP error. SPEC 4.4.1.
func AppendErrorJSON(b []byte, e *Error) []byte {
	b = append(b, `{"error":{"code":`...)
	b = appendJSONString(b, string(e.Code))
	b = append(b, `,"message":`...)
	b = appendJSONString(b, e.Message)
	return append(b, `}}`...)
}

// AppendPollAnswer appends the body of a long-poll's answer. SPEC 5.6.2.
func AppendPollAnswer(b []byte, a *PollAnswer) []byte {
	b = append(b, `{"resumed":`...)
	b = strconv.AppendBool(b, a.Resumed)
	b = append(b, `,"stream":`...)
	b = appendJSONString(b, a.Stream)
	b = append(b, `,"expired":`...)
	b = strconv.AppendUint(b, uint64(a.Expired), 10)
	b = append(b, `,"cursor":`...)
	b = appendJSONString(b, a.Cursor)
	b = append(b, `,"messages":[`...)
	for i := range a.Messages {
		if i > 0 {
			b = append(b, ',')
		}
		b = AppendJSONPushObject(b, &a.Messages[i], false)
	}
	b = append(b, ']')
	if a.GoAway != nil {
		b = append(b, `,"goaway":`...)
		b = appendGoAwayObject(b, a.GoAway)
	}
	return append(b, '}')
}

// appendHelloObject appends hello's object; withCursor puts its cursor in it, as on a WebSocket.
func appendHelloObject(b []byte, h *Hello, withCursor bool) []byte {
	b = append(b, `{"resumed":`...)
	b = strconv.AppendBool(b, h.Resumed)
	b = append(b, `,"stream":`...)
	b = appendJSONString(b, h.Stream)
	b = append(b, `,"seq":`...)
	b = strconv.AppendUint(b, uint64(h.Seq), 10)
	b = append(b, `,"heartbeat_ms":`...)
	b = strconv.AppendUint(b, uint64(h.HeartbeatMS), 10)
	b = append(b, `,"timeout_ms":`...)
	b = strconv.AppendUint(b, uint64(h.TimeoutMS), 10)
	b = append(b, `,"ack_ms":`...)
	b = strconv.AppendUint(b, uint64(h.AckMS), 10)
	b = append(b, `,"time_ms":`...)
	b = strconv.AppendInt(b, h.TimeMS, 10)
	b = append(b, `,"expired":`...)
	b = strconv.AppendUint(b, uint64(h.Expired), 10)
	if withCursor && h.Cursor != "" {
		b = append(b, `,"cursor":`...)
		b = appendJSONString(b, h.Cursor)
	}
	return append(b, '}')
}

func appendGoAwayObject(b []byte, g *GoAway) []byte {
	b = append(b, `{"reason":`...)
	b = appendJSONString(b, g.Reason.String())
	if g.ReconnectMS != 0 {
		b = append(b, `,"reconnect_ms":`...)
		b = strconv.AppendUint(b, uint64(g.ReconnectMS), 10)
	}
	if g.Detail != "" {
		b = append(b, `,"detail":`...)
		b = appendJSONString(b, g.Detail)
	}
	return append(b, '}')
}

// AppendJSONPushObject appends the push object of SPEC 5.2; withCursor puts its cursor in it, as on a WebSocket.
func AppendJSONPushObject(b []byte, p *Push, withCursor bool) []byte {
	m := p.Message
	b = append(b, `{"seq":`...)
	b = strconv.AppendUint(b, uint64(p.Seq), 10)
	b = append(b, `,"id":`...)
	b = appendJSONString(b, string(m.ID))
	b = append(b, `,"type":`...)
	b = appendJSONString(b, m.Type)
	b = append(b, `,"priority":"`...)
	b = append(b, m.Priority.String()...)
	b = append(b, `","created_ms":`...)
	b = strconv.AppendInt(b, m.CreatedMS, 10)
	b = append(b, `,"expires_ms":`...)
	b = strconv.AppendInt(b, m.ExpiresMS, 10)
	if m.CollapseKey != "" {
		b = append(b, `,"collapse_key":`...)
		b = appendJSONString(b, m.CollapseKey)
	}
	if len(m.Headers) != 0 {
		b = append(b, `,"headers":`...)
		b = appendJSONMap(b, m.Headers)
	}
	if p.Redelivered {
		b = append(b, `,"redelivered":true`...)
	}
	b = AppendJSONPayload(b, m)
	if withCursor {
		b = append(b, `,"cursor":`...)
		b = appendJSONString(b, p.Cursor)
	}
	return append(b, '}')
}

// AppendJSONPayload appends the members that carry m's payload, each after a comma: payload where the content type is
// application/json, else content_type and payload_b64. An empty payload is absent. SPEC 5.2.5, 5.2.6.
func AppendJSONPayload(b []byte, m *Message) []byte {
	if m.ContentType == ContentTypeJSON || m.ContentType == "" {
		if len(m.Payload) == 0 {
			return b
		}
		b = append(b, `,"payload":`...)
		return append(b, m.Payload...)
	}
	b = append(b, `,"content_type":`...)
	b = appendJSONString(b, m.ContentType)
	if len(m.Payload) == 0 {
		return b
	}
	b = append(b, `,"payload_b64":"`...)
	b = base64.StdEncoding.AppendEncode(b, m.Payload)
	return append(b, '"')
}
