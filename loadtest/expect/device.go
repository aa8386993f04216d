package expect

import (
	"slices"

	"ramen/protocol"
)

// Lanes is what was sent to one user: the last number of each lane.
type Lanes [protocol.Lanes]uint32

// Device is what one device has received. Guarded by its owner.
//
// While a device moves to another stream (SPEC 2.12.6) it reads two: the Stream in here is the newer one, and the owner
// keeps the older one, which Part returned.
type Device struct {
	User uint32
	Num  uint8
	Stream

	have  Lanes // the highest number that ever came
	kept  Lanes // what the cursor that the device keeps covers, as far as is known
	asked Lanes // kept, at the time of the current opening
	holes []Name
}

// Stream is what one device has received on one stream.
type Stream struct {
	covered Lanes // what the cursor that it was resumed with covers
	here    Lanes // the highest number that came on it
	reads   Lanes // what the cursor of its last push covers
	seq     uint64
	known   bool // seq is known
}

// Arrival says what a push turned out to be.
type Arrival uint8

const (
	First    Arrival = iota // it had not come before
	Repeated                // it had
	Foreign                 // it is of another run, or of another user
)

// Opening notes that an opening gives the cursor that the device keeps.
func (d *Device) Opening() { d.asked = d.kept }

// Opened starts a stream at its hello. cursor: the opening gave the cursor of the last push. seq is hello's, -1 where the
// transport has none.
func (d *Device) Opened(b *Expectations, resumed, cursor bool, seq int64) {
	d.Stream = Stream{seq: uint64(max(seq, 0)), known: seq >= 0}
	if resumed && cursor {
		d.covered, d.reads = d.asked, d.asked
	}
	if cursor && !resumed {
		b.Violate(Resume, d.User, d.Num, "", "hello said resumed: false to the cursor of the last push")
	}
}

// Part returns the current stream, for pushes that come on it while the next one opens.
func (d *Device) Part() Stream {
	old := d.Stream
	d.Stream = Stream{}
	return old
}

// Pushed checks one push of the newest stream. keeps: the device keeps the push's cursor.
func (d *Device) Pushed(b *Expectations, seq uint64, id []byte, keeps bool) Arrival {
	return d.PushedOn(b, &d.Stream, seq, id, keeps)
}

// PushedOn checks one push of stream s.
func (d *Device) PushedOn(b *Expectations, s *Stream, seq uint64, id []byte, keeps bool) Arrival {
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
		return First
	}
	if i := slices.Index(d.holes, m); i >= 0 {
		d.holes = slices.Delete(d.holes, i, i+1)
		if m.N < last && !b.mayBeLate(m) {
			b.Violate(Order, d.User, d.Num, string(id), "it came behind number %d of its lane", last)
		}
		return First
	}
	d.repeated(b, s, m, last, string(id))
	return Repeated
}

// repeated checks a message that had come before.
func (d *Device) repeated(b *Expectations, s *Stream, m Name, last uint32, id string) {
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

// Missing is how many messages of sent have not come; refused and unknown ones do not count.
func (d *Device) Missing(b *Expectations, sent *Lanes) int {
	n := 0
	d.missing(b, sent, func(Name) { n++ })
	return n
}

// ReportMissing reports everything that has not come as lost. Call it when nothing is in flight.
func (d *Device) ReportMissing(b *Expectations, sent *Lanes) {
	d.missing(b, sent, func(m Name) { b.Violate(Lost, d.User, d.Num, b.id(m), "it was accepted, and never came") })
}

func (d *Device) missing(b *Expectations, sent *Lanes, each func(Name)) {
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
