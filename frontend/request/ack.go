package request

import (
	"strings"

	"ramen/link"
	"ramen/protocol"
)

// Ack reads an ack that comes beside the stream. SPEC 5.
func (r *Reader) Ack(h *Head) (link.Ack, error) {
	q, err := parseQuery(h.Query)
	if err != nil {
		return link.Ack{}, err
	}
	who, err := r.identify(h, q.token, q.user, q.device)
	if err != nil {
		return link.Ack{}, err
	}
	a := link.Ack{User: who.user, Device: who.device}
	switch {
	case q.cursor != "": // counts where both are given. SPEC 2.4
		a.Cursor = strings.Clone(q.cursor)
	case q.hasSeq && q.stream == "":
		return a, protocol.Invalidf("seq needs the stream of the hello that it was counted from: give stream, or a cursor")
	case q.hasSeq:
		a.Seq, a.Name = protocol.Seq(q.seq), strings.Clone(q.stream)
	default:
		return a, protocol.Invalidf("nothing to ack: give cursor, or seq and stream")
	}
	return a, nil
}
