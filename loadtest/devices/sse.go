package devices

import (
	"bytes"

	"ramen/protocol"
)

// sse reads SSE as the server writes it: LF, one data line an event. Of an event that is incomplete nothing is taken.
// It answers how many bytes were.
func sse(b []byte, d *Device) (taken int, err error) {
	for {
		if taken < len(b) && b[taken] == '\n' { // a heartbeat: a lone line end
			d.beat(0)
			taken++
			continue
		}
		n := bytes.Index(b[taken:], []byte("\n\n"))
		if n < 0 {
			return taken, nil
		}
		event := b[taken : taken+n]
		taken += n + 2
		if err := sseEvent(event, d); err != nil {
			return taken, err
		}
		if !d.has(d.from) { // it ended in the call
			return taken, nil
		}
	}
}

func sseEvent(event []byte, d *Device) error {
	var name, id, data []byte
	for len(event) > 0 {
		line := event
		if i := bytes.IndexByte(event, '\n'); i >= 0 {
			line, event = event[:i], event[i+1:]
		} else {
			event = nil
		}
		if v, ok := bytes.CutPrefix(line, []byte("data: ")); ok {
			data = v
		} else if v, ok := bytes.CutPrefix(line, []byte("id: ")); ok {
			id = v
		} else if v, ok := bytes.CutPrefix(line, []byte("event: ")); ok {
			name = v
		}
	}
	if len(name) == 0 {
		var p push
		if len(data) == 0 {
			return nil
		}
		if !d.sh.walker.push(data, &p) {
			return malformed("an SSE event is no push: %.100q", data)
		}
		p.cursor = id
		d.push(&p)
		return nil
	}
	var f protocol.ServerFrame
	if err := protocol.DecodeSSEEvent(protocol.SSEEvent{Name: string(name), Data: data}, &f); err != nil {
		return err
	}
	d.frame(&f)
	return nil
}
