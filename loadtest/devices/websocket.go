package devices

import (
	"encoding/binary"

	"ramen/protocol"
)

// The opcodes of RFC 6455 5.2.
const (
	opContinuation = 0
	opText         = 1
	opBinary       = 2
	opClose        = 8
	opPing         = 9
	opPong         = 10
)

// maxMessage is the longest message taken of a server, in bytes.
const maxMessage = 4 << 20

// websocket reads a server's frames; of one that is incomplete nothing is taken. It answers how many bytes were.
func websocket(b []byte, l *light) (taken int, err error) {
	for {
		rest := b[taken:]
		if len(rest) < 2 {
			return taken, nil
		}
		size, head := uint64(rest[1]&0x7f), 2
		switch size {
		case 126:
			if head = 4; len(rest) >= head {
				size = uint64(binary.BigEndian.Uint16(rest[2:]))
			}
		case 127:
			if head = 10; len(rest) >= head {
				size = binary.BigEndian.Uint64(rest[2:])
			}
		}
		switch {
		case rest[0]&0x30 != 0 || rest[0]&rsv1 != 0 && !l.deflate || rest[1]&0x80 != 0:
			return taken, malformed("a WebSocket frame begins with %x: reserved bits or a mask", rest[:2])
		case size > maxMessage:
			return taken, malformed("a WebSocket frame of %d bytes", size)
		case len(rest) < head || uint64(len(rest)-head) < size:
			return taken, nil
		}
		payload := rest[head : head+int(size)]
		taken += head + int(size)
		if err := l.wsFrame(rest[0], payload); err != nil {
			return taken, err
		}
		if !l.d.has(l) { // it ended in the call
			return taken, nil
		}
	}
}

func (l *light) wsFrame(head byte, payload []byte) error {
	fin, op := head&0x80 != 0, head&0x0f
	switch op {
	case opPing:
		l.send(appendFrame(nil, opPong, payload))
		return nil
	case opPong:
		return nil
	case opClose:
		return closed(payload)
	}
	if op != opContinuation {
		l.packed = head&rsv1 != 0
	}
	if !fin || op == opContinuation {
		if l.joined = append(l.joined, payload...); len(l.joined) > maxMessage {
			return malformed("a WebSocket message over %d bytes", maxMessage)
		}
		if !fin {
			return nil
		}
		payload, l.joined = l.joined, nil
	}
	if l.packed {
		var err error
		if payload, err = l.d.sh.inflate(payload); err != nil {
			return err
		}
	}
	return l.message(payload)
}

// message takes one whole frame of SPEC 6.2.
func (l *light) message(b []byte) error {
	var p push
	var f protocol.ServerFrame
	if len(b) == 0 {
		l.d.beat(0)
		l.echo = true
		return nil
	}
	if l.d.kind == wsProto {
		if protoPush(b, &p) {
			l.d.push(&p)
			return nil
		}
		if err := protocol.DecodeProtoServerFrame(b, &f); err != nil {
			return err
		}
	} else {
		var push []byte
		w := &l.d.sh.walker
		w.members(b, func(name, value []byte) {
			if string(name) == "push" {
				push = value
			}
		})
		if push != nil && w.push(push, &p) {
			l.d.push(&p)
			return nil
		}
		if err := protocol.DecodeJSONServerFrame(b, &f); err != nil {
			return err
		}
	}
	l.d.frame(&f)
	return nil
}

// closeError is the code of a close frame.
type closeError struct {
	code int
	text string
}

func closed(payload []byte) error {
	e := closeError{code: 1005}
	if len(payload) >= 2 {
		e.code, e.text = int(binary.BigEndian.Uint16(payload)), string(payload[2:])
	}
	return e
}

// appendFrame appends a client's frame. Its mask is zero, which leaves the payload as it is: masks guard proxies against
// pages (RFC 6455 10.3), and there are none here.
func appendFrame(b []byte, op byte, payload []byte) []byte {
	b = append(b, 0x80|op)
	if len(payload) < 126 {
		b = append(b, 0x80|byte(len(payload)))
	} else {
		b = binary.BigEndian.AppendUint16(append(b, 0x80|126), uint16(len(payload)))
	}
	return append(append(b, 0, 0, 0, 0), payload...)
}
