package protocol

import (
	"google.golang.org/protobuf/encoding/protowire"

	"ramen/protocol/protowalk"
)

// The field numbers of SPEC 7.1 that stand in a PublishRequest, a Publish, a PublishResponse and a PublishResult.
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
// refuse, message by message. SPEC 7.1.
func DecodePublishProto(dst []Publish, b []byte, l *PublishLimits) ([]Publish, error) {
	from, count := len(dst), 0
	r := protowalk.Of(b)
	for r.Next() {
		if r.Number != requestMessages {
			continue
		}
		if r.Type != protowire.BytesType {
			return nil, errNoProto()
		}
		if count >= l.MaxBatch {
			return nil, errTooMany(l)
		}
		dst = append(dst, Publish{})
		p := &dst[len(dst)-1]
		if err := p.decodeProto(r.Bytes, l); err != nil {
			return nil, err
		}
		if count += p.Count(); count > l.MaxBatch {
			return nil, errTooMany(l)
		}
	}
	if r.Bad {
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
	r := protowalk.Of(b)
	for r.Next() {
		want := protowire.BytesType
		if r.Number == publishPriority || r.Number == publishTTLMS {
			want = protowire.VarintType
		}
		switch {
		case r.Number > publishUsers:
		case r.Type != want:
			return Invalidf("field %d of Publish has wire type %d: it must be %d", r.Number, r.Type, want)
		case r.Number == publishPriority:
			p.Priority = Priority(min(uint64(uint32(r.Varint)), 255)) // an enum beyond what fits is unknown either way
		case r.Number == publishTTLMS:
			p.TTLMS = int64(uint32(r.Varint))
		default:
			if err := p.decodeProtoBytes(&r, l); err != nil {
				return err
			}
		}
	}
	if r.Bad {
		return errNoProto()
	}
	return nil
}

func (p *Publish) decodeProtoBytes(r *protowalk.Walk, l *PublishLimits) error {
	ok := true
	switch r.Number {
	case publishUser:
		p.User = string(r.Bytes)
	case publishDevice:
		p.Device = string(r.Bytes)
	case publishID:
		p.ID = string(r.Bytes)
	case publishType:
		p.Type = string(r.Bytes)
	case publishPayload:
		p.Payload = r.Bytes
	case publishContentType:
		p.ContentType = contentType(r.Bytes)
	case publishCollapseKey:
		p.CollapseKey = string(r.Bytes)
	case publishHeaders:
		p.Headers, ok = protoEntry(p.Headers, r.Bytes)
	case publishWhere:
		p.Where, ok = protoEntry(p.Where, r.Bytes)
	case publishUsers:
		if len(p.Users) == l.MaxBatch {
			return errTooMany(l)
		}
		p.Users = append(p.Users, string(r.Bytes))
	}
	if !ok {
		return errNoProto()
	}
	return nil
}

// protoEntry adds an entry of a map field to m; false where b is none.
func protoEntry(m map[string]string, b []byte) (map[string]string, bool) {
	var k, v string
	r := protowalk.Of(b)
	for r.Next() {
		switch {
		case r.Type == protowire.BytesType && r.Number == entryKey:
			k = string(r.Bytes)
		case r.Type == protowire.BytesType && r.Number == entryValue:
			v = string(r.Bytes)
		}
	}
	if m == nil {
		m = make(map[string]string)
	}
	m[k] = v
	return m, !r.Bad
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
