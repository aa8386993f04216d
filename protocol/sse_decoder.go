package protocol

import (
	"bytes"
	"errors"
	"strconv"
)

// SSEEvent is one event of an SSE stream. Data is valid only during the call that hands it over.
type SSEEvent struct {
	Name    string // empty: the default type, message
	ID      string // the last id: of the stream, this event's or an earlier one's
	Data    []byte
	RetryMS int // the last retry: of the stream, in ms; 0: none came yet
}

// ErrEventTooLong is an SSE event over the decoder's limit.
var ErrEventTooLong = errors.New("protocol: SSE event is too long")

// defaultMaxEvent holds the largest push: 1 MiB of payload, which base64 or escapes make longer.
const defaultMaxEvent = 8 << 20

// keptBuffer is the most that an idle decoder keeps of a buffer, in bytes.
const keptBuffer = 16 << 10

// SSEDecoder reads an SSE stream as it comes, by the rules of the HTML standard (9.2.6). The zero value is ready. After
// an error it is not to be used again.
type SSEDecoder struct {
	MaxEvent int // bytes of one event; 0: 8 MiB

	line    []byte // the begin of a line whose end has not come
	data    []byte // the data of the event so far, a line end behind each line
	name    string
	id      string
	retryMS int
	begun   bool // the byte order mark, if any, is behind
	afterCR bool // an LF that comes next ends no further line
}

// Feed reads the next bytes of the stream and calls on for each event that they complete. An error of on ends it.
func (d *SSEDecoder) Feed(b []byte, on func(SSEEvent) error) error {
	if d.afterCR && len(b) > 0 {
		if d.afterCR = false; b[0] == '\n' {
			b = b[1:]
		}
	}
	lf, none := -1, false // the place of the next LF in b, looked for once a line; whether there is none
	for len(b) > 0 {
		if lf < 0 && !none {
			lf = bytes.IndexByte(b, '\n')
			none = lf < 0
		}
		end := lf
		if none {
			end = len(b)
		}
		if cr := bytes.IndexByte(b[:end], '\r'); cr >= 0 {
			end = cr
		}
		if end == len(b) {
			return d.keep(b)
		}
		if err := d.endLine(b[:end], on); err != nil {
			return err
		}
		next := end + 1
		if b[end] == '\r' {
			if next == len(b) {
				d.afterCR = true
			} else if b[next] == '\n' {
				next++
			}
		}
		b = b[next:]
		lf -= next
	}
	return nil
}

// keep keeps the begin of a line.
func (d *SSEDecoder) keep(b []byte) error {
	if err := d.room(len(b)); err != nil {
		return err
	}
	d.line = append(d.line, b...)
	return nil
}

// room is nil where n more bytes of the event are allowed.
func (d *SSEDecoder) room(n int) error {
	most := d.MaxEvent
	if most == 0 {
		most = defaultMaxEvent
	}
	if len(d.line)+len(d.data)+n > most {
		return ErrEventTooLong
	}
	return nil
}

// endLine reads a line, of which rest has just come.
func (d *SSEDecoder) endLine(rest []byte, on func(SSEEvent) error) error {
	if err := d.room(len(rest)); err != nil {
		return err
	}
	line := rest
	if len(d.line) > 0 {
		d.line = append(d.line, rest...)
		line = d.line
		defer func() { d.line = spare(d.line) }()
	}
	if !d.begun {
		d.begun = true
		line = bytes.TrimPrefix(line, []byte("\uFEFF"))
	}
	if len(line) == 0 {
		return d.dispatch(on)
	}
	d.field(line)
	return nil
}

// field takes a line that is not empty. What it does not know, comments too, it drops.
func (d *SSEDecoder) field(line []byte) {
	name, value, _ := bytes.Cut(line, []byte(":"))
	if len(value) > 0 && value[0] == ' ' {
		value = value[1:]
	}
	switch string(name) {
	case "data":
		d.data = append(append(d.data, value...), '\n')
	case "event":
		d.name = eventName(value)
	case "id":
		if string(value) != d.id && bytes.IndexByte(value, 0) < 0 {
			d.id = string(value)
		}
	case "retry":
		if ms, err := strconv.ParseUint(string(value), 10, 31); err == nil {
			d.retryMS = int(ms)
		}
	}
}

// eventName is the text of b, without an allocation where it is a name that RAMEN knows.
func eventName(b []byte) string {
	for _, known := range [...]string{eventHello, eventGoAway, eventHeartbeat, eventMessage} {
		if string(b) == known {
			return known
		}
	}
	return string(b)
}

// dispatch hands over the event that an empty line ends. Without data there is none: a heartbeat, say.
func (d *SSEDecoder) dispatch(on func(SSEEvent) error) error {
	name, data := d.name, d.data
	d.name = ""
	if len(data) == 0 {
		return nil
	}
	d.data = spare(data)
	return on(SSEEvent{Name: name, ID: d.id, Data: data[:len(data)-1], RetryMS: d.retryMS})
}

// spare is b emptied, or nothing where keeping it would cost an idle stream too much.
func spare(b []byte) []byte {
	if cap(b) > keptBuffer {
		return nil
	}
	return b[:0]
}

// The events of SPEC 5.1, 5.2, 5.3.
const (
	eventHello     = "hello"
	eventGoAway    = "goaway"
	eventHeartbeat = "heartbeat"
	eventMessage   = "message" // the default type
)

// DecodeSSEEvent reads an event into f, which keeps no part of its data. An event of another name is ServerNone. The
// error is a *FrameError.
func DecodeSSEEvent(ev SSEEvent, f *ServerFrame) error {
	*f = ServerFrame{}
	switch ev.Name {
	case eventHello:
		var h jsonHello
		if err := unmarshal(ev.Data, &h); err != nil {
			return err
		}
		f.Kind, f.Hello = ServerHello, Hello(h)
		f.Hello.Cursor = ev.ID
	case "", eventMessage:
		var p jsonPush
		if err := unmarshal(ev.Data, &p); err != nil {
			return err
		}
		f.Kind, f.Push = ServerPush, p.push()
		f.Push.Cursor = ev.ID
	case eventGoAway:
		var g jsonGoAway
		if err := unmarshal(ev.Data, &g); err != nil {
			return err
		}
		f.Kind, f.GoAway = ServerGoAway, g.goAway()
	case eventHeartbeat:
		f.Kind = ServerHeartbeat
	}
	return nil
}
