package check

import (
	"slices"

	"ramen/protocol"
)

// Lanes is what was sent to one user: the last number of each lane.
type Lanes [protocol.Lanes]uint32

// Device is what one device has got. Its owner guards it.
type Device struct {
	User uint32
	Num  uint8

	have    Lanes // the highest number that ever came
	covered Lanes // what the cursor of this stream covers, where it was resumed
	here    Lanes // the highest number that came on this stream
	holes   []Name
	seq     uint64 // of the last push on this stream
	known   bool   // seq counts
}

// Arrival is what a push turned out to be.
type Arrival uint8

// A push is new, or one that came before, or of another run.
const (
	New Arrival = iota
	Again
	Foreign
)

// Opened begins a stream, by its hello. cursor says that the device gave the cursor of its last push; seq is the hello's, -1
// where the transport has none.
func (d *Device) Opened(b *Book, resumed, cursor bool, seq int64) {
	d.here, d.covered = Lanes{}, Lanes{}
	d.seq, d.known = uint64(max(seq, 0)), seq >= 0
	if resumed && cursor {
		d.covered = d.have
	}
	if cursor && !resumed {
		b.Violate(Resume, d.User, d.Num, "", "hello said resumed: false to the cursor of the last push")
	}
}

// Pushed takes one push.
func (d *Device) Pushed(b *Book, seq uint64, id []byte) Arrival {
	if d.known && seq != d.seq+1 {
		b.Violate(Seq, d.User, d.Num, string(id), "seq %d came after %d", seq, d.seq)
	}
	d.seq, d.known = seq, true
	m, ok := ParseID(id, b.Run)
	if !ok {
		return Foreign
	}
	if m.User != d.User {
		b.Violate(Content, d.User, d.Num, string(id), "the message is another user's")
		return Foreign
	}
	last := d.here[m.Lane]
	if m.N > last {
		d.here[m.Lane] = m.N
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
		if m.N < last && !b.excepted(m) {
			b.Violate(Order, d.User, d.Num, string(id), "it came behind number %d of its lane", last)
		}
		return New
	}
	d.again(b, m, last, string(id))
	return Again
}

// again judges a message that came before.
func (d *Device) again(b *Book, m Name, last uint32, id string) {
	switch {
	case m.N <= d.covered[m.Lane]:
		b.Violate(Duplicate, d.User, d.Num, id, "it came again though the cursor of this stream covered it")
	case m.N == last:
		b.Violate(Duplicate, d.User, d.Num, id, "it came twice on one stream")
	case m.N < last && !b.excepted(m):
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
		if !b.excepted(m) {
			each(m)
		}
	}
	for lane, last := range sent {
		for n := d.have[lane] + 1; n <= last; n++ {
			if m := (Name{d.User, uint8(lane), n}); !b.excepted(m) {
				each(m)
			}
		}
	}
}
