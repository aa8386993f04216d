package expect

import (
	"slices"

	"ramen/protocol"
)

// Lanes is what was sent to one user: the last number of each lane.
type Lanes [protocol.Lanes]uint32

// Device is what one device has got. Its owner guards it.
//
// While a device moves to another stream (SPEC 2.12) it reads two: the Stream in here is the newer one, and the owner
// keeps what Part has handed out.
type Device struct {
	User uint32
	Num  uint8
	Stream

	have  Lanes // the highest number that ever came
	kept  Lanes // what the cursor that the device keeps covers, as far as is known
	asked Lanes // kept, when the opening under way gave the cursor
	holes []Name
}

// Stream is what one device has got over one stream.
type Stream struct {
	covered Lanes // what the cursor that it was resumed with covers
	here    Lanes // the highest number that came on it
	reads   Lanes // what the cursor of its last push covers
	seq     uint64
	known   bool // seq counts
}

// Arrival is what a push turned out to be.
type Arrival uint8

// A push is new, or one that came before, or of another run.
const (
	New Arrival = iota
	Again
	Foreign
)

// Opening says that an opening gives the cursor that the device keeps.
func (d *Device) Opening() { d.asked = d.kept }

// Opened begins a stream, by its hello. cursor says that the opening gave the cursor of the last push; seq is the hello's, -1
// where the transport has none.
func (d *Device) Opened(b *Book, resumed, cursor bool, seq int64) {
	d.Stream = Stream{seq: uint64(max(seq, 0)), known: seq >= 0}
	if resumed && cursor {
		d.covered, d.reads = d.asked, d.asked
	}
	if cursor && !resumed {
		b.Violate(Resume, d.User, d.Num, "", "hello said resumed: false to the cursor of the last push")
	}
}

// Part hands out the stream, for pushes that come on it while another opens.
func (d *Device) Part() Stream {
	old := d.Stream
	d.Stream = Stream{}
	return old
}

// Pushed takes one push of the newest stream. keeps says that the device keeps its cursor.
func (d *Device) Pushed(b *Book, seq uint64, id []byte, keeps bool) Arrival {
	return d.PushedOn(b, &d.Stream, seq, id, keeps)
}

// PushedOn takes one push of stream s.
func (d *Device) PushedOn(b *Book, s *Stream, seq uint64, id []byte, keeps bool) Arrival {
	if s.known && seq != s.seq+1 {
		b.Violate(Seq, d.User, d.Num, string(id), "seq %d came after %d", seq, s.seq)
	}
	s.seq, s.known = seq, true
	m, ok := ParseID(id, b.Run)
	if !ok {
		return Foreign
	}
	if m.User != d.User {
		b.Violate(Content, d.User, d.Num, string(id), "the message is another user's")
		return Foreign
	}
	last := s.here[m.Lane]
	s.here[m.Lane] = max(last, m.N)
	s.reads[m.Lane] = m.N
	if keeps {
		d.kept = s.reads
	}
	if m.N > d.have[m.Lane] {
		for n := d.have[m.Lane] + 1; n < m.N; n++ {
			d.holes = append(d.holes, Name{d.User, m.Lane, n})
		}
		d.have[m.Lane] = m.N
		return New
	}
	if i := slices.Index(d.holes, m); i >= 0 {
		d.holes = slices.Delete(d.holes, i, i+1)
		if m.N < last && !b.mayBeLate(m) {
			b.Violate(Order, d.User, d.Num, string(id), "it came behind number %d of its lane", last)
		}
		return New
	}
	d.again(b, s, m, last, string(id))
	return Again
}

// again judges a message that came before.
func (d *Device) again(b *Book, s *Stream, m Name, last uint32, id string) {
	switch {
	case m.N == last:
		b.Violate(Duplicate, d.User, d.Num, id, "it came twice on one stream")
	case b.mayBeLate(m):
	case m.N <= s.covered[m.Lane]:
		b.Violate(Duplicate, d.User, d.Num, id, "it came again though the cursor of this stream covered it")
	case m.N < last:
		b.Violate(Duplicate, d.User, d.Num, id, "it came again on one stream, behind number %d of its lane", last)
	}
}

// Missing is how much of what was sent has not come, refusals and the unknown left out.
func (d *Device) Missing(b *Book, sent *Lanes) int {
	n := 0
	d.missing(b, sent, func(Name) { n++ })
	return n
}

// Settle notes everything that is missing as lost. To be called when nothing is under way.
func (d *Device) Settle(b *Book, sent *Lanes) {
	d.missing(b, sent, func(m Name) { b.Violate(Lost, d.User, d.Num, b.id(m), "it was accepted, and never came") })
}

func (d *Device) missing(b *Book, sent *Lanes, each func(Name)) {
	for _, m := range d.holes {
		if !b.mayMiss(m) {
			each(m)
		}
	}
	for lane, last := range sent {
		for n := d.have[lane] + 1; n <= last; n++ {
			if m := (Name{d.User, uint8(lane), n}); !b.mayMiss(m) {
				each(m)
			}
		}
	}
}
