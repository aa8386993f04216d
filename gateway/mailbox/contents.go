package mailbox

import (
	"encoding/binary"
	"encoding/hex"

	"ramen/protocol"
	"ramen/store"
)

// Contents returns all of b for a store that has lost it: live entries, remembered ids, devices. Steps in doubt and under way are left
// out: they are written after it. A later Fill with it makes the same mailbox.
func (b *Mailbox) Contents(nowMS int64) store.Mailbox {
	m := store.Mailbox{Last: b.last}
	live := make(map[idHash]bool)
	for i := range protocol.Lanes {
		for _, e := range b.lane(i).entries {
			if e.dead {
				continue
			}
			m.Entries = append(m.Entries, store.Entry{Position: e.pos, Message: e.msg, Device: e.device, Where: e.where})
			m.Seen = append(m.Seen, store.Seen{ID: e.msg.ID, AcceptedMS: b.retainedMS(e.msg) - b.scope.Limits.IDRetention.Milliseconds()})
			live[b.scope.hash(e.msg.ID)] = true
		}
	}
	for h, until := range b.dedup.until {
		if until != pending && until > nowMS && !live[h] {
			m.Seen = append(m.Seen, store.Seen{ID: h.text(), AcceptedMS: until - b.scope.Limits.IDRetention.Milliseconds()})
		}
	}
	for d := b.devices; d != nil; d = d.next {
		m.Devices = append(m.Devices, d.record(nowMS))
	}
	return m
}

// Marked reports whether a store that has Last has all of b, since the last write was an append with entries. Otherwise kills, records
// or forgets may be lost without the store's last position showing it.
func (b *Mailbox) Marked() bool { return b.marked }

// hashMark begins the id of a message whose text is not known. No other id has a space. SPEC 1.1.4.
const hashMark = " "

// text stands for the id in a store that has lost it: memory has only its hash.
func (h idHash) text() protocol.MessageID {
	var raw [16]byte
	binary.BigEndian.PutUint64(raw[:8], h[0])
	binary.BigEndian.PutUint64(raw[8:], h[1])
	return protocol.MessageID(hashMark + hex.EncodeToString(raw[:]))
}

// seenHash returns the hash of an id in a store's Seen, which may be the text of a hash.
func (c *Common) seenHash(id protocol.MessageID) idHash {
	if len(id) == len(hashMark)+32 && id[:len(hashMark)] == hashMark {
		if raw, err := hex.DecodeString(string(id[len(hashMark):])); err == nil {
			return idHash{binary.BigEndian.Uint64(raw[:8]), binary.BigEndian.Uint64(raw[8:])}
		}
	}
	return c.hash(id)
}
