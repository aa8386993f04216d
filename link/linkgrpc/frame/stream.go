package frame

import (
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"ramen/link"
	"ramen/protocol"
)

// The frames of streams, from a frontend.

// AppendOpen appends the open of the stream id.
func AppendOpen(b []byte, id uint64, timeout time.Duration, o *link.Open) []byte {
	b, frame := startTimed(b, id, timeout)
	b, at := begin(b, protowire.Number(KindOpen))
	b = route(b, 1, o.Route)
	b = text(text(b, 2, o.User), 3, o.Device)
	b = number(b, 4, o.Transport)
	b = deviceContext(b, 5, o.Context)
	b = text(b, 6, o.Cursor)
	b = number(boolean(b, 7, o.HasSeq), 8, o.Seq)
	b = number(text(b, 9, o.Name), 10, o.Window)
	b = streamNumber(b, 11, o.Number)
	b = text(b, 12, o.Acked)
	for i := range o.Sent {
		s := &o.Sent[i]
		var sent int
		b, sent = begin(b, 13)
		b = number(text(number(b, 1, s.Seq), 2, s.Cursor), 3, s.Priority)
		b = end(number(b, 4, s.Bytes), sent)
	}
	b = number(b, 14, o.Generation)
	return end(end(b, at), frame)
}

// Open decodes the body of a KindOpen.
func Open(b []byte) (o link.Open, err error) {
	w := fieldsOf(b)
	for w.Next() {
		switch w.Number {
		case 1:
			o.Route = w.route()
		case 2:
			o.User = protocol.UserID(w.text())
		case 3:
			o.Device = protocol.DeviceID(w.text())
		case 4:
			o.Transport = protocol.Transport(w.uint())
		case 5:
			o.Context = w.context()
		case 6:
			o.Cursor = w.text()
		case 7:
			o.HasSeq = w.bool()
		case 8:
			o.Seq = protocol.Seq(w.uint())
		case 9:
			o.Name = w.text()
		case 10:
			o.Window = w.int()
		case 11:
			o.Number = w.streamNumber()
		case 12:
			o.Acked = w.text()
		case 13:
			o.Sent = append(o.Sent, w.sent())
		case 14:
			o.Generation = link.Generation(w.u32())
		}
	}
	return o, w.err()
}

func (w *fields) sent() (s link.Sent) {
	f := fieldsOf(w.bytes())
	for f.Next() {
		switch f.Number {
		case 1:
			s.Seq = protocol.Seq(f.uint())
		case 2:
			s.Cursor = f.text()
		case 3:
			s.Priority = f.priority()
		case 4:
			s.Bytes = f.int()
		}
	}
	w.check(f.err())
	return s
}

// AppendCredit appends a stream's credit, in bytes.
func AppendCredit(b []byte, id uint64, bytes int) []byte {
	b, frame := start(b, id)
	return end(set(b, protowire.Number(KindCredit), uint64(bytes)), frame)
}

// AppendStreamAck appends what the device has acked on its stream.
func AppendStreamAck(b []byte, id uint64, seq protocol.Seq, cursor string) []byte {
	b, frame := start(b, id)
	b, at := begin(b, protowire.Number(KindStreamAck))
	b = text(number(b, 1, seq), 2, cursor)
	return end(end(b, at), frame)
}

// StreamAck decodes the body of a KindStreamAck.
func StreamAck(b []byte) (seq protocol.Seq, cursor string, err error) {
	w := fieldsOf(b)
	for w.Next() {
		switch w.Number {
		case 1:
			seq = protocol.Seq(w.uint())
		case 2:
			cursor = w.text()
		}
	}
	return seq, cursor, w.err()
}

// AppendRefresh appends a new context of the device; nil: it says nothing of itself.
func AppendRefresh(b []byte, id uint64, c *protocol.DeviceContext) []byte {
	b, frame := start(b, id)
	if c == nil {
		var at int
		b, at = begin(b, protowire.Number(KindRefresh))
		return end(end(boolean(b, contextAbsent, true), at), frame)
	}
	return end(deviceContext(b, protowire.Number(KindRefresh), c), frame)
}

// Refresh decodes the body of a KindRefresh.
func Refresh(b []byte) (*protocol.DeviceContext, error) { return readContext(b) }

