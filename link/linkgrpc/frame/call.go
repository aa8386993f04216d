package frame

import (
	"slices"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"ramen/link"
	"ramen/protocol"
)

// The calls, and their answers.

// AppendPublish appends a batch, or a part of one: more says that it goes on in the next.
func AppendPublish(b []byte, id uint64, timeout time.Duration, batch []link.Publish, more bool) []byte {
	b, frame := startTimed(b, id, timeout)
	b, at := begin(b, protowire.Number(KindPublish))
	for i := range batch {
		p := &batch[i]
		var one int
		b, one = begin(b, 1)
		b = route(b, 1, p.Route)
		b = pairs(text(text(b, 2, p.User), 3, p.Device), 4, p.Where)
		if i == 0 || p.Message != batch[i-1].Message {
			b = message(b, 5, p.Message)
		}
		b = end(number(b, 6, p.TTLMS), one)
	}
	return end(end(boolean(b, 2, more), at), frame)
}

// Publish decodes the body of a KindPublish behind what is in batch.
func Publish(batch []link.Publish, b []byte, words *Words) (_ []link.Publish, more bool, err error) {
	w := fieldsOf(b)
	batch = slices.Grow(batch, w.count(1))
	var last *protocol.Message
	for w.Next() {
		switch w.Number {
		case 1:
			p := w.publish(words)
			if p.Message == nil {
				p.Message = last
			}
			w.wrong = w.wrong || p.Message == nil
			last = p.Message
			batch = append(batch, p)
		case 2:
			more = w.bool()
		}
	}
	return batch, more, w.err()
}

func (w *fields) publish(words *Words) (p link.Publish) {
	f := fieldsOf(w.bytes())
	for f.Next() {
		switch f.Number {
		case 1:
			p.Route = f.route()
		case 2:
			p.User = protocol.UserID(f.text())
		case 3:
			p.Device = protocol.DeviceID(f.text())
		case 4:
			f.pair(&p.Where)
		case 5:
			p.Message = f.message(words)
		case 6:
			p.TTLMS = f.i64()
		}
	}
	w.check(f.err())
	return p
}

// AppendResults appends the answer to a publish.
func AppendResults(b []byte, id uint64, results []link.Result) []byte {
	b, frame := start(b, id)
	b, at := begin(b, protowire.Number(KindResults))
	for i := range results {
		r := &results[i]
		var one int
		b, one = begin(b, 1)
		b = number(number(b, 1, r.Status), 2, r.Devices)
		if r.Err != nil {
			b = callError(b, 3, r.Err)
		}
		b = end(b, one)
	}
	return end(end(b, at), frame)
}

// Results decodes the body of a KindResults.
func Results(b []byte) (results []link.Result, err error) {
	w := fieldsOf(b)
	results = make([]link.Result, 0, w.count(1))
	for w.Next() {
		if w.Number != 1 {
			continue
		}
		var r link.Result
		f := fieldsOf(w.bytes())
		for f.Next() {
			switch f.Number {
			case 1:
				r.Status = link.Status(f.uint())
			case 2:
				r.Devices = f.int()
			case 3:
				r.Err = readError(f.bytes())
			}
		}
		w.check(f.err())
		results = append(results, r)
	}
	return results, w.err()
}

// AppendAck appends an ack beside the stream.
func AppendAck(b []byte, id uint64, timeout time.Duration, a *link.Ack) []byte {
	b, frame := startTimed(b, id, timeout)
	b, at := begin(b, protowire.Number(KindAck))
	b = text(text(route(b, 1, a.Route), 2, a.User), 3, a.Device)
	b = text(number(text(b, 4, a.Cursor), 5, a.Seq), 6, a.Name)
	return end(end(b, at), frame)
}

// Ack decodes the body of a KindAck.
func Ack(b []byte) (a link.Ack, err error) {
	w := fieldsOf(b)
	for w.Next() {
		switch w.Number {
		case 1:
			a.Route = w.route()
		case 2:
			a.User = protocol.UserID(w.text())
		case 3:
			a.Device = protocol.DeviceID(w.text())
		case 4:
			a.Cursor = w.text()
		case 5:
			a.Seq = protocol.Seq(w.uint())
		case 6:
			a.Name = w.text()
		}
	}
	return a, w.err()
}

