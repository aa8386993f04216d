package stream

import (
	"sync"

	"ramen/link"
	"ramen/protocol"
)

// unacked is one push that went out and was not acked. Its seq is its place: pushes have no gaps.
type unacked struct {
	cursor   string
	bytes    uint32 // of payload
	atMS     uint32 // server clock, cut to 32 bits: only differences are used
	priority protocol.Priority
}

// ring holds the unacked pushes of a stream in order. A stream has one while something is unacked. It grows no further than the
// window that the gateway keeps to: SPEC 2.10.
type ring struct {
	buf   []unacked // len is a power of two; nil while empty
	head  uint16
	n     uint16
	small [smallRing]unacked
}

const smallRing = 8 // entries: most rings never grow beyond

var rings = sync.Pool{New: func() any { return new(ring) }}

// len is how many there are. nil: none.
func (r *ring) len() int {
	if r == nil {
		return 0
	}
	return int(r.n)
}

func (r *ring) at(i int) *unacked { return &r.buf[(int(r.head)+i)&(len(r.buf)-1)] }

func (r *ring) push(u unacked) {
	if int(r.n) == len(r.buf) {
		r.grow()
	}
	r.n++
	*r.at(int(r.n) - 1) = u
}

func (r *ring) grow() {
	var buf []unacked
	if r.n == 0 {
		buf = r.small[:]
	} else {
		buf = make([]unacked, 2*len(r.buf))
	}
	for i := range int(r.n) {
		buf[i] = *r.at(i)
	}
	r.clear()
	r.buf, r.head = buf, 0
}

// pop takes the oldest.
func (r *ring) pop() unacked {
	u := *r.at(0)
	*r.at(0) = unacked{} // let go of the cursor
	r.head = uint16((int(r.head) + 1) & (len(r.buf) - 1))
	if r.n--; r.n == 0 {
		r.clear()
	}
	return u
}

// clear lets go of the buffer. The entries stay counted: grow has copied them, free has not.
func (r *ring) clear() {
	if len(r.buf) == smallRing {
		r.small = [smallRing]unacked{}
	}
	r.buf, r.head = nil, 0
}

// free forgets everything and gives r to the next. nil: nothing.
func (r *ring) free() {
	if r != nil {
		r.clear()
		r.n = 0
		rings.Put(r)
	}
}

// find is the index of cursor, or -1.
func (r *ring) find(cursor string) int {
	for i := r.len() - 1; i >= 0; i-- {
		if r.at(i).cursor == cursor {
			return i
		}
	}
	return -1
}

// sent lists everything for a re-open; acked is the seq before the oldest.
func (r *ring) sent(acked protocol.Seq) []link.Sent {
	if r.len() == 0 {
		return nil
	}
	all := make([]link.Sent, r.n)
	for i := range all {
		u := r.at(i)
		all[i] = link.Sent{Seq: acked + 1 + protocol.Seq(i), Cursor: u.cursor, Priority: u.priority, Bytes: int(u.bytes)}
	}
	return all
}
