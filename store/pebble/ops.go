package pebble

import (
	"encoding/binary"
	"errors"
	"fmt"

	"ramen/protocol"
	"ramen/store"
	"ramen/store/codec"
)

// A group is written to the journal as a list of ops, and takes effect by the list being read again: now, and by the next
// Open. Each begins with a byte that names it; what is to be done to a mailbox is behind the op that names the user.
//
//	't' ms:8                                       when the last of the ops behind it was handed over; the first of a group
//	'u' shard:4 length user                        whose mailbox the ops behind it are about
//	'm' lane epoch:8 µs:8 size:4 value             an entry, and its id
//	'x' lane epoch:8 µs:8                          an entry goes
//	'd' length device size:4 value                 a device's record
//	'r' length device                              a device's record goes
//	'o' epoch:8 length owner count (shard:4)...    shards are claimed
//	'c' epoch:8 count (shard:4)...                 the same before format 4, of an owner that is not known
const (
	opTime    = 't'
	opUser    = 'u'
	opMessage = 'm'
	opDrop    = 'x'
	opDevice  = 'd'
	opRemove  = 'r'
	opClaim   = 'o'
	opClaimV3 = 'c'
)

// ops writes the ops of one group. It is used with the queue held only (committer.join).
type ops struct {
	b     []byte
	head  []byte // scratch; its content does not outlive a call
	shard protocol.ShardID
	user  protocol.UserID // empty: none is named yet
}

func (o *ops) time(ms int64) {
	o.b = binary.BigEndian.AppendUint64(append(o.b, opTime), uint64(ms))
	o.user = ""
}

// stamp sets the time that a group begins with.
func stamp(group []byte, ms int64) { binary.BigEndian.PutUint64(group[1:], uint64(ms)) }

// mailbox names whose the next ops are.
func (o *ops) mailbox(shard protocol.ShardID, user protocol.UserID) {
	if o.user == user && o.shard == shard {
		return
	}
	o.shard, o.user = shard, user
	o.b = codec.AppendString(binary.BigEndian.AppendUint32(append(o.b, opUser), uint32(shard)), user)
}

func (o *ops) message(e *store.Entry) {
	o.b = appendPlace(append(o.b, opMessage), store.Ref{Priority: e.Message.Priority, Position: e.Position})
	o.sized(func(b []byte) []byte {
		b, o.head = codec.AppendEntry(b, e, o.head)
		return b
	})
}

func (o *ops) drop(ref store.Ref) { o.b = appendPlace(append(o.b, opDrop), ref) }

func (o *ops) device(d *store.DeviceSave) {
	if d.Remove {
		o.b = codec.AppendString(append(o.b, opRemove), d.Device.ID)
		return
	}
	o.b = codec.AppendString(append(o.b, opDevice), d.Device.ID)
	o.sized(func(b []byte) []byte { return codec.AppendDevice(b, &d.Device) })
}

func (o *ops) claim(shards []protocol.ShardID, epoch protocol.Epoch, owner string) {
	o.b = binary.BigEndian.AppendUint64(append(o.b, opClaim), uint64(epoch))
	o.b = codec.AppendString(o.b, owner)
	o.b = binary.AppendUvarint(o.b, uint64(len(shards)))
	for _, s := range shards {
		o.b = binary.BigEndian.AppendUint32(o.b, uint32(s))
	}
}

// sized adds what add appends, with its size before it.
func (o *ops) sized(add func([]byte) []byte) {
	at := len(o.b)
	o.b = add(append(o.b, 0, 0, 0, 0))
	binary.BigEndian.PutUint32(o.b[at:], uint32(len(o.b)-at-4))
}

// opReader reads ops; what it answers aliases what it reads.
type opReader struct {
	b   []byte
	err error
}

var errOps = errors.New("ops end early")

