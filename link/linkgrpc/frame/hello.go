package frame

import (
	"google.golang.org/protobuf/encoding/protowire"

	"ramen/protocol"
)

// Hello says who speaks, and which versions. linkpb.Hello has what its fields mean.
type Hello struct {
	Version, MinVersion uint32
	From, To            string
	Instance            string
	Number              uint64
	Cluster             string
	Draining            bool
}

// AppendHello appends the first frame of a link.
func AppendHello(b []byte, h *Hello) []byte {
	b, frame := start(b, 0)
	b, at := begin(b, protowire.Number(KindHello))
	b = number(number(b, 1, h.Version), 2, h.MinVersion)
	b = text(text(text(b, 3, h.From), 4, h.To), 5, h.Instance)
	b = boolean(text(number(b, 6, h.Number), 7, h.Cluster), 8, h.Draining)
	return end(end(b, at), frame)
}

// ReadHello decodes the body of a KindHello.
func ReadHello(b []byte) (h Hello, err error) {
	w := fieldsOf(b)
	for w.Next() {
		switch w.Number {
		case 1:
			h.Version = w.u32()
		case 2:
			h.MinVersion = w.u32()
		case 3:
			h.From = w.text()
		case 4:
			h.To = w.text()
		case 5:
			h.Instance = w.text()
		case 6:
			h.Number = w.uint()
		case 7:
			h.Cluster = w.text()
		case 8:
			h.Draining = w.bool()
		}
	}
	return h, w.err()
}

// AppendHeartbeat appends that nothing is to be said, and that the link stands.
func AppendHeartbeat(b []byte) []byte {
	b, frame := start(b, 0)
	b, at := begin(b, protowire.Number(KindHeartbeat))
	return end(end(b, at), frame)
}

// AppendGoAway appends that the gateway ends soon, and why.
func AppendGoAway(b []byte, reason protocol.Reason) []byte {
	b, frame := start(b, 0)
	b, at := begin(b, protowire.Number(KindGoAway))
	return end(end(number(b, 1, reason), at), frame)
}

// GoAway decodes the body of a KindGoAway.
func GoAway(b []byte) (reason protocol.Reason, err error) {
	w := fieldsOf(b)
	for w.Next() {
		if w.Number == 1 {
			reason = w.reason()
		}
	}
	return reason, w.err()
}
