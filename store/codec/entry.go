package codec

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

// AppendEntry appends the value of e to b. scratch is memory to use, and newScratch what it has become.
func AppendEntry(b []byte, e *store.Entry, scratch []byte) (value, newScratch []byte) {
	m := e.Message
	b = binary.BigEndian.AppendUint64(append(b, entryVersion), uint64(m.ExpiresMS))
	h := binary.BigEndian.AppendUint64(scratch[:0], uint64(m.CreatedMS))
	h = AppendString(h, m.ID)
	h = AppendString(h, m.Type)
	if m.ContentType == protocol.ContentTypeJSON { // nearly always: empty stands for it, and 1, 0 for empty
		h = append(h, 0)
	} else {
		h = AppendString(append(h, 1), m.ContentType)
	}
	h = AppendString(h, m.CollapseKey)
	h = AppendString(h, e.Device)
	h = appendMap(h, m.Headers)
	h = appendMap(h, e.Where)
	b = binary.AppendUvarint(b, uint64(len(h)))
	b = append(b, h...)
	return append(b, m.Payload...), h
}

// EntryExpiry reads the expiry alone.
func EntryExpiry(value []byte) (ms int64, ok bool) {
	if len(value) < entryFixed || value[0] != entryVersion {
		return 0, false
	}
	return int64(binary.BigEndian.Uint64(value[1:])), true
}

// EntryID reads only where the id is in value, and when it was accepted.
func EntryID(value []byte) (from, to int, acceptedMS int64, err error) {
	if _, ok := EntryExpiry(value); !ok {
		return 0, 0, 0, fmt.Errorf("value of %d bytes is not an entry of version %d", len(value), entryVersion)
	}
	head, _, ok := cutSized(value[entryFixed:])
	if !ok || len(head) < 8 {
		return 0, 0, 0, fmt.Errorf("head of entry: %w", errShort)
	}
	id, _, ok := cutSized(head[8:])
	if !ok {
		return 0, 0, 0, fmt.Errorf("head of entry: %w", errShort)
	}
	from, to = EntryIDAt(len(head), len(id))
	return from, to, int64(binary.BigEndian.Uint64(head)), nil
}

// EntryIDAt is where the id is in a value, by the lengths of its head, which AppendEntry leaves in newScratch, and of the id.
func EntryIDAt(head, id int) (from, to int) {
	from = entryFixed + UvarintLen(uint64(head)) + 8 + UvarintLen(uint64(id))
	return from, from + id
}

// DecodeEntry reads a row; nothing of the answer shares memory with value.
func DecodeEntry(r store.Ref, value []byte) (store.Entry, error) {
	e := store.Entry{Position: r.Position}
	expires, ok := EntryExpiry(value)
	if !ok {
		return e, fmt.Errorf("value of %d bytes is not an entry of version %d", len(value), entryVersion)
	}
	head, payload, ok := cutSized(value[entryFixed:])
	if !ok {
		return e, fmt.Errorf("head of entry: %w", errShort)
	}
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

// cutSized reads what AppendString wrote, and answers what is behind it.
func cutSized(b []byte) (sized, rest []byte, ok bool) {
	n, size := binary.Uvarint(b)
	if size <= 0 || size != UvarintLen(n) || n > uint64(len(b)-size) {
		return nil, nil, false
	}
	return b[size : size+int(n)], b[size+int(n):], true
}

// UvarintLen is how many bytes the shortest form of x takes.
func UvarintLen(x uint64) int {
	n := 1
	for ; x >= 0x80; x >>= 7 {
		n++
	}
	return n
}
