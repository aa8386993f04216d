package devices

import (
	"bytes"
	"strconv"

	"google.golang.org/protobuf/encoding/protowire"

	"ramen/protocol"
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

// protoPush reads a protobuf frame if it is a push. False: it is another frame or malformed, and package protocol decides which.
func protoPush(b []byte, p *push) bool {
	number, kind, n := protowire.ConsumeTag(b)
	if n < 0 || number != 2 || kind != protowire.BytesType {
		return false
	}
	body, size := protowire.ConsumeBytes(b[n:])
	if size < 0 || n+size != len(b) {
		return false
	}
	*p = push{}
	return fields(body, func(number protowire.Number, v uint64, text []byte) bool {
		switch number {
		case 1:
			p.seq = v
		case 2:
			return fields(text, func(number protowire.Number, _ uint64, text []byte) bool {
				switch number {
				case 1:
					p.id = text
				case 4:
					p.payload = text
				}
				return true
			})
		case 3:
			p.cursor = text
		case 4:
			p.redelivered = v != 0
		}
		return true
	})
}

// fields walks over a message's fields; only varints and length-delimited fields have a value here.
func fields(b []byte, each func(protowire.Number, uint64, []byte) bool) bool {
	for len(b) > 0 {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return false
		}
		size := protowire.ConsumeFieldValue(number, kind, b[n:])
		if size < 0 {
			return false
		}
		var v uint64
		var text []byte
		switch kind {
		case protowire.VarintType:
			v, _ = protowire.ConsumeVarint(b[n:])
		case protowire.BytesType:
			text, _ = protowire.ConsumeBytes(b[n:])
		}
		if !each(number, v, text) {
			return false
		}
		b = b[n+size:]
	}
	return true
}

// jsonPush reads the members of a push that a device needs. It assumes names and ids without escapes, as those of package
// publisher are.
func jsonPush(b []byte, p *push) bool {
	*p = push{}
	return members(b, func(name, value []byte) {
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
