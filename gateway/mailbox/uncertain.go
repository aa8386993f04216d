package mailbox

import (
	"maps"

	"ramen/protocol"
)

// uncertainExpiry is an expired message that a device may have acked: the device had a stream when the gateway before this one died, and
// its last acks may not have been saved. Its next cursor tells. If it comes without one the message is not counted: the count is a
// lower bound, and no loss is invented. SPEC 2.2.13.
type uncertainExpiry struct {
	pos    protocol.Position
	device protocol.DeviceID // empty: every device
	lane   uint8
}

// addUncertain remembers e, which has just expired, until the devices that may have acked it open a stream.
func (b *Mailbox) addUncertain(e *entry) {
	x := uncertainExpiry{pos: e.pos, device: e.device, lane: uint8(e.msg.Priority.Lane())}
	r := b.makeRecovery()
	if l := r.uncertain; len(l) == 0 || l[len(l)-1] != x {
		r.uncertain = append(l, x)
	}
}

// countUncertain counts the uncertain messages that d has not acked as expired, if d came with a cursor (known). After that nothing
// is uncertain for d.
func (b *Mailbox) countUncertain(d *Device, known bool, nowMS int64) {
	if !d.uncleanShutdown {
		return
	}
	if b.ExpiresBy(nowMS) {
		b.Sweep(nowMS) // before uncleanShutdown is reset
	}
	var list []uncertainExpiry
	if b.recovery != nil {
		list = b.recovery.uncertain
	}
	for _, x := range list {
		if known && d.greeted && (x.device == "" || x.device == d.id) && d.acked.At[x.lane].Less(x.pos) {
			d.expired++
		}
	}
	d.uncleanShutdown = false
	for other := b.devices; other != nil; other = other.next {
		if other.uncleanShutdown {
			return
		}
	}
	if b.recovery != nil {
		b.recovery.uncertain = nil
		b.dropRecovery()
	}
}

// recovery is what a mailbox keeps while the outcome of a write, or of a device's last acks, is unknown.
type recovery struct {
	inDoubt   []*Step           // writes with an unknown outcome, oldest first
	bytes     int64             // of what is in doubt, as mailbox_bytes counts
	uncertain []uncertainExpiry // what expired, for devices that may have acked it before a crash
	abandoned bool              // a step was: the store may have what is in no lane
	ids       map[idHash]int64  // accepted long after they came: Unix ms until which they are remembered at least
}

// retainID notes until when an id is remembered.
func (r *recovery) retainID(h idHash, untilMS int64) {
	if r.ids == nil {
		r.ids = make(map[idHash]int64)
	}
	r.ids[h] = untilMS
}

// sweepIDs forgets those whose time is over.
func (r *recovery) sweepIDs(nowMS int64) {
	if r == nil {
		return
	}
	maps.DeleteFunc(r.ids, func(_ idHash, until int64) bool { return until <= nowMS })
}

// makeRecovery returns b's recovery, for adding to it.
func (b *Mailbox) makeRecovery() *recovery {
	if b.recovery == nil {
		b.recovery = new(recovery)
	}
	return b.recovery
}

// dropRecovery removes the recovery if it is empty.
func (b *Mailbox) dropRecovery() {
	if r := b.recovery; len(r.inDoubt)+len(r.uncertain)+len(r.ids) == 0 && !r.abandoned {
		b.recovery = nil
	}
}

// inDoubt returns the steps of unknown outcome, oldest first.
func (b *Mailbox) inDoubt() []*Step {
	if b.recovery == nil {
		return nil
	}
	return b.recovery.inDoubt
}

// InDoubt reports whether the outcome of a write is unknown.
func (b *Mailbox) InDoubt() bool { return len(b.inDoubt()) > 0 }

// InDoubtBytes is the size of the messages in doubt, as counted against mailbox_bytes.
func (b *Mailbox) InDoubtBytes() int64 {
	if b.recovery == nil {
		return 0
	}
	return b.recovery.bytes
}

// keepInDoubt notes that only left is in doubt any more.
func (b *Mailbox) keepInDoubt(left []*Step) {
	if len(left) == 0 {
		b.endInDoubt()
		return
	}
	r := b.recovery
	r.inDoubt, r.bytes = left, 0
	for _, s := range left {
		for _, e := range s.added {
			r.bytes += int64(e.quota)
		}
	}
}

// endInDoubt removes all steps in doubt.
func (b *Mailbox) endInDoubt() {
	b.recovery.inDoubt, b.recovery.bytes = nil, 0
	b.dropRecovery()
}

// abandonInDoubt abandons the steps in doubt, and reports whether there were any.
func (b *Mailbox) abandonInDoubt() bool {
	steps := b.inDoubt()
	for _, s := range steps {
		for _, e := range s.added {
			b.leave(e)
		}
	}
	if len(steps) == 0 {
		return false
	}
	b.endInDoubt()
	return true
}
