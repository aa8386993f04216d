package devices

import (
	"bytes"
	"strconv"

	"google.golang.org/protobuf/encoding/protowire"

	"ramen/protocol"
	"ramen/protocol/protowalk"
)

// push is the part of a push that a device looks at. It aliases the read buffer.
type push struct {
	seq         uint64
	id, cursor  []byte
	payload     []byte
	redelivered bool
}

// sentAt is the time (µs) at which the message was due, which package publisher puts at the start of each payload; 0: not one of its payloads.
func sentAt(payload []byte) int64 {
	rest, ok := bytes.CutPrefix(payload, []byte(`{"t":`))
	if !ok && len(payload) != 16 { // the time alone
		return 0
	}
	t := int64(0)
	for _, c := range rest {
		if c < '0' || c > '9' {
			break
		}
		t = t*10 + int64(c-'0')
	}
	return t
}

// The fields of ServerFrame, Push and Message that a device reads. SPEC 7.1.
const (
	framePush       = 2
	pushSeq         = 1
	pushMessage     = 2
	pushCursor      = 3
	pushRedelivered = 4
	messageID       = 1
	messagePayload  = 4
)

// protoPush reads a protobuf frame that is one push. False: it is another frame or malformed, and package protocol decides which.
func protoPush(b []byte, p *push) bool {
	frame := protowalk.Of(b)
	if !frame.Next() || frame.Number != framePush || frame.Type != protowire.BytesType {
		return false
	}
	body := protowalk.Of(frame.Bytes)
	if frame.Next() || frame.Bad {
		return false
	}
	*p = push{}
	for body.Next() {
		switch body.Number {
		case pushSeq:
			p.seq = body.Varint
		case pushMessage:
			if !p.readMessage(body.Bytes) {
				return false
			}
		case pushCursor:
			p.cursor = body.Bytes
		case pushRedelivered:
			p.redelivered = body.Varint != 0
		}
	}
	return !body.Bad
}

func (p *push) readMessage(b []byte) bool {
	m := protowalk.Of(b)
	for m.Next() {
		switch m.Number {
		case messageID:
			p.id = m.Bytes
		case messagePayload:
			p.payload = m.Bytes
		}
	}
	return !m.Bad
}

// push reads the members of a push that a device needs. It assumes names and ids without escapes, as those of package
// publisher are.
func (w *walker) push(b []byte, p *push) bool {
	*p = push{}
	return w.members(b, func(name, value []byte) {
		switch string(name) {
		case "seq":
			p.seq, _ = strconv.ParseUint(string(value), 10, 64)
		case "id":
			p.id = unquoted(value)
		case "cursor":
			p.cursor = unquoted(value)
		case "payload":
			p.payload = value
		case "redelivered":
			p.redelivered = string(value) == "true"
		}
	})
}

func unquoted(b []byte) []byte {
	if len(b) < 2 || b[0] != '"' {
		return nil
	}
	return b[1 : len(b)-1]
}

// of converts a decoded push.
func of(f *protocol.Push) push {
	return push{seq: uint64(f.Seq), id: []byte(f.Message.ID), cursor: []byte(f.Cursor), payload: f.Message.Payload, redelivered: f.Redelivered}
}
