package codec

import (
	"encoding/binary"
	"fmt"
	"math"

	"ramen/protocol"
	"ramen/store"
)

// A device's value: version, last seen ms:8, flags, transport, expired, the acked and the pushed cursor (seq, then epoch
// and µs a lane), and where the flag says so the context. The device's id is the key's.
const (
	deviceVersion = 1
	deviceFixed   = 1 + 8

	flagGreeted = 1 << 0
	flagContext = 1 << 1
	flagLive    = 1 << 2
	flagsKnown  = flagGreeted | flagContext | flagLive
)

// AppendDevice appends the value of d to b.
func AppendDevice(b []byte, d *store.Device) []byte {
	b = binary.BigEndian.AppendUint64(append(b, deviceVersion), uint64(d.LastSeenMS))
	flags := byte(0)
	if d.Greeted {
		flags |= flagGreeted
	}
	if d.Context != nil {
		flags |= flagContext
	}
	if d.Live {
		flags |= flagLive
	}
	b = append(b, flags, byte(d.Transport))
	b = binary.AppendUvarint(b, uint64(d.Expired))
	b = appendCursor(appendCursor(b, &d.Acked), &d.Pushed)
	if c := d.Context; c != nil {
		for _, s := range [...]string{c.App, c.AppVersion, c.OS, c.OSVersion, c.Model, c.Locale} {
			b = AppendString(b, s)
		}
		b = appendMap(b, c.Labels)
	}
	return b
}

func appendCursor(b []byte, c *protocol.Cursor) []byte {
	b = binary.AppendUvarint(b, uint64(c.Seq))
	for _, p := range c.At {
		b = binary.AppendUvarint(b, uint64(p.Epoch))
		b = binary.AppendUvarint(b, p.Micros)
	}
	return b
}

// DeviceSeen reads the time alone.
func DeviceSeen(value []byte) (ms int64, ok bool) {
	if len(value) < deviceFixed || value[0] != deviceVersion {
		return 0, false
	}
	return int64(binary.BigEndian.Uint64(value[1:])), true
}

// DecodeDevice reads a row; nothing of the answer shares memory with id or value.
func DecodeDevice(id, value []byte) (store.Device, error) {
	d := store.Device{ID: protocol.DeviceID(id)}
	seen, ok := DeviceSeen(value)
	if !ok {
		return d, fmt.Errorf("value of %d bytes is not a device of version %d", len(value), deviceVersion)
	}
	d.LastSeenMS = seen
	v := values{s: string(value[deviceFixed:])}
	flags := v.byte()
	if flags&^flagsKnown != 0 {
		v.fail("unknown flags %#x", flags)
	}
	d.Greeted = flags&flagGreeted != 0
	d.Live = flags&flagLive != 0
	d.Transport = protocol.Transport(v.byte())
	expired := v.uvarint()
	if expired > math.MaxUint32 {
		v.fail("expired count %d", expired)
	}
	d.Expired = uint32(expired)
	d.Acked, d.Pushed = v.cursor(), v.cursor()
	if flags&flagContext != 0 {
		d.Context = v.context()
	}
	return d, v.end()
}

func (v *values) cursor() protocol.Cursor {
	c := protocol.Cursor{Seq: protocol.Seq(v.uvarint())}
	for i := range c.At {
		c.At[i] = protocol.Position{Epoch: protocol.Epoch(v.uvarint()), Micros: v.uvarint()}
	}
	return c
}

func (v *values) context() *protocol.DeviceContext {
	c := &protocol.DeviceContext{}
	for _, s := range [...]*string{&c.App, &c.AppVersion, &c.OS, &c.OSVersion, &c.Model, &c.Locale} {
		*s = v.string()
	}
	c.Labels = v.pairs()
	return c
}