// Mailbox is whose mailbox a call is about.
type Mailbox struct {
	link.Route
	User protocol.UserID
}

func mailbox(b []byte, field protowire.Number, m Mailbox) []byte {
	b, at := begin(b, field)
	return end(text(route(b, 1, m.Route), 2, m.User), at)
}

func readMailbox(b []byte) (m Mailbox, err error) {
	w := fieldsOf(b)
	for w.Next() {
		switch w.Number {
		case 1:
			m.Route = w.route()
		case 2:
			m.User = protocol.UserID(w.text())
		}
	}
	return m, w.err()
}

func (w *fields) mailbox() Mailbox {
	m, err := readMailbox(w.bytes())
	w.check(err)
	return m
}

// AppendDevices asks for the user's devices.
func AppendDevices(b []byte, id uint64, timeout time.Duration, m Mailbox) []byte {
	b, frame := startTimed(b, id, timeout)
	return end(mailbox(b, protowire.Number(KindDevices), m), frame)
}

// Devices decodes the body of a KindDevices.
func Devices(b []byte) (Mailbox, error) { return readMailbox(b) }

// AppendMessages asks for a page of the user's messages.
func AppendMessages(b []byte, id uint64, timeout time.Duration, m Mailbox, p link.Page) []byte {
	b, frame := startTimed(b, id, timeout)
	b, at := begin(b, protowire.Number(KindMessages))
	b = number(ref(mailbox(b, 1, m), 2, p.After), 3, p.Limit)
	return end(end(b, at), frame)
}

// Messages decodes the body of a KindMessages.
func Messages(b []byte) (m Mailbox, p link.Page, err error) {
	w := fieldsOf(b)
	for w.Next() {
		switch w.Number {
		case 1:
			m = w.mailbox()
		case 2:
			p.After = w.ref()
		case 3:
			p.Limit = w.int()
		}
	}
	return m, p, w.err()
}

// AppendRecall asks for a message to be taken back.
func AppendRecall(b []byte, id uint64, timeout time.Duration, m Mailbox, message protocol.MessageID) []byte {
	b, frame := startTimed(b, id, timeout)
	b, at := begin(b, protowire.Number(KindRecall))
	return end(end(text(mailbox(b, 1, m), 2, message), at), frame)
}

// Recall decodes the body of a KindRecall.
func Recall(b []byte) (m Mailbox, message protocol.MessageID, err error) {
	w := fieldsOf(b)
	for w.Next() {
		switch w.Number {
		case 1:
			m = w.mailbox()
		case 2:
			message = protocol.MessageID(w.text())
		}
	}
	return m, message, w.err()
}

// AppendDisconnect asks for the end of streams.
func AppendDisconnect(b []byte, id uint64, timeout time.Duration, m Mailbox, device protocol.DeviceID, detail string) []byte {
	b, frame := startTimed(b, id, timeout)
	b, at := begin(b, protowire.Number(KindDisconnect))
	return end(end(text(text(mailbox(b, 1, m), 2, device), 3, detail), at), frame)
}

// Disconnect decodes the body of a KindDisconnect.
func Disconnect(b []byte) (m Mailbox, device protocol.DeviceID, detail string, err error) {
	w := fieldsOf(b)
	for w.Next() {
		switch w.Number {
		case 1:
			m = w.mailbox()
		case 2:
			device = protocol.DeviceID(w.text())
		case 3:
			detail = w.text()
		}
	}
	return m, device, detail, w.err()
}

// AppendCancel says that nobody waits for the answer of a call any more.
func AppendCancel(b []byte, id uint64) []byte {
	b, frame := start(b, id)
	b, at := begin(b, protowire.Number(KindCancel))
	return end(end(b, at), frame)
}

// AppendDone appends the answer to a call that answers a number or nothing.
func AppendDone(b []byte, id uint64, n int) []byte {
	b, frame := start(b, id)
	return end(set(b, protowire.Number(KindDone), uint64(n)), frame)
}

// AppendError appends the answer to a call that was refused.
func AppendError(b []byte, id uint64, err error) []byte {
	b, frame := start(b, id)
	return end(callError(b, protowire.Number(KindError), err), frame)
}

// Error decodes the body of a KindError. It answers ErrMalformed where that is none.
func Error(b []byte) error { return readError(b) }
