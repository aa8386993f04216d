package protocol

import (
	"strconv"
)

// The text frames of devices. SPEC 6.2.

// AppendJSONDeviceFrame appends the text frame of f. A heartbeat's echo is the empty frame. An open has no text form,
// for it is the request's query: it becomes {}, which a server ignores, as nothing at all does.
func AppendJSONDeviceFrame(b []byte, f *DeviceFrame) []byte {
	switch f.Kind {
	case FrameHeartbeat:
		return b
	case FrameAck:
		if f.Cursor != "" {
			b = append(b, `{"ack":{"cursor":`...)
			b = appendJSONString(b, f.Cursor)
		} else {
			b = append(b, ackSeqPrefix...)
			b = strconv.AppendUint(b, uint64(f.Seq), 10)
		}
		return append(b, '}', '}')
	case FrameRefresh:
		b = append(b, `{"refresh":{`...)
		first := len(b)
		if f.Token != "" {
			b = appendMemberName(b, first, "token")
			b = appendJSONString(b, f.Token)
		}
		if f.Context != nil {
			b = appendMemberName(b, first, "context")
			b = AppendJSONContext(b, f.Context)
		}
		return append(b, '}', '}')
	}
	return append(b, '{', '}')
}

// AppendJSONContext appends a device's context as a JSON object. What is empty is absent.
func AppendJSONContext(b []byte, c *DeviceContext) []byte {
	b = append(b, '{')
	first := len(b)
	for _, m := range [...]struct{ name, value string }{
		{"app", c.App}, {"app_version", c.AppVersion}, {"os", c.OS}, {"os_version", c.OSVersion}, {"model", c.Model}, {"locale", c.Locale},
	} {
		if m.value == "" {
			continue
		}
		b = appendMemberName(b, first, m.name)
		b = appendJSONString(b, m.value)
	}
	if len(c.Labels) != 0 {
		b = appendMemberName(b, first, "labels")
		b = appendJSONMap(b, c.Labels)
	}
	return append(b, '}')
}

// appendMemberName appends a member's name and colon, after a comma unless it is the first, whose place is first.
func appendMemberName(b []byte, first int, name string) []byte {
	if len(b) > first {
		b = append(b, ',')
	}
	b = append(b, '"')
	b = append(b, name...)
	return append(b, '"', ':')
}

// DecodeJSONDeviceFrame reads a text frame of a device into f. The empty frame is the echo of a heartbeat; frames and
// fields that it does not know are ignored. The error is a *FrameError where the frame breaks the contract, an *Error
// where it holds a bad value; f is then not to be used. The usual acks allocate no more than the text of a cursor.
func DecodeJSONDeviceFrame(b []byte, f *DeviceFrame) error {
	*f = DeviceFrame{}
	if len(b) == 0 {
		f.Kind = FrameHeartbeat
		return nil
	}
	if decodeAck(b, f) {
		return nil
	}
	w := newJSONFrameWalk(b)
	hasSeq := false
	w.open('{')
	for name, ok := w.member(); ok; name, ok = w.member() {
		switch string(name) {
		case "ack":
			if w.become(f, FrameAck) {
				hasSeq = w.ack(f)
			}
		case "refresh":
			if w.become(f, FrameRefresh) {
				w.refresh(f)
			}
		default:
			w.value()
		}
	}
	if err := w.end(); err != nil {
		return err
	}
	return checkDeviceFrame(f, hasSeq)
}

// checkDeviceFrame judges the values of a frame that is well formed.
func checkDeviceFrame(f *DeviceFrame, hasSeq bool) error {
	switch f.Kind {
	case FrameAck:
		if f.Cursor != "" {
			return CheckCursor(f.Cursor)
		}
		if !hasSeq {
			return Invalidf("ack has neither seq nor cursor: give one of them")
		}
	case FrameRefresh:
		return CheckContext(f.Context)
	case FrameOpen:
		if f.Open.Cursor != "" {
			if err := CheckCursor(f.Open.Cursor); err != nil {
				return err
			}
		}
		return CheckContext(f.Open.Context)
	}
	return nil
}

const (
	ackSeqPrefix    = `{"ack":{"seq":`
	ackCursorPrefix = `{"ack":{"cursor":"`
)

// decodeAck reads an ack that is written as AppendJSONDeviceFrame does, and as JSON.stringify. Anything else, right or
// wrong, it leaves to the reader.
func decodeAck(b []byte, f *DeviceFrame) bool {
	switch {
	case len(b) > len(ackSeqPrefix)+2 && string(b[:len(ackSeqPrefix)]) == ackSeqPrefix && string(b[len(b)-2:]) == `}}`:
		seq, ok := parseSeq(b[len(ackSeqPrefix) : len(b)-2])
		if !ok {
			return false
		}
		f.Kind, f.Seq = FrameAck, seq
		return true
	case len(b) > len(ackCursorPrefix)+3 && string(b[:len(ackCursorPrefix)]) == ackCursorPrefix && string(b[len(b)-3:]) == `"}}`:
		cursor := string(b[len(ackCursorPrefix) : len(b)-3])
		if !ValidCursor(cursor) {
			return false
		}
		f.Kind, f.Cursor = FrameAck, cursor
		return true
	}
	return false
}

// parseSeq reads 1 to 19 digits as JSON writes them: they cannot overflow.
func parseSeq(b []byte) (Seq, bool) {
	if len(b) == 0 || len(b) > 19 || b[0] == '0' && len(b) > 1 {
		return 0, false
	}
	var v Seq
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		v = 10*v + Seq(c-'0')
	}
	return v, true
}
