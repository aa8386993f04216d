package frame

import (
	"google.golang.org/protobuf/encoding/protowire"

	"ramen/protocol"
	"ramen/protocol/protowalk"
)

// fields walks over the fields of a message, and notes those that are not of the type that they must have.
type fields struct {
	protowalk.Walk
	wrong bool
}

func fieldsOf(b []byte) fields { return fields{Walk: protowalk.Of(b)} }

// count is how many fields of that number there are from here on.
func (w fields) count(number protowire.Number) (n int) {
	for w.Next() {
		if w.Number == number {
			n++
		}
	}
	return n
}

// err is ErrMalformed where something was wrong with the fields so far, or in them.
func (w *fields) err() error {
	if w.Bad || w.wrong {
		return ErrMalformed
	}
	return nil
}

func (w *fields) uint() uint64 {
	w.wrong = w.wrong || w.Type != protowire.VarintType
	return w.Varint
}

func (w *fields) int() int    { return int(w.uint()) }
func (w *fields) bool() bool  { return w.uint() != 0 }
func (w *fields) i64() int64  { return int64(w.uint()) }
func (w *fields) u32() uint32 { return uint32(w.uint()) }

// bytes is the field's content, which is the batch's.
func (w *fields) bytes() []byte {
	w.wrong = w.wrong || w.Type != protowire.BytesType
	return w.Bytes
}

func (w *fields) text() string { return string(w.bytes()) }

// check notes that a nested message was malformed.
func (w *fields) check(err error) { w.wrong = w.wrong || err != nil }

// pair adds an entry to *m, which it makes.
func (w *fields) pair(m *map[string]string) {
	var k, v string
	e := fieldsOf(w.bytes())
	for e.Next() {
		switch e.Number {
		case 1:
			k = e.text()
		case 2:
			v = e.text()
		}
	}
	w.check(e.err())
	if *m == nil {
		*m = make(map[string]string)
	}
	(*m)[k] = v
}

// reason is one that a newer version may have: protocol says what to make of it.
func (w *fields) reason() protocol.Reason { return ReasonOf(w.uint()) }

// ReasonOf is the reason with that number. A larger one than a Reason can be is some that this version does not know.
func ReasonOf(v uint64) protocol.Reason { return protocol.Reason(min(v, 1<<8-1)) }

// priority is one that this version knows: another is the lowest.
func (w *fields) priority() protocol.Priority {
	p := protocol.Priority(min(w.uint(), 1<<8-1))
	if p > protocol.PriorityLow {
		return protocol.PriorityLow
	}
	return p
}
