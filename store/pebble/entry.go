package pebble

import (
	"encoding/binary"
	"fmt"

	"ramen/protocol"
	"ramen/store"
)

// An entry's value: version, expires ms:8, then the length of the head and the head (created ms, id, type, content type,
// collapse key, device, headers, where), then the payload to the end. The expiry stands first, so that a sweep reads nine
// bytes of a row; lane and position are the key's.
const (
	entryVersion = 1
	entryFixed   = 1 + 8
)

func appendEntry(b []byte, e *store.Entry, scratch []byte) (value, newScratch []byte) {
	m := e.Message
	b = binary.BigEndian.AppendUint64(append(b, entryVersion), uint64(m.ExpiresMS))
	h := binary.BigEndian.AppendUint64(scratch[:0], uint64(m.CreatedMS))
	h = appendString(h, m.ID)
	h = appendString(h, m.Type)
	if m.ContentType == protocol.ContentTypeJSON { // nearly always: empty stands for it, and 1, 0 for empty
		h = append(h, 0)
	} else {
		h = appendString(append(h, 1), m.ContentType)
	}
	h = appendString(h, m.CollapseKey)
	h = appendString(h, e.Device)
	h = appendMap(h, m.Headers)
	h = appendMap(h, e.Where)
	b = binary.AppendUvarint(b, uint64(len(h)))
	b = append(b, h...)
	return append(b, m.Payload...), h
}

// entryExpiry reads the expiry alone.
func entryExpiry(value []byte) (ms int64, ok bool) {
	if len(value) < entryFixed || value[0] != entryVersion {
		return 0, false
	}
	return int64(binary.BigEndian.Uint64(value[1:])), true
}

// entryID reads the id, and when it was accepted, alone. id aliases value.
func entryID(value []byte) (id []byte, acceptedMS int64, err error) {
	if _, ok := entryExpiry(value); !ok {
		return nil, 0, fmt.Errorf("value of %d bytes is not an entry of version %d", len(value), entryVersion)
	}
	r := opReader{b: value[entryFixed:]}
	r.b = r.bytes()
	acceptedMS, id = int64(r.uint64()), r.bytes()
	if r.err != nil {
		return nil, 0, fmt.Errorf("head of entry: %w", errShort)
	}
	return id, acceptedMS, nil
}

// decodeEntry reads a row; nothing of the answer shares memory with value.
func decodeEntry(r store.Ref, value []byte) (store.Entry, error) {
	e := store.Entry{Position: r.Position}
	expires, ok := entryExpiry(value)
	if !ok {
		return e, fmt.Errorf("value of %d bytes is not an entry of version %d", len(value), entryVersion)
	}
	rest := value[entryFixed:]
	n, size := binary.Uvarint(rest)
	if size <= 0 || size != uvarintLen(n) || n > uint64(len(rest)-size) {
		return e, fmt.Errorf("head of entry: %w", errShort)
	}
	head, payload := rest[size:size+int(n)], rest[size+int(n):]
	v := values{s: string(head)}
	m := &protocol.Message{Priority: r.Priority, ExpiresMS: expires}
	m.CreatedMS = int64(v.uint64())
	m.ID = protocol.MessageID(v.string())
	m.Type = v.string()
	m.ContentType = contentType(&v)
	m.CollapseKey = v.string()
	e.Device = protocol.DeviceID(v.string())
	m.Headers = v.pairs()
	e.Where = v.pairs()
	if err := v.end(); err != nil {
		return e, fmt.Errorf("head of entry: %w", err)
	}
	if len(payload) > 0 {
		m.Payload = append(make([]byte, 0, len(payload)), payload...)
	}
	e.Message = m
	return e, nil
}

func contentType(v *values) string {
	switch v.byte() {
	case 0:
		return protocol.ContentTypeJSON
	case 1:
		s := v.string()
		if s == protocol.ContentTypeJSON {
			v.fail("content type in its long form")
		}
		return s
	}
	v.fail("unknown form of content type")
	return ""
}

func uvarintLen(x uint64) int {
	n := 1
	for ; x >= 0x80; x >>= 7 {
		n++
	}
	return n
}
