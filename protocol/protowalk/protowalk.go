// Package protowalk reads the fields of a protobuf message one by one, without reflection, a closure or an allocation: it is on the way
// of every publish, ack and push, in the server and in the load tester.
//
//  1. It refuses what proto.Unmarshal refuses of the wire format, and nothing else; what a field means is the caller's.
//  2. What it hands out aliases what it reads.
//
// There are no goroutines.
package protowalk

import "google.golang.org/protobuf/encoding/protowire"

// Walk stands on one field of a message.
//
//	for w := protowalk.Of(b); w.Next(); { switch w.Number … }
//
// After the last one, Bad says whether the message is malformed.
type Walk struct {
	Number protowire.Number
	Type   protowire.Type
	Varint uint64 // where Type is VarintType, else 0
	Bytes  []byte // where Type is BytesType, else nil
	Bad    bool   // the message is malformed: at field Number, or at a tag, where that is 0

	rest []byte
}

// Of walks over the message in b.
func Of(b []byte) Walk { return Walk{rest: b} }

// Next moves to the next field; false at the end, and where what comes is malformed.
func (w *Walk) Next() bool {
	if len(w.rest) == 0 {
		return false
	}
	number, kind, n := protowire.ConsumeTag(w.rest)
	if n < 0 || number > protowire.MaxValidNumber {
		w.Number, w.Bad = 0, true
		return false
	}
	w.Number, w.Type, w.rest = number, kind, w.rest[n:]
	switch kind {
	case protowire.VarintType:
		w.Bytes = nil
		w.Varint, n = protowire.ConsumeVarint(w.rest)
	case protowire.BytesType:
		w.Varint = 0
		w.Bytes, n = protowire.ConsumeBytes(w.rest)
	default:
		w.Varint, w.Bytes = 0, nil
		n = protowire.ConsumeFieldValue(number, kind, w.rest)
	}
	if n < 0 {
		w.Bad = true
		return false
	}
	w.rest = w.rest[n:]
	return true
}
