package cassandra

import (
	"encoding/binary"
	"fmt"
	"slices"

	"ramen/protocol"
	"ramen/store"
	"ramen/store/codec"
)

// The items of a user's partition (numbers big-endian, so that they sort), and their values, each with a sealed head:
//
//	'b' [priority]                    floor: below which position nothing is needed any more, of each lane, or of one
//	'd' device                        the device, as package codec writes it
//	'i' epoch:8 slot:8 priority       index: the bucket has entries or kills of that priority; expires ms:8  first ms:8  first µs:8
//	'x' epoch:8 slot:8 nonce:8        what was forgotten of a bucket: number (priority position)...
const (
	itemFloor     = 'b'
	itemDevice    = 'd'
	itemIndex     = 'i'
	itemForgotten = 'x'

	itemVersion = 1
)

// bucket is one partition of a user's messages: what one owner's epoch has written in one slot of time.
type bucket struct {
	epoch protocol.Epoch
	slot  uint64 // µs of positions, divided by the length of a slot
}

func (b bucket) less(o bucket) bool {
	return b.epoch < o.epoch || b.epoch == o.epoch && b.slot < o.slot
}

func (b bucket) append(to []byte) []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(to, uint64(b.epoch)), b.slot)
}

// indexed is an index item: its bucket may have something of a priority.
type indexed struct {
	bucket
	priority    protocol.Priority
	expiresMS   int64  // Unix ms: nothing in it lives longer
	firstMS     int64  // Unix ms: when the first step was written, as far as its writer knew
	firstMicros uint64 // the position of that
}

func (x *indexed) item() []byte {
	return append(x.bucket.append([]byte{itemIndex}), byte(x.priority))
}

func (x *indexed) value() []byte {
	b := make([]byte, sealed, sealed+24)
	b = binary.BigEndian.AppendUint64(b, uint64(x.expiresMS))
	b = binary.BigEndian.AppendUint64(b, uint64(x.firstMS))
	b = binary.BigEndian.AppendUint64(b, x.firstMicros)
	return seal(b, itemVersion)
}

func decodeIndexed(item, value []byte) (x indexed, err error) {
	if len(item) != 18 {
		return x, &damageError{"index", fmt.Errorf("item of %d bytes", len(item))}
	}
	x.epoch, x.slot = protocol.Epoch(binary.BigEndian.Uint64(item[1:])), binary.BigEndian.Uint64(item[9:])
	x.priority = protocol.Priority(item[17])
	r, err := unseal(value, itemVersion)
	if err != nil {
		return x, &damageError{"index", err}
	}
	x.expiresMS, x.firstMS, x.firstMicros = int64(r.uint64()), int64(r.uint64()), r.uint64()
	if err := r.end(); err != nil || !known(x.priority) {
		return x, &damageError{"index", fmt.Errorf("priority %d: %w", x.priority, err)}
	}
	return x, nil
}

// floorItems is what is written of floors, a lane; zero: it is not known. Mostly all are.
func floorItems(p protocol.Positions) (items, values [][]byte) {
	if !slices.ContainsFunc(p[:], protocol.Position.IsZero) {
		return [][]byte{{itemFloor}}, [][]byte{encodeFloor(p[:]...)}
	}
	for i, at := range p {
		if !at.IsZero() {
			items, values = append(items, []byte{itemFloor, byte(protocol.LanePriority(i))}), append(values, encodeFloor(at))
		}
	}
	return items, values
}

func encodeFloor(p ...protocol.Position) []byte {
	b := make([]byte, sealed, sealed+64)
	for _, at := range p {
		b = appendPosition(b, at)
	}
	return seal(b, itemVersion)
}

// raiseFloor reads a floor item into p.
func raiseFloor(p *protocol.Positions, item, value []byte) error {
	r, err := unseal(value, itemVersion)
	if err != nil {
		return &damageError{"floor", err}
	}
	from, to := 0, len(p)
	if len(item) == 2 && known(protocol.Priority(item[1])) {
		from = protocol.Priority(item[1]).Lane()
		to = from + 1
	}
	for i := from; i < to; i++ {
		p[i] = later(p[i], r.position())
	}
	if err := r.end(); err != nil {
		return &damageError{"floor", err}
	}
	return nil
}

func encodeRefs(refs []store.Ref) []byte {
	b := binary.AppendUvarint(make([]byte, sealed, sealed+8+24*len(refs)), uint64(len(refs)))
	for _, ref := range refs {
		b = appendRef(b, ref)
	}
	return seal(b, itemVersion)
}

func decodeRefs(value []byte) (refs []store.Ref, err error) {
	r, err := unseal(value, itemVersion)
	if err != nil {
		return nil, &damageError{"list of what was forgotten", err}
	}
	for range r.count(3) {
		refs = append(refs, r.ref())
	}
	if err := r.end(); err != nil {
		return nil, &damageError{"list of what was forgotten", err}
	}
	return refs, nil
}

func deviceItem(id protocol.DeviceID) []byte { return append([]byte{itemDevice}, id...) }

func encodeDevice(d *store.Device) []byte {
	return seal(codec.AppendDevice(make([]byte, sealed, 160), d), itemVersion)
}

func decodeDevice(item, value []byte) (store.Device, error) {
	r, err := unseal(value, itemVersion)
	if err != nil {
		return store.Device{}, &damageError{"device", err}
	}
	d, err := codec.DecodeDevice(item[1:], r.b)
	if err != nil {
		return store.Device{}, &damageError{"device", err}
	}
	return d, nil
}
