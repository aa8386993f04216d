package gateway

import "ramen/protocol"

// doubt is a message that expired for a device of which nobody knows yet whether it had acked it: the device had a stream
// when the process before this one died, and its last acks may not have been saved. Its cursor tells. Without one the
// message is not counted: rather fewer losses than there were than one that never was. SPEC 2.2.
type doubt struct {
	pos    protocol.Position
	device protocol.DeviceID // empty: every device
	lane   uint8
}

// doubtLocked keeps e, which has just expired, for the opens of those who may have acked it. At most once a message.
func (b *mailbox) doubtLocked(e *entry) {
	x := doubt{pos: e.pos, device: e.device, lane: uint8(e.msg.Priority.Lane())}
	t := b.troubleLocked()
	if l := t.doubts; len(l) == 0 || l[len(l)-1] != x {
		t.doubts = append(l, x)
	}
}

// resolveLocked counts for d what it has not acked, where it has said how far it came, and ends the doubt.
func (b *mailbox) resolveLocked(d *device, known bool) {
	if !d.doubtful {
		return
	}
	if nowMS := b.g.nowMS(); b.expiresBy(nowMS) {
		b.sweepLocked(nowMS) // as long as d is in doubt
	}
	var doubts []doubt
	if b.trouble != nil {
		doubts = b.trouble.doubts
	}
	for _, x := range doubts {
		if known && d.greeted && (x.device == "" || x.device == d.id) && d.acked.At[x.lane].Less(x.pos) {
			d.expired++
		}
	}
	d.doubtful = false
	for other := b.devices; other != nil; other = other.next {
		if other.doubtful {
			return
		}
	}
	if b.trouble != nil {
		b.trouble.doubts = nil
		b.calmLocked()
	}
}
