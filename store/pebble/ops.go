package pebble

import (
	"encoding/binary"
	"errors"
	"fmt"

	"ramen/protocol"
	"ramen/store"
	"ramen/store/codec"
)

// A group is written to the journal as a list of ops. An op begins with a byte that names it; ops about a mailbox come after
// the op that names the user. Each op has an effect, which the overlay applies: the writer of a group notes it beside the op, and
// Open reads it back out of the journal.
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

// ops writes the ops of one group, and notes the effect of each. It is guarded by committer.mu.
type ops struct {
	b       []byte
	effects []effect
	head    []byte // scratch; its content does not outlive a call
	shard   protocol.ShardID
	user    protocol.UserID // empty: none is named yet
}

// effect is what an op does to the overlay. It has no pointers, so that many of them cost the garbage collector nothing: it refers to the
// ops' bytes.
type effect struct {
	op       byte              // opClaim for opClaimV3, too
	priority protocol.Priority // opMessage, opDrop
	shard    protocol.ShardID  // opUser, opClaim
	at       protocol.Position // opMessage, opDrop; of opClaim the epoch alone
	ms       int64             // opTime: the time; opMessage: when it came
	name     span              // opUser: the user; opDevice, opRemove: the device; opMessage: the id; opClaim: the owner
	value    span              // opMessage, opDevice: the encoded value
}

func (e *effect) ref() store.Ref { return store.Ref{Priority: e.priority, Position: e.at} }

// span is a part of the ops' bytes, which are less than 4 GiB, as is a record of the journal.
type span struct{ from, to uint32 }

func (s span) of(b []byte) []byte { return b[s.from:s.to:s.to] }

// within is where s is, if it is a part of outer.
func (s span) within(outer span) span { return span{outer.from + s.from, outer.from + s.to} }

// tail is the last n bytes of b.
func tail(b []byte, n int) span { return span{uint32(len(b) - n), uint32(len(b))} }

func (o *ops) note(e effect) { o.effects = append(o.effects, e) }

func (o *ops) time(ms int64) {
	o.b = binary.BigEndian.AppendUint64(append(o.b, opTime), uint64(ms))
	o.user = ""
	o.note(effect{op: opTime, ms: ms})
}

// stamp sets the time that a group begins with.
func stamp(group []byte, effects []effect, ms int64) {
	binary.BigEndian.PutUint64(group[1:], uint64(ms))
	effects[0].ms = ms
}

// mailbox names the user whom the next ops are about.
func (o *ops) mailbox(shard protocol.ShardID, user protocol.UserID) {
	if o.user == user && o.shard == shard {
		return
	}
	o.shard, o.user = shard, user
	o.b = codec.AppendString(binary.BigEndian.AppendUint32(append(o.b, opUser), uint32(shard)), user)
	o.note(effect{op: opUser, shard: shard, name: tail(o.b, len(user))})
}

func (o *ops) message(e *store.Entry) {
	ref := store.Ref{Priority: e.Message.Priority, Position: e.Position}
	o.b = appendPlace(append(o.b, opMessage), ref)
	value, id := o.entry(e)
	o.note(effect{op: opMessage, priority: ref.Priority, at: ref.Position, ms: e.Message.CreatedMS, name: id, value: value})
}

// entry writes e's value, with its size before it.
func (o *ops) entry(e *store.Entry) (value, id span) {
	at := o.beginSized()
	o.b, o.head = codec.AppendEntry(o.b, e, o.head)
	value = o.endSized(at)
	from, to := codec.EntryIDAt(len(o.head), len(e.Message.ID))
	return value, span{uint32(from), uint32(to)}.within(value)
}

func (o *ops) drop(ref store.Ref) {
	o.b = appendPlace(append(o.b, opDrop), ref)
	o.note(effect{op: opDrop, priority: ref.Priority, at: ref.Position})
}

func (o *ops) device(d *store.DeviceSave) {
	op := byte(opDevice)
	if d.Remove {
		op = opRemove
	}
	o.b = codec.AppendString(append(o.b, op), d.Device.ID)
	e := effect{op: op, name: tail(o.b, len(d.Device.ID))}
	if !d.Remove {
		at := o.beginSized()
		o.b = codec.AppendDevice(o.b, &d.Device)
		e.value = o.endSized(at)
	}
	o.note(e)
}

func (o *ops) claim(shards []protocol.ShardID, epoch protocol.Epoch, owner string) {
	o.b = binary.BigEndian.AppendUint64(append(o.b, opClaim), uint64(epoch))
	o.b = codec.AppendString(o.b, owner)
	name := tail(o.b, len(owner))
	o.b = binary.AppendUvarint(o.b, uint64(len(shards)))
	for _, s := range shards {
		o.b = binary.BigEndian.AppendUint32(o.b, uint32(s))
		o.note(effect{op: opClaim, shard: s, at: protocol.Position{Epoch: epoch}, name: name})
	}
}

