package mailbox

import (
	"ramen/protocol"
)

// The bytes of memory that things take from Go's allocator, with the unused rest of size classes, map slots and slice capacity.
// gateway.memory_bytes bounds the sum. TestFix17 compares the sum with the heap.
const (
	boxBytes    = 256 // a mailbox, and its slot in its shard's map
	deviceBytes = 144 // a device
	lanesBytes  = 256 // the lanes of a mailbox in which something waits
	entryBytes  = 216 // an entry with its message, and its slots in a lane and in a list of forgets
	keyedBytes  = 112 // the slot of a collapse key in its index
	sentBytes   = 24  // a push that is not acked
	idBytes     = 64  // a remembered id
	fewInMap    = 8   // a map of up to so many entries is a single group
	contextSize = 112 // a device's context
)

// streamBytes is the size of a stream at both ends, with its connection; over gRPC that has goroutines and buffers.
func streamBytes(t protocol.Transport) int64 {
	if t == protocol.TransportGRPC {
		return 32 << 10
	}
	return 1 << 10
}

// textBytes is the size of a string or payload of n bytes.
func textBytes(n int) int64 {
	if n == 0 {
		return 0
	}
	return int64((n+15)&^15 + n/16)
}

// mapBytes is the size of a map of n entries of slot bytes each.
func mapBytes(n, slot int) int64 {
	switch {
	case n == 0:
		return 0
	case n <= fewInMap:
		return int64(64 + fewInMap*slot)
	}
	return int64(128 + n*slot*2)
}

// textsBytes is the size of a map of strings.
func textsBytes(m map[string]string) (bytes int64) {
	if len(m) == 0 {
		return 0
	}
	for k, v := range m {
		bytes += textBytes(len(k)) + textBytes(len(v))
	}
	return bytes + mapBytes(len(m), 34)
}

// MessageBytes is the size of a waiting message and its target.
func MessageBytes(m *protocol.Message, device protocol.DeviceID, where map[string]string) int64 {
	n := entryBytes + textBytes(len(m.ID)) + textBytes(len(m.Type)) + textBytes(len(m.Payload)) + textBytes(len(device)) +
		textsBytes(m.Headers) + textsBytes(where)
	if m.ContentType != protocol.ContentTypeJSON { // else the string is a constant
		n += textBytes(len(m.ContentType))
	}
	if m.CollapseKey != "" {
		n += keyedBytes + textBytes(len(m.CollapseKey)) + textBytes(protocol.HeadersSize(where)+2*len(where)) // where is in the key, too
	}
	return n
}

// matchesBytes is the size of the results of where for n devices.
func matchesBytes(n int) int64 { return mapBytes(n, 25) }

// knownBytes is the size of a known device.
func knownBytes(id protocol.DeviceID, c *protocol.DeviceContext) int64 {
	n := deviceBytes + textBytes(len(id))
	if c == nil {
		return n
	}
	return n + contextSize + textBytes(len(c.App)) + textBytes(len(c.AppVersion)) + textBytes(len(c.OS)) + textBytes(len(c.OSVersion)) +
		textBytes(len(c.Model)) + textBytes(len(c.Locale)) + textsBytes(c.Labels)
}

// QuotaBytes is what a message counts against mailbox_bytes: payload and headers (SPEC 1.1.5), and where, which a publisher may make as
// long. What else a message takes counts against memory_bytes alone.
func QuotaBytes(m *protocol.Message, where map[string]string) int64 {
	n := len(m.Payload)
	if len(m.Headers)+len(where) > 0 { // iterating even an empty map costs time
		n += protocol.HeadersSize(m.Headers) + protocol.HeadersSize(where)
	}
	return int64(n)
}

// held recounts the memory that was counted for b.
func (b *Mailbox) held() int64 {
	n := boxBytes + textBytes(len(b.user)) + b.dedup.bytes() + b.heldByLanes()
	for d := b.devices; d != nil; d = d.next {
		n += knownBytes(d.id, d.context)
		if d.window != nil {
			n += streamBytes(d.transport)
		}
		if d.inflight != nil {
			n += d.inflight.held
		}
	}
	return n
}

// Held is what b holds in memory, in bytes.
func (b *Mailbox) Held() int64 { return b.held() }

// heldByLanes is the memory of the lanes.
func (b *Mailbox) heldByLanes() int64 {
	if b.lanes == nil {
		return 0
	}
	return b.lanes.held
}

// hold counts a change of the lanes' memory.
func (b *Mailbox) hold(bytes int64) {
	b.lanes.held += bytes
	b.scope.Ledger.Memory.Add(bytes)
}

// recountInflight counts a change of the capacity of d's unacked pushes.
func (d *Device) recountInflight() {
	f := d.inflight
	if now := int64(cap(f.sent)) * sentBytes; now != f.held {
		d.box.scope.Ledger.Memory.Add(now - f.held)
		f.held = now
	}
}

// inDoubtHeld is the memory of the steps in doubt, whose entries are in no lane.
func (b *Mailbox) inDoubtHeld() (n int64) {
	for _, s := range b.inDoubt() {
		for _, e := range s.added {
			n += int64(e.size)
		}
	}
	return n
}
