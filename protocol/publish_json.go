package protocol

import "encoding/base64"

// The fields of a message in JSON, a bit each, so that a repeat is seen.
type publishField uint

const (
	fieldUser publishField = 1 << iota
	fieldDevice
	fieldID
	fieldType
	fieldPriority
	fieldPayload
	fieldPayloadB64
	fieldContentType
	fieldTTLMS
	fieldCollapseKey
	fieldHeaders
	fieldWhere
	fieldUsers
	fieldMessages // of the body alone
)

// asNull is the bit of a field whose value was null: it was named, and is as good as absent. SPEC 8.4.3.
func (f publishField) asNull() publishField { return f << nullShift }

// given is the fields of f with a value.
func (f publishField) given() publishField { return f & (1<<nullShift - 1) }

const nullShift = 16

const publishFieldNames = "user, users, device, id, type, priority, payload, payload_b64, content_type, ttl_ms, collapse_key, headers, where"

func publishFieldOf(name []byte) publishField {
	switch string(name) {
	case "user":
		return fieldUser
	case "device":
		return fieldDevice
	case "id":
		return fieldID
	case "type":
		return fieldType
	case "priority":
		return fieldPriority
	case "payload":
		return fieldPayload
	case "payload_b64":
		return fieldPayloadB64
	case "content_type":
		return fieldContentType
	case "ttl_ms":
		return fieldTTLMS
	case "collapse_key":
		return fieldCollapseKey
	case "headers":
		return fieldHeaders
	case "where":
		return fieldWhere
	case "users":
		return fieldUsers
	case "messages":
		return fieldMessages
	}
	return 0
}

// DecodePublishJSON reads the body of POST /v1/publish and appends its messages to dst; batch says that they came as
// {"messages":[…]}. A body that is no JSON, has a field of the wrong type or an unknown or repeated one, or has no
// message or too many, is an *Error, and none of it counts. A value that is wrong is said by its message's Check.
// Payloads alias body until then. SPEC 8.3.
func DecodePublishJSON(dst []Publish, body []byte, l *PublishLimits) (messages []Publish, batch bool, err error) {
	w := newJSONWalk(body)
	var one Publish
	var seen publishField
	w.open('{')
	for name, ok := w.field(); ok; name, ok = w.field() {
		f := publishFieldOf(name)
		if w.absent(f, &seen) {
			continue
		}
		switch batch = batch || f == fieldMessages; {
		case f == fieldMessages && seen&(f|f.asNull()) != 0:
			w.twice()
		case batch && seen.given()|f != fieldMessages:
			w.fail(Invalidf("%s at byte %d stands beside messages: send only messages, or a single message", w.path(), w.at))
		case batch:
			seen |= f
			dst = w.messages(dst, l)
		default:
			w.publishField(f, &seen, &one, l)
		}
	}
	if err := w.end(); err != nil {
		return nil, false, err
	}
	if batch {
		return dst, true, nil
	}
	one.checkTogether(seen)
	return append(dst, one), false, nil
}

func (w *jsonWalk) messages(dst []Publish, l *PublishLimits) []Publish {
	from, count := len(dst), 0
	w.open('[')
	for w.more(']') {
		if count >= l.MaxBatch {
			w.fail(errTooMany(l))
			break
		}
		dst = append(dst, Publish{})
		p := &dst[len(dst)-1]
		w.publish(p, l)
		if count += p.Count(); count > l.MaxBatch {
			w.fail(errTooMany(l))
		}
	}
	if len(dst) == from {
		w.fail(Invalidf("messages is empty: send 1 to %d", l.MaxBatch))
	}
	return dst
}

func errTooMany(l *PublishLimits) *Error {
	return Invalidf("the request has over %d messages, each user counted: send 1 to %d at once", l.MaxBatch, l.MaxBatch)
}

func (w *jsonWalk) publish(p *Publish, l *PublishLimits) {
	var seen publishField
	w.open('{')
	for name, ok := w.field(); ok; name, ok = w.field() {
		if f := publishFieldOf(name); f == fieldMessages || !w.absent(f, &seen) {
			w.publishField(f, &seen, p, l)
		}
	}
	p.checkTogether(seen)
}

// absent reports whether f, whose name was read last, is as good as absent: its value is null, which is passed over. To a
// payload null is a value like any other.
func (w *jsonWalk) absent(f publishField, seen *publishField) bool {
	if f == 0 || f == fieldPayload || w.err != nil || w.d.PeekKind() != 'n' {
		return false
	}
	if *seen&(f|f.asNull()) != 0 {
		w.twice()
	}
	*seen |= f.asNull()
	return w.null()
}