// beginSized leaves 4 bytes for the size of what is appended until endSized.
func (o *ops) beginSized() (at int) {
	o.b = append(o.b, 0, 0, 0, 0)
	return len(o.b)
}

func (o *ops) endSized(at int) span {
	binary.BigEndian.PutUint32(o.b[at-4:], uint32(len(o.b)-at))
	return tail(o.b, len(o.b)-at)
}

// opReader reads ops. The slices it returns alias the input. Once it has failed it returns zero values.
type opReader struct {
	b     []byte // what is left
	whole int    // bytes, before any was read
	err   error
}

func newOpReader(b []byte) opReader { return opReader{b: b, whole: len(b)} }

var errOps = errors.New("ops end early")

func (r *opReader) next(n int) []byte {
	if n > len(r.b) {
		r.b, r.err = nil, errOps
		return nil
	}
	v := r.b[:n:n]
	r.b = r.b[n:]
	return v
}

func (r *opReader) uint32() uint32 {
	if v := r.next(4); v != nil {
		return binary.BigEndian.Uint32(v)
	}
	return 0
}

func (r *opReader) uint64() uint64 {
	if v := r.next(8); v != nil {
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
	return r.next(int(n))
}

func (r *opReader) sized() []byte {
	n := r.uint32()
	if uint64(n) > uint64(len(r.b)) {
		r.b, r.err = nil, errOps
		return nil
	}
	return r.next(int(n))
}

func (r *opReader) place() (protocol.Priority, protocol.Position) {
	var ref store.Ref
	if place := r.next(placeSize); place != nil {
		if err := parsePlace(place, place, &ref); err != nil {
			r.b, r.err = nil, err
		}
	}
	return ref.Priority, ref.Position
}

// span returns where v is in the input; v is what was read last.
func (r *opReader) span(v []byte) span {
	end := r.whole - len(r.b)
	return span{uint32(end - len(v)), uint32(end)}
}

// readOps calls apply with the effect of each op in b, in order, up to the first that cannot be read.
func readOps(b []byte, apply func(*effect)) error {
	r := newOpReader(b)
	named := false // there is a user whom ops can be about
	for len(r.b) > 0 {
		op := r.b[0]
		r.b = r.b[1:]
		err := errUnnamed
		switch {
		case op == opClaim || op == opClaimV3:
			err = readClaim(&r, op == opClaim, apply)
		case op == opTime || op == opUser || named:
			named = op != opTime
			err = readOp(op, &r, apply)
		}
		if err != nil {
			return fmt.Errorf("op %q, %d bytes before the end: %w", op, len(r.b), err)
		}
	}
	return nil
}

var errUnnamed = errors.New("no user is named before it")

// readOp reads one op that is not a claim.
func readOp(op byte, r *opReader, apply func(*effect)) error {
	e := effect{op: op}
	switch op {
	case opTime:
		e.ms = int64(r.uint64())
	case opUser:
		e.shard = protocol.ShardID(r.uint32())
		user := r.bytes()
		e.name = r.span(user)
		if r.err == nil {
			r.err = checkUser(user)
		}
	case opMessage:
		e.priority, e.at = r.place()
		value := r.sized()
		e.value = r.span(value)
		if r.err == nil {
			r.err = e.readID(value)
		}
	case opDrop:
		e.priority, e.at = r.place()
	case opDevice:
		e.name = r.span(r.bytes())
		e.value = r.span(r.sized())
	case opRemove:
		e.name = r.span(r.bytes())
	default:
		return errors.New("no such op")
	}
	if r.err == nil {
		apply(&e)
	}
	return r.err
}

// readID takes the id and the time of acceptance from the entry's value.
func (e *effect) readID(value []byte) error {
	from, to, acceptedMS, err := codec.EntryID(value)
	if err != nil {
		return err
	}
	e.ms, e.name = acceptedMS, span{uint32(from), uint32(to)}.within(e.value)
	return nil
}

func readClaim(r *opReader, owned bool, apply func(*effect)) error {
	e := effect{op: opClaim, at: protocol.Position{Epoch: protocol.Epoch(r.uint64())}}
	if owned {
		e.name = r.span(r.bytes())
	}
	n := r.uvarint()
	if r.err == nil && n > uint64(len(r.b))/4 {
		r.err = errOps
	}
	for ; n > 0 && r.err == nil; n-- {
		e.shard = protocol.ShardID(r.uint32())
		apply(&e)
	}
	return r.err
}
