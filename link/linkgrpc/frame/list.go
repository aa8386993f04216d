package frame

import (
	"google.golang.org/protobuf/encoding/protowire"

	"ramen/link"
	"ramen/protocol"
)

// AppendDeviceList appends the answer to KindDevices.
func AppendDeviceList(b []byte, id uint64, devices []link.Device) []byte {
	b, frame := start(b, id)
	b, at := begin(b, protowire.Number(KindDeviceList))
	for i := range devices {
		d := &devices[i]
		var one int
		b, one = begin(b, 1)
		b = number(boolean(text(b, 1, d.ID), 2, d.Online), 3, d.Transport)
		b = number(number(deviceContext(b, 4, d.Context), 5, d.ConnectedMS), 6, d.LastSeenMS)
		b = number(number(number(b, 7, d.Pending), 8, d.Unacked), 9, d.RTTMS)
		b = end(b, one)
	}
	return end(end(b, at), frame)
}

// DeviceList decodes the body of a KindDeviceList.
func DeviceList(b []byte) (devices []link.Device, err error) {
	w := fieldsOf(b)
	for w.Next() {
		if w.Number == 1 {
			devices = append(devices, w.device())
		}
	}
	return devices, w.err()
}

func (w *fields) device() (d link.Device) {
	f := fieldsOf(w.bytes())
	for f.Next() {
		switch f.Number {
		case 1:
			d.ID = protocol.DeviceID(f.text())
		case 2:
			d.Online = f.bool()
		case 3:
			d.Transport = protocol.Transport(f.uint())
		case 4:
			d.Context = f.context()
		case 5:
			d.ConnectedMS = f.i64()
		case 6:
			d.LastSeenMS = f.i64()
		case 7:
			d.Pending = f.int()
		case 8:
			d.Unacked = f.int()
		case 9:
			d.RTTMS = f.u32()
		}
	}
	w.check(f.err())
	return d
}

// AppendMessagePage appends the answer to KindMessages.
func AppendMessagePage(b []byte, id uint64, p *link.MessagePage) []byte {
	b, frame := start(b, id)
	b, at := begin(b, protowire.Number(KindMessagePage))
	for _, m := range p.Messages {
		b = message(b, 1, m)
	}
	return end(end(ref(b, 2, p.Next), at), frame)
}

// MessagePage decodes the body of a KindMessagePage.
func MessagePage(b []byte) (p link.MessagePage, err error) {
	w := fieldsOf(b)
	for w.Next() {
		switch w.Number {
		case 1:
			p.Messages = append(p.Messages, w.message(nil))
		case 2:
			p.Next = w.ref()
		}
	}
	return p, w.err()
}

func ref(b []byte, field protowire.Number, r link.Ref) []byte {
	if r == (link.Ref{}) {
		return b
	}
	b, at := begin(b, field)
	b = number(b, 1, r.Priority)
	b, position := begin(b, 2)
	b = end(number(number(b, 1, r.Position.Epoch), 2, r.Position.Micros), position)
	return end(b, at)
}

func (w *fields) ref() (r link.Ref) {
	f := fieldsOf(w.bytes())
	for f.Next() {
		switch f.Number {
		case 1:
			r.Priority = f.priority()
		case 2:
			p := fieldsOf(f.bytes())
			for p.Next() {
				switch p.Number {
				case 1:
					r.Position.Epoch = protocol.Epoch(p.uint())
				case 2:
					r.Position.Micros = p.uint()
				}
			}
			f.check(p.err())
		}
	}
	w.check(f.err())
	return r
}
