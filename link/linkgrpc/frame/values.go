package frame

import (
	"bytes"

	"google.golang.org/protobuf/encoding/protowire"

	"ramen/link"
	"ramen/protocol"
)

// The values that several frames have in them. What is zero as a whole is absent.

func route(b []byte, field protowire.Number, r link.Route) []byte {
	b, at := begin(b, field)
	return end(number(number(b, 1, r.Shard), 2, r.Epoch), at)
}

func (w *fields) route() (r link.Route) {
	f := fieldsOf(w.bytes())
	for f.Next() {
		switch f.Number {
		case 1:
			r.Shard = protocol.ShardID(f.u32())
		case 2:
			r.Epoch = protocol.Epoch(f.uint())
		}
	}
	w.check(f.err())
	return r
}

func streamNumber(b []byte, field protowire.Number, n protocol.StreamNumber) []byte {
	if n.IsZero() {
		return b
	}
	b, at := begin(b, field)
	return end(number(number(b, 1, n.Epoch), 2, n.Counter), at)
}

func (w *fields) streamNumber() (n protocol.StreamNumber) {
	f := fieldsOf(w.bytes())
	for f.Next() {
		switch f.Number {
		case 1:
			n.Epoch = protocol.Epoch(f.uint())
		case 2:
			n.Counter = f.uint()
		}
	}
	w.check(f.err())
	return n
}

// contextAbsent is the field of a Context that stands for none.
const contextAbsent = 8

func deviceContext(b []byte, field protowire.Number, c *protocol.DeviceContext) []byte {
	if c == nil {
		return b
	}
	b, at := begin(b, field)
	b = text(text(text(b, 1, c.App), 2, c.AppVersion), 3, c.OS)
	b = text(text(text(b, 4, c.OSVersion), 5, c.Model), 6, c.Locale)
	return end(pairs(b, 7, c.Labels), at)
}

func (w *fields) context() *protocol.DeviceContext {
	c, err := readContext(w.bytes())
	w.check(err)
	return c
}

func readContext(b []byte) (*protocol.DeviceContext, error) {
	c, absent := new(protocol.DeviceContext), false
	w := fieldsOf(b)
	for w.Next() {
		switch w.Number {
		case 1:
			c.App = w.text()
		case 2:
			c.AppVersion = w.text()
		case 3:
			c.OS = w.text()
		case 4:
			c.OSVersion = w.text()
		case 5:
			c.Model = w.text()
		case 6:
			c.Locale = w.text()
		case 7:
			w.pair(&c.Labels)
		case contextAbsent:
			absent = w.bool()
		}
	}
	if absent {
		c = nil
	}
	return c, w.err()
}

func loss(b []byte, field protowire.Number, l link.Loss) []byte {
	b, at := begin(b, field)
	return end(number(number(b, 1, l.Reason), 2, l.Below), at)
}

func readLoss(b []byte) (l link.Loss, err error) {
	w := fieldsOf(b)
	for w.Next() {
		switch w.Number {
		case 1:
			l.Reason = w.reason()
		case 2:
			l.Below = protocol.Epoch(w.uint())
		}
	}
	return l, w.err()
}

func message(b []byte, field protowire.Number, m *protocol.Message) []byte {
	b, at := begin(b, field)
	b = number(text(text(b, 1, m.ID), 2, m.Type), 3, m.Priority)
	b = text(text(b, 4, m.Payload), 5, m.ContentType)
	b = number(number(b, 6, m.CreatedMS), 7, m.ExpiresMS)
	return end(pairs(text(b, 8, m.CollapseKey), 9, m.Headers), at)
}

// message decodes a message, whose few usual words come from words, if there are any.
func (w *fields) message(words *Words) *protocol.Message {
	m := new(protocol.Message)
	f := fieldsOf(w.bytes())
	for f.Next() {
		switch f.Number {
		case 1:
			m.ID = protocol.MessageID(f.text())
		case 2:
			m.Type = words.of(f.bytes())
		case 3:
			m.Priority = f.priority()
		case 4:
			m.Payload = bytes.Clone(f.bytes())
		case 5:
			m.ContentType = words.of(f.bytes())
		case 6:
			m.CreatedMS = f.i64()
		case 7:
			m.ExpiresMS = f.i64()
		case 8:
			m.CollapseKey = f.text()
		case 9:
			f.pair(&m.Headers)
		}
	}
	w.check(f.err())
	return m
}

// Words keeps the types and content types of messages, of which there are few: they are not allocated anew with each message. It is
// for one goroutine. A nil *Words keeps nothing.
type Words struct {
	known map[string]string
}

// maxWords and maxWord bound what Words keeps.
const (
	maxWords = 256
	maxWord  = 64 // bytes
)

func (w *Words) of(b []byte) string {
	if w == nil || len(b) == 0 || len(b) > maxWord {
		return string(b)
	}
	if s, ok := w.known[string(b)]; ok {
		return s
	}
	s := string(b)
	if w.known == nil || len(w.known) >= maxWords {
		w.known = make(map[string]string)
	}
	w.known[s] = s
	return s
}
