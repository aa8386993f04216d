package memory

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"ramen/protocol"
	"ramen/store"
)

// Config of a Disk.
type Config struct {
	IDRetention time.Duration    // how long an id counts as a duplicate; zero: 5 min. SPEC 9.2.2
	Now         func() time.Time // nil: time.Now
	CheckLast   bool             // refuse an Append whose Last is not the mailbox's last position
	Unfenced    bool             // take appends, saves and loads of an older epoch, too: Claim alone compares epochs
}

// Disk is what outlives a Store.
type Disk struct {
	cfg      Config
	identity store.Identity

	mu     sync.Mutex
	claims map[protocol.ShardID]store.FencedError // the last of each shard
	last   protocol.Epoch
	boxes  map[boxKey]*box
	// until when each owner is there, as it said by Renew, and how often a replica was promoted, of each shard and of all
	present map[string]time.Time
	copies  map[protocol.ShardID]int
	copied  int
	takenBy map[protocol.ShardID]string // the history of the copy that has taken the claim of a shard
}

type boxKey struct {
	shard protocol.ShardID
	user  protocol.UserID
}

// box is one mailbox.
type box struct {
	entries map[store.Ref]store.Entry
	byID    map[protocol.MessageID]store.Ref // the entry of an id, if it is still there
	devices map[protocol.DeviceID]store.Device
	seen    map[protocol.MessageID]int64 // accepted, Unix ms
	last    protocol.Position            // the highest that was ever appended
}

// NewDisk makes an empty disk.
func NewDisk(cfg Config) *Disk {
	if cfg.IDRetention == 0 {
		cfg.IDRetention = 5 * time.Minute
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	d := &Disk{cfg: cfg, claims: make(map[protocol.ShardID]store.FencedError), boxes: make(map[boxKey]*box),
		present: make(map[string]time.Time), copies: make(map[protocol.ShardID]int), takenBy: make(map[protocol.ShardID]string)}
	var raw [4]byte
	rand.Read(raw[:])
	d.identity.Generation = binary.BigEndian.Uint32(raw[:])
	rand.Read(d.identity.Key[:])
	return d
}

// Open is a new Store on d.
func (d *Disk) Open() *Store { return &Store{disk: d} }

// checkLocked answers a *store.FencedError unless o is the owner now.
func (d *Disk) checkLocked(o store.Owner) error {
	if at := d.claims[o.Shard]; !d.cfg.Unfenced && (at.Epoch != o.Epoch || at.Epoch == 0) {
		return fmt.Errorf("shard %d at epoch %d: %w", o.Shard, o.Epoch, &at)
	}
	return nil
}

func (d *Disk) claimLocked(shard protocol.ShardID, epoch protocol.Epoch, owner string) error {
	if at := d.claims[shard]; at.Epoch > epoch || at.Epoch == epoch && at.Owner != owner {
		return fmt.Errorf("shard %d at epoch %d: %w", shard, epoch, &at)
	}
	d.claims[shard], d.takenBy[shard] = store.FencedError{Epoch: epoch, Owner: owner}, d.historyLocked(shard)
	d.last = max(d.last, epoch)
	return nil
}

func (d *Disk) boxLocked(shard protocol.ShardID, user protocol.UserID) *box {
	k := boxKey{shard, user}
	b := d.boxes[k]
	if b == nil {
		b = newBox()
		d.boxes[k] = b
	}
	return b
}

func newBox() *box {
	return &box{
		entries: make(map[store.Ref]store.Entry),
		byID:    make(map[protocol.MessageID]store.Ref),
		devices: make(map[protocol.DeviceID]store.Device),
		seen:    make(map[protocol.MessageID]int64),
	}
}

// append is one step. Of two entries of one id the one with the higher position stays.
func (b *box) append(a *store.Append, nowMS int64) {
	for i := range a.Entries {
		e := cloneEntry(&a.Entries[i])
		b.seen[e.Message.ID] = max(b.seen[e.Message.ID], store.AcceptedMS(e.Message.CreatedMS, nowMS))
		b.put(e)
		if b.last.Less(e.Position) {
			b.last = e.Position
		}
	}
	for _, k := range a.Kills { // behind the entries: it may be one of them
		delete(b.entries, k)
	}
}

func (b *box) put(e store.Entry) {
	ref := store.Ref{Priority: e.Message.Priority, Position: e.Position}
	if other, ok := b.byID[e.Message.ID]; ok && b.entries[other].Message != nil && b.entries[other].Message.ID == e.Message.ID {
		if e.Position.Less(other.Position) {
			return
		}
		delete(b.entries, other)
	}
	b.entries[ref], b.byID[e.Message.ID] = e, ref
}

func (b *box) save(s *store.DeviceSave) {
	if s.Remove {
		delete(b.devices, s.Device.ID)
		return
	}
	b.devices[s.Device.ID] = cloneDevice(&s.Device)
}

// mailbox is a copy of b, with the ids accepted from sinceMS on; older ones are dropped.
func (b *box) mailbox(sinceMS int64) store.Mailbox {
	m := store.Mailbox{Last: b.last}
	for _, e := range b.entries {
		m.Entries = append(m.Entries, cloneEntry(&e))
	}
	slices.SortFunc(m.Entries, func(x, y store.Entry) int {
		if d := int(x.Message.Priority) - int(y.Message.Priority); d != 0 {
			return d
		}
		return x.Position.Compare(y.Position)
	})
	for _, id := range slices.Sorted(maps.Keys(b.devices)) {
		d := b.devices[id]
		m.Devices = append(m.Devices, cloneDevice(&d))
	}
	for _, id := range slices.Sorted(maps.Keys(b.seen)) {
		if b.seen[id] < sinceMS {
			delete(b.seen, id)
			b.dropID(id)
			continue
		}
		m.Seen = append(m.Seen, store.Seen{ID: id, AcceptedMS: b.seen[id]})
	}
	return m
}

// dropID bounds byID: an id whose entry is gone.
func (b *box) dropID(id protocol.MessageID) {
	if ref, ok := b.byID[id]; ok && b.entries[ref].Message == nil {
		delete(b.byID, id)
	}
}

// overdue reports an entry that expired before beforeMS, or a device last seen before unseenMS.
func (b *box) overdue(beforeMS, unseenMS int64) bool {
	for _, e := range b.entries {
		if e.Message.ExpiresMS < beforeMS {
			return true
		}
	}
	for _, d := range b.devices {
		if d.LastSeenMS < unseenMS {
			return true
		}
	}
	return false
}

func cloneEntry(e *store.Entry) store.Entry {
	m := *e.Message
	m.Payload = slices.Clone(m.Payload)
	if len(m.Payload) == 0 {
		m.Payload = nil
	}
	m.Headers = cloneMap(m.Headers)
	return store.Entry{Position: e.Position, Message: &m, Device: e.Device, Where: cloneMap(e.Where)}
}

func cloneDevice(d *store.Device) store.Device {
	c := *d
	if d.Context != nil {
		ctx := *d.Context
		ctx.Labels = cloneMap(ctx.Labels)
		c.Context = &ctx
	}
	return c
}

// cloneMap makes an empty map nil, as the stores that encode do.
func cloneMap(m map[string]string) map[string]string {
	if len(m) == 0 {
		return nil
	}
	return maps.Clone(m)
}
