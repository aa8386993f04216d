package cassandra

import (
	"encoding/binary"
	"fmt"

	"ramen/protocol"
	"ramen/store"
	"ramen/store/codec"
)

// A step is one row: what an Append adds, and what it kills.
//
//	sealed head   number of entries   (priority  position  size:4  entry)...   number of kills   (priority  position)...
//
// An entry is as package codec writes it.
const stepVersion = 1

// step is a row of messages as it was read.
type step struct {
	entries   []store.Entry
	kills     []store.Ref
	writtenMS int64 // Unix ms; 0: not known
}

// checkStep refuses what is no step.
func checkStep(a *store.Append) error {
	for i := range a.Entries {
		m := a.Entries[i].Message
		if m == nil || !known(m.Priority) {
			return fmt.Errorf("entry %d needs a message of high, medium or low priority", i)
		}
	}
	for i, k := range a.Kills {
		if !known(k.Priority) {
			return fmt.Errorf("kill %d needs a priority of high, medium or low", i)
		}
	}
	return nil
}

func known(p protocol.Priority) bool { return p >= protocol.PriorityHigh && p <= protocol.PriorityLow }

// stepSize is about what encodeStep takes.
func stepSize(entries []store.Entry, kills []store.Ref) int {
	n := sealed + 16 + 24*len(kills)
	for i := range entries {
		e := &entries[i]
		m := e.Message
		n += 64 + len(m.ID) + len(m.Type) + len(m.ContentType) + len(m.CollapseKey) + len(e.Device) + len(m.Payload)
		for k, v := range m.Headers {
			n += 6 + len(k) + len(v)
		}
		for k, v := range e.Where {
			n += 6 + len(k) + len(v)
		}
	}
	return n
}

func encodeStep(entries []store.Entry, kills []store.Ref) []byte {
	b := make([]byte, sealed, stepSize(entries, kills))
	b = binary.AppendUvarint(b, uint64(len(entries)))
	for i := range entries {
		b = appendEntry(b, &entries[i])
	}
	b = binary.AppendUvarint(b, uint64(len(kills)))
	for _, k := range kills {
		b = appendRef(b, k)
	}
	return seal(b, stepVersion)
}

func appendRef(b []byte, r store.Ref) []byte {
	return appendPosition(append(b, byte(r.Priority)), r.Position)
}

func appendEntry(b []byte, e *store.Entry) []byte {
	b = append(appendRef(b, store.Ref{Priority: e.Message.Priority, Position: e.Position}), 0, 0, 0, 0)
	at := len(b)
	var room [512]byte
	b, _ = codec.AppendEntry(b, e, room[:0])
	binary.BigEndian.PutUint32(b[at-4:], uint32(len(b)-at))
	return b
}

// decodeStep reads a row. What it answers shares no memory with value.
func decodeStep(value []byte) (s step, err error) {
	r, err := unseal(value, stepVersion)
	if err != nil {
		return s, &damageError{"step", err}
	}
	for range r.count(3 + 4) {
		s.entries = append(s.entries, r.entry())
	}
	for range r.count(3) {
		s.kills = append(s.kills, r.ref())
	}
	if err := r.end(); err != nil {
		return step{}, &damageError{"step", err}
	}
	return s, nil
}

// count reads how many follow, of at least so many bytes each.
func (r *reader) count(least int) uint64 {
	n := r.uvarint()
	if n > uint64(len(r.b)/least) {
		r.fail(errShort)
		return 0
	}
	return n
}

func (r *reader) ref() store.Ref {
	p := protocol.Priority(r.byte())
	if !known(p) && r.err == nil {
		r.fail(fmt.Errorf("priority %d", p))
	}
	return store.Ref{Priority: p, Position: r.position()}
}

func (r *reader) entry() store.Entry {
	ref := r.ref()
	size := r.uint32()
	if uint64(size) > uint64(len(r.b)) {
		r.fail(errShort)
	}
	if r.err != nil {
		return store.Entry{}
	}
	e, err := codec.DecodeEntry(ref, r.b[:size])
	r.b = r.b[size:]
	if err != nil {
		r.fail(err)
	}
	return e
}