// publishField reads the value of f, whose name was read last, into p.
func (w *jsonWalk) publishField(f publishField, seen *publishField, p *Publish, l *PublishLimits) {
	switch {
	case w.err != nil:
		return
	case f == 0 || f == fieldMessages:
		w.fail(Invalidf("%s at byte %d is unknown: the fields of a message are %s", w.path(), w.at, publishFieldNames))
		return
	case *seen&(f|f.asNull()) != 0:
		w.twice()
		return
	}
	*seen |= f
	switch f {
	case fieldUser:
		p.User = string(w.text())
	case fieldUsers:
		w.users(p, l)
	case fieldDevice:
		p.Device = string(w.text())
	case fieldID:
		p.ID = string(w.text())
	case fieldType:
		p.Type = string(w.text())
	case fieldPriority:
		w.priority(p)
	case fieldPayload:
		if v := w.value(); *seen&fieldPayloadB64 == 0 {
			p.Payload = v
		}
	case fieldPayloadB64:
		w.payloadB64(p)
	case fieldContentType:
		p.ContentType = contentType(w.text())
	case fieldTTLMS:
		p.TTLMS = w.integer()
	case fieldCollapseKey:
		p.CollapseKey = string(w.text())
	case fieldHeaders:
		p.Headers = w.texts()
	case fieldWhere:
		p.Where = w.texts()
	}
}

func (w *jsonWalk) users(p *Publish, l *PublishLimits) {
	w.open('[')
	for w.more(']') {
		if len(p.Users) == l.MaxBatch {
			w.fail(errTooMany(l))
			return
		}
		p.Users = append(p.Users, string(w.text()))
	}
}

func (w *jsonWalk) priority(p *Publish) {
	word := w.text()
	priority, ok := ParsePriority(string(word))
	if !ok {
		p.refuse(Invalidf("priority %+q is unknown: it must be high, medium or low", clip(string(word))))
	}
	p.Priority = priority
}

func (w *jsonWalk) payloadB64(p *Publish) {
	text := w.text()
	raw, err := base64.StdEncoding.AppendDecode(make([]byte, 0, base64.StdEncoding.DecodedLen(len(text))), text)
	if err != nil {
		p.refuse(Invalidf("payload_b64 is not valid base64 with padding (RFC 4648 section 4): %v", err))
	}
	p.Payload, p.owned = raw, true
}

// checkTogether says what is wrong with the fields of p together.
func (p *Publish) checkTogether(seen publishField) {
	if seen&fieldPayload == 0 {
		return
	}
	if seen&fieldPayloadB64 != 0 {
		p.refuse(Invalidf("both payload and payload_b64 are given: give one of them"))
	}
	if p.ContentType != "" && !IsJSON(p.ContentType) {
		p.refuse(Invalidf("content_type is %+q, but payload is JSON: omit content_type, or send the content as payload_b64", clip(p.ContentType)))
	}
}

func (p *Publish) refuse(e *Error) {
	if p.refused == nil {
		p.refused = e
	}
}

// contentType spares the usual one an allocation.
func contentType(b []byte) string {
	if string(b) == ContentTypeJSON {
		return ContentTypeJSON
	}
	return string(b)
}

// AppendPublishJSON appends p as one message of POST /v1/publish. A payload of JSON stands as it is: Check it first.
func AppendPublishJSON(b []byte, p *Publish) []byte {
	o := OpenJSONObject(b)
	o.Text("user", p.User)
	o.Text("device", p.Device)
	o.Text("id", p.ID)
	o.Text("type", p.Type)
	o.Text("priority", p.Priority.String())
	o.Payload(p.Payload, p.ContentType)
	o.Text("content_type", p.ContentType)
	if p.TTLMS != 0 {
		o.Int("ttl_ms", p.TTLMS)
	}
	o.Text("collapse_key", p.CollapseKey)
	o.Texts("headers", p.Headers)
	o.Texts("where", p.Where)
	if len(p.Users) > 0 {
		o.Name("users")
		o.B = append(o.B, '[')
		for i, u := range p.Users {
			if i > 0 {
				o.B = append(o.B, ',')
			}
			o.B = appendJSONString(o.B, u)
		}
		o.B = append(o.B, ']')
	}
	return o.Close()
}

// AppendPublishBatchJSON appends {"messages":[…]}.
func AppendPublishBatchJSON(b []byte, messages []Publish) []byte {
	b = append(b, `{"messages":[`...)
	for i := range messages {
		if i > 0 {
			b = append(b, ',')
		}
		b = AppendPublishJSON(b, &messages[i])
	}
	return append(b, "]}"...)
}

// DecodeDisconnectJSON reads the body of POST /v1/users/{user}/disconnect as strictly as that of a publish; no body at
// all is every device of the user. SPEC 8.3.2.
func DecodeDisconnectJSON(body []byte) (device, detail string, err error) {
	if len(body) == 0 {
		return "", "", nil
	}
	w := newJSONWalk(body)
	seen := map[string]bool{}
	w.open('{')
	for name, ok := w.field(); ok; name, ok = w.field() {
		if seen[string(name)] {
			w.twice()
		}
		seen[string(name)] = true
		switch string(name) {
		case "device":
			if !w.null() {
				device = string(w.text())
			}
		case "detail":
			if !w.null() {
				detail = string(w.text())
			}
		default:
			w.fail(Invalidf("%s at byte %d is unknown: the fields are device and detail", w.path(), w.at))
		}
	}
	return device, detail, w.end()
}
