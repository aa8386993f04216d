package protocol

import (
	"google.golang.org/protobuf/encoding/protowire"
)

// The field numbers of SPEC 7 that stand in a PublishRequest, a Publish, a PublishResponse and a PublishResult.
const (
	requestMessages = 1

	publishUser        = 1
	publishDevice      = 2
	publishID          = 3
	publishType        = 4
	publishPriority    = 5
	publishPayload     = 6
	publishContentType = 7
	publishTTLMS       = 8
	publishCollapseKey = 9
	publishHeaders     = 10
	publishWhere       = 11
	publishUsers       = 12

	responseResults = 1

	resultID      = 1
	resultStatus  = 2
	resultError   = 3
	resultDevices = 4

	errorCode    = 1
	errorMessage = 2
)

// DecodePublishProto reads a PublishRequest and appends its messages to dst. Bytes that are no protobuf, and no message
// or too many, are an *Error, and none of it counts. Payloads alias b until Check. Text that is no UTF-8 is Check's to
// refuse, message by message. SPEC 7.
func DecodePublishProto(dst []Publish, b []byte, l *PublishLimits) ([]Publish, error) {
	from, count := len(dst), 0
	r := protoWalk{b: b}
	for r.next() {
		if r.field != requestMessages {
			continue
		}
		if r.kind != protowire.BytesType {
			return nil, errNoProto()
		}
		if count >= l.MaxBatch {
			return nil, errTooMany(l)
		}
		dst = append(dst, Publish{})
		p := &dst[len(dst)-1]
		if err := p.decodeProto(r.bytes, l); err != nil {
			return nil, err
		}
		if count += p.Count(); count > l.MaxBatch {
			return nil, errTooMany(l)
		}
	}
	if r.bad {
		return nil, errNoProto()
	}
	if len(dst) == from {
		return nil, Invalidf("the request has no messages: send 1 to %d", l.MaxBatch)
	}
	return dst, nil
}

func errNoProto() *Error {
	return Invalidf("the request is not a valid protobuf ramen.v1.PublishRequest: a field is truncated or malformed")
}

func (p *Publish) decodeProto(b []byte, l *PublishLimits) error {
	r := protoWalk{b: b}
	for r.next() {
		want := protowire.BytesType
		if r.field == publishPriority || r.field == publishTTLMS {
			want = protowire.VarintType
		}
		switch {
		case r.field > publishUsers:
		case r.kind != want:
			return Invalidf("field %d of Publish has wire type %d: it must be %d", r.field, r.kind, want)
		case r.field == publishPriority:
			p.Priority = Priority(min(uint64(uint32(r.number)), 255)) // an enum beyond what fits is unknown either way
		case r.field == publishTTLMS:
			p.TTLMS = int64(uint32(r.number))
		default:
			if err := p.decodeProtoBytes(&r, l); err != nil {
				return err
			}
		}
	}
	if r.bad {
		return errNoProto()
	}
	return nil
}

func (p *Publish) decodeProtoBytes(r *protoWalk, l *PublishLimits) error {
	ok := true
	switch r.field {
	case publishUser:
		p.User = string(r.bytes)
	case publishDevice:
		p.Device = string(r.bytes)
	case publishID:
		p.ID = string(r.bytes)
	case publishType:
		p.Type = string(r.bytes)
	case publishPayload:
		p.Payload = r.bytes
	case publishContentType:
		p.ContentType = contentType(r.bytes)
	case publishCollapseKey:
		p.CollapseKey = string(r.bytes)
	case publishHeaders:
		p.Headers, ok = protoEntry(p.Headers, r.bytes)
	case publishWhere:
		p.Where, ok = protoEntry(p.Where, r.bytes)
	case publishUsers:
		if len(p.Users) == l.MaxBatch {
			return errTooMany(l)
		}
		p.Users = append(p.Users, string(r.bytes))
	}
	if !ok {
		return errNoProto()
	}
	return nil
}

// protoEntry adds an entry of a map field to m; false where b is none.
func protoEntry(m map[string]string, b []byte) (map[string]string, bool) {
	var k, v string
	r := protoWalk{b: b}
	for r.next() {
		switch {
		case r.kind == protowire.BytesType && r.field == entryKey:
			k = string(r.bytes)
		case r.kind == protowire.BytesType && r.field == entryValue:
			v = string(r.bytes)
		}
	}
	if m == nil {
		m = make(map[string]string)
	}
	m[k] = v
	return m, !r.bad
}

// protoWalk reads one message field by field, without a closure or an allocation: it is on the way of every publish.
type protoWalk struct {
	b      []byte
	field  protowire.Number
	kind   protowire.Type
	number uint64 // where kind is VarintType
	bytes  []byte // where kind is BytesType; aliases b
	bad    bool
}

func (r *protoWalk) next() bool {
	if len(r.b) == 0 {
		return false
	}
	field, kind, n := protowire.ConsumeTag(r.b)
	if n < 0 {
		r.bad = true
		return false
	}
	r.field, r.kind, r.b = field, kind, r.b[n:]
	switch kind {
	case protowire.VarintType:
		r.number, n = protowire.ConsumeVarint(r.b)
	case protowire.BytesType:
		r.bytes, n = protowire.ConsumeBytes(r.b)
	default:
		n = protowire.ConsumeFieldValue(field, kind, r.b)
	}
	if n < 0 {
		r.bad = true
		return false
	}
	r.b = r.b[n:]
	return true
}

// AppendPublishResultsProto appends a PublishResponse.
func AppendPublishResultsProto(b []byte, results []PublishResult) []byte {
	for i := range results {
		r := &results[i]
		id := validText(r.ID)
		failure := 0
		if r.Err != nil {
			failure = sizeStringField(errorCode, r.Err.Code) + sizeStringField(errorMessage, r.Err.Message)
		}
		size := sizeStringField(resultID, id) + sizeVarintField(resultStatus, uint64(r.Status)) + sizeVarintField(resultDevices, uint64(r.Devices))
		if r.Err != nil {
			size += sizeLen(resultError, failure)
		}
		b = appendLen(b, responseResults, size)
		b = appendStringField(b, resultID, id)
		b = appendVarintField(b, resultStatus, uint64(r.Status))
		if r.Err != nil {
			b = appendLen(b, resultError, failure)
			b = appendStringField(b, errorCode, r.Err.Code)
			b = appendStringField(b, errorMessage, r.Err.Message)
		}
		b = appendVarintField(b, resultDevices, uint64(r.Devices))
	}
	return b
}
