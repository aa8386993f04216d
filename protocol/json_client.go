package protocol

import (
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// What a client reads: the objects that json_server.go writes. Members that it does not know are ignored, words that it
// does not know are ReasonNone and PriorityUnspecified, so that an older client bears a newer server.

type jsonServerFrame struct {
	Hello  *jsonHello  `json:"hello"`
	Push   *jsonPush   `json:"push"`
	GoAway *jsonGoAway `json:"goaway"`
}

type jsonHello struct {
	Resumed     bool   `json:"resumed"`
	Stream      string `json:"stream"`
	Seq         Seq    `json:"seq"`
	HeartbeatMS uint32 `json:"heartbeat_ms"`
	TimeoutMS   uint32 `json:"timeout_ms"`
	AckMS       uint32 `json:"ack_ms"`
	TimeMS      int64  `json:"time_ms"`
	Expired     uint32 `json:"expired"`
	Cursor      string `json:"cursor"`
}

type jsonPush struct {
	Seq         Seq               `json:"seq"`
	ID          MessageID         `json:"id"`
	Type        string            `json:"type"`
	Priority    string            `json:"priority"`
	CreatedMS   int64             `json:"created_ms"`
	ExpiresMS   int64             `json:"expires_ms"`
	CollapseKey string            `json:"collapse_key"`
	Headers     map[string]string `json:"headers"`
	Redelivered bool              `json:"redelivered"`
	ContentType string            `json:"content_type"`
	Payload     jsontext.Value    `json:"payload"`
	PayloadB64  []byte            `json:"payload_b64"`
	Cursor      string            `json:"cursor"`
}

type jsonGoAway struct {
	Reason      string `json:"reason"`
	ReconnectMS uint32 `json:"reconnect_ms"`
	Detail      string `json:"detail"`
}

type jsonPollAnswer struct {
	Resumed  bool        `json:"resumed"`
	Stream   string      `json:"stream"`
	Expired  uint32      `json:"expired"`
	Cursor   string      `json:"cursor"`
	Messages []jsonPush  `json:"messages"`
	GoAway   *jsonGoAway `json:"goaway"`
}

// DecodeJSONServerFrame reads a text frame of the server into f, which keeps no part of b. The empty frame is a
// heartbeat. The error is a *FrameError.
func DecodeJSONServerFrame(b []byte, f *ServerFrame) error {
	*f = ServerFrame{}
	if len(b) == 0 {
		f.Kind = ServerHeartbeat
		return nil
	}
	var frame jsonServerFrame
	if err := unmarshal(b, &frame); err != nil {
		return err
	}
	switch {
	case frame.Hello != nil:
		f.Kind, f.Hello = ServerHello, Hello(*frame.Hello)
	case frame.Push != nil:
		f.Kind, f.Push = ServerPush, frame.Push.push()
	case frame.GoAway != nil:
		f.Kind, f.GoAway = ServerGoAway, frame.GoAway.goAway()
	}
	return nil
}

// DecodePollAnswer reads the body of a long-poll's answer. The error is a *FrameError.
func DecodePollAnswer(b []byte) (*PollAnswer, error) {
	var answer jsonPollAnswer
	if err := unmarshal(b, &answer); err != nil {
		return nil, err
	}
	a := &PollAnswer{Resumed: answer.Resumed, Stream: answer.Stream, Expired: answer.Expired, Cursor: answer.Cursor}
	for i := range answer.Messages {
		a.Messages = append(a.Messages, answer.Messages[i].push())
	}
	if answer.GoAway != nil {
		g := answer.GoAway.goAway()
		a.GoAway = &g
	}
	return a, nil
}

// DecodeErrorJSON reads the body of an HTTP error, or reports that it is none. SPEC 4.4.1.
func DecodeErrorJSON(b []byte) (*Error, bool) {
	var body struct {
		Error *struct {
			Code    Code   `json:"code"`
			Message string `json:"message"`
		} `json:"error"`
	}
	if unmarshal(b, &body) != nil || body.Error == nil {
		return nil, false
	}
	return &Error{Code: body.Error.Code, Message: body.Error.Message}, true
}

// unmarshal allows in payloads what publishers are allowed: names that stand twice, and escapes of lone surrogates.
func unmarshal(b []byte, v any) error {
	if !utf8.Valid(b) {
		return frameErrorf("not UTF-8 at byte %d", invalidUTF8(b))
	}
	if err := json.Unmarshal(b, v, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)); err != nil {
		return frameErrorf("%v", err)
	}
	return nil
}

func (p *jsonPush) push() Push {
	m := &Message{
		ID: p.ID, Type: p.Type, ContentType: p.ContentType, CreatedMS: p.CreatedMS, ExpiresMS: p.ExpiresMS,
		CollapseKey: p.CollapseKey, Headers: p.Headers, Payload: p.PayloadB64,
	}
	m.Priority, _ = ParsePriority(p.Priority)
	if m.ContentType == "" {
		m.ContentType = ContentTypeJSON
	}
	if p.Payload != nil {
		m.Payload = p.Payload
	}
	return Push{Seq: p.Seq, Cursor: p.Cursor, Redelivered: p.Redelivered, Message: m}
}

func (g *jsonGoAway) goAway() GoAway {
	reason, _ := ParseReason(g.Reason)
	return GoAway{Reason: reason, ReconnectMS: g.ReconnectMS, Detail: g.Detail}
}