// AppendMeasured appends the round trip of a heartbeat.
func AppendMeasured(b []byte, id uint64, ms uint32) []byte {
	b, frame := start(b, id)
	return end(set(b, protowire.Number(KindMeasured), uint64(ms)), frame)
}

// AppendClose appends that the frontend has ended the stream.
func AppendClose(b []byte, id uint64, reason protocol.Reason) []byte {
	b, frame := start(b, id)
	return end(set(b, protowire.Number(KindClose), uint64(reason)), frame)
}

// The frames of streams, from a gateway.

// AppendOpened appends the answer to an open.
func AppendOpened(b []byte, id uint64, o *link.Opened) []byte {
	b, frame := start(b, id)
	b, at := begin(b, protowire.Number(KindOpened))
	b = streamNumber(b, 1, o.Number)
	b = number(text(b, 2, o.Name), 3, o.Epoch)
	b = number(boolean(b, 4, o.Resumed), 5, o.Seq)
	b = text(number(b, 6, o.Expired), 7, o.Cursor)
	return end(end(boolean(b, 8, o.Pending), at), frame)
}

// Opened decodes the body of a KindOpened.
func Opened(b []byte) (o link.Opened, err error) {
	w := fieldsOf(b)
	for w.Next() {
		switch w.Number {
		case 1:
			o.Number = w.streamNumber()
		case 2:
			o.Name = w.text()
		case 3:
			o.Epoch = protocol.Epoch(w.uint())
		case 4:
			o.Resumed = w.bool()
		case 5:
			o.Seq = protocol.Seq(w.uint())
		case 6:
			o.Expired = w.u32()
		case 7:
			o.Cursor = w.text()
		case 8:
			o.Pending = w.bool()
		}
	}
	return o, w.err()
}

// AppendPushes appends a batch of pushes.
func AppendPushes(b []byte, id uint64, batch []protocol.Push, more bool) []byte {
	b, frame := start(b, id)
	b, at := begin(b, protowire.Number(KindPushes))
	for i := range batch {
		p := &batch[i]
		var push int
		b, push = begin(b, 1)
		b = boolean(text(number(b, 1, p.Seq), 2, p.Cursor), 3, p.Redelivered)
		b = end(message(b, 4, p.Message), push)
	}
	return end(end(boolean(b, 2, more), at), frame)
}

// Pushes decodes the body of a KindPushes behind what is in batch.
func Pushes(batch []protocol.Push, b []byte, words *Words) (_ []protocol.Push, more bool, err error) {
	w := fieldsOf(b)
	for w.Next() {
		switch w.Number {
		case 1:
			batch = append(batch, w.push(words))
		case 2:
			more = w.bool()
		}
	}
	return batch, more, w.err()
}

func (w *fields) push(words *Words) (p protocol.Push) {
	f := fieldsOf(w.bytes())
	for f.Next() {
		switch f.Number {
		case 1:
			p.Seq = protocol.Seq(f.uint())
		case 2:
			p.Cursor = f.text()
		case 3:
			p.Redelivered = f.bool()
		case 4:
			p.Message = f.message(words)
		}
	}
	w.check(f.err())
	w.wrong = w.wrong || p.Message == nil
	return p
}

// AppendAcked appends that the device acked by another way.
func AppendAcked(b []byte, id uint64, seq protocol.Seq) []byte {
	b, frame := start(b, id)
	return end(set(b, protowire.Number(KindAcked), uint64(seq)), frame)
}

// AppendClosed appends that the gateway has ended the stream.
func AppendClosed(b []byte, id uint64, reason protocol.Reason, detail string) []byte {
	b, frame := start(b, id)
	b, at := begin(b, protowire.Number(KindClosed))
	b = text(number(b, 1, reason), 2, detail)
	return end(end(b, at), frame)
}

// Closed decodes the body of a KindClosed.
func Closed(b []byte) (reason protocol.Reason, detail string, err error) {
	w := fieldsOf(b)
	for w.Next() {
		switch w.Number {
		case 1:
			reason = w.reason()
		case 2:
			detail = w.text()
		}
	}
	return reason, detail, w.err()
}

// AppendLost appends that the gateway does not serve the stream's shard any more.
func AppendLost(b []byte, id uint64, l link.Loss) []byte {
	b, frame := start(b, id)
	return end(loss(b, protowire.Number(KindLost), l), frame)
}

// Lost decodes the body of a KindLost.
func Lost(b []byte) (link.Loss, error) { return readLoss(b) }