func (r *opReader) take(n int) []byte {
	if n > len(r.b) {
		r.b, r.err = nil, errOps
		return nil
	}
	v := r.b[:n:n]
	r.b = r.b[n:]
	return v
}

func (r *opReader) uint32() uint32 {
	if v := r.take(4); v != nil {
		return binary.BigEndian.Uint32(v)
	}
	return 0
}

func (r *opReader) uint64() uint64 {
	if v := r.take(8); v != nil {
		return binary.BigEndian.Uint64(v)
	}
	return 0
}

func (r *opReader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 || n != codec.UvarintLen(v) {
		r.b, r.err = nil, errOps
		return 0
	}
	r.b = r.b[n:]
	return v
}

// bytes reads what codec.AppendString has written.
func (r *opReader) bytes() []byte {
	n := r.uvarint()
	if n > uint64(len(r.b)) {
		r.b, r.err = nil, errOps
		return nil
	}
	return r.take(int(n))
}

func (r *opReader) sized() []byte {
	n := r.uint32()
	if uint64(n) > uint64(len(r.b)) {
		r.b, r.err = nil, errOps
		return nil
	}
	return r.take(int(n))
}

func (r *opReader) ref() (ref store.Ref) {
	place := r.take(placeSize)
	if place == nil {
		return ref
	}
	if err := parsePlace(place, place, &ref); err != nil {
		r.b, r.err = nil, err
	}
	return ref
}

// opHandler is what ops are read for. A slice is the handler's to keep where what was read is not changed any more.
type opHandler interface {
	at(ms int64)
	mailbox(shard protocol.ShardID, user []byte)
	message(ref store.Ref, value []byte) error
	drop(ref store.Ref)
	device(id, value []byte)
	remove(id []byte)
	claim(shard protocol.ShardID, at store.FencedError)
}

// readOps hands each of b to h, in order. After an error some were handed over.
func readOps(b []byte, h opHandler) error {
	r := opReader{b: b}
	named := false
	for len(r.b) > 0 {
		op := r.b[0]
		r.b = r.b[1:]
		if err := readOp(op, &r, h, &named); err != nil {
			return fmt.Errorf("op %q, %d bytes before the end: %w", op, len(r.b), err)
		}
	}
	return nil
}

// readOp reads one op; named says whether there is a user that it may be about.
func readOp(op byte, r *opReader, h opHandler, named *bool) error {
	switch op {
	case opTime:
		if ms := r.uint64(); r.err == nil {
			h.at(int64(ms))
			*named = false
		}
		return r.err
	case opUser:
		shard, user := protocol.ShardID(r.uint32()), r.bytes()
		if r.err == nil {
			r.err = checkUser(user)
		}
		if r.err == nil {
			h.mailbox(shard, user)
			*named = true
		}
		return r.err
	case opClaim, opClaimV3:
		return readClaim(r, h, op == opClaim)
	}
	if !*named {
		return errors.New("no user is named before it")
	}
	switch op {
	case opMessage:
		ref, value := r.ref(), r.sized()
		if r.err == nil {
			return h.message(ref, value)
		}
	case opDrop:
		if ref := r.ref(); r.err == nil {
			h.drop(ref)
		}
	case opDevice:
		id, value := r.bytes(), r.sized()
		if r.err == nil {
			h.device(id, value)
		}
	case opRemove:
		if id := r.bytes(); r.err == nil {
			h.remove(id)
		}
	default:
		return errors.New("no such op")
	}
	return r.err
}

func readClaim(r *opReader, h opHandler, owned bool) error {
	at := store.FencedError{Epoch: protocol.Epoch(r.uint64())}
	if owned {
		at.Owner = string(r.bytes())
	}
	n := r.uvarint()
	if r.err == nil && n > uint64(len(r.b))/4 {
		r.err = errOps
	}
	for ; n > 0 && r.err == nil; n-- {
		h.claim(protocol.ShardID(r.uint32()), at)
	}
	return r.err
}
