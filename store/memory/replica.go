package memory

import (
	"maps"
	"time"

	"ramen/protocol"
	"ramen/store"
)

// Replica is what a replica has received of a Disk at some moment.
type Replica struct {
	disk    *Disk
	claims  map[protocol.ShardID]store.FencedError
	boxes   map[boxKey]*box
	present map[string]time.Time
}

// Replica copies d as it is now.
func (d *Disk) Replica() *Replica {
	d.mu.Lock()
	defer d.mu.Unlock()
	r := &Replica{disk: d, claims: maps.Clone(d.claims), boxes: make(map[boxKey]*box), present: maps.Clone(d.present)}
	for k, b := range d.boxes {
		r.boxes[k] = b.clone()
	}
	return r
}

// clone shares the entries, which nobody changes.
func (b *box) clone() *box {
	return &box{entries: maps.Clone(b.entries), byID: maps.Clone(b.byID), devices: maps.Clone(b.devices), seen: maps.Clone(b.seen), last: b.last}
}

// Promote makes the replica the disk: what was stored since it was copied is lost, claims included. With shards that is so of these
// alone, as where they are on one of many nodes; who is there is known on another then.
func (r *Replica) Promote(shards ...protocol.ShardID) {
	d := r.disk
	d.mu.Lock()
	defer d.mu.Unlock()
	lost := func(protocol.ShardID) bool { return true }
	if len(shards) == 0 {
		clear(d.present)
		maps.Copy(d.present, r.present)
		d.copied++
	} else {
		of := make(map[protocol.ShardID]bool)
		for _, s := range shards {
			of[s] = true
			d.copies[s]++
		}
		lost = func(s protocol.ShardID) bool { return of[s] }
	}
	maps.DeleteFunc(d.claims, func(s protocol.ShardID, _ store.FencedError) bool { return lost(s) })
	maps.DeleteFunc(d.boxes, func(k boxKey, _ *box) bool { return lost(k.shard) })
	for s, claim := range r.claims {
		if lost(s) {
			d.claims[s] = claim
		}
	}
	for k, b := range r.boxes {
		if lost(k.shard) {
			d.boxes[k] = b.clone()
		}
	}
	d.last = 0
	for _, claim := range d.claims {
		d.last = max(d.last, claim.Epoch)
	}
}

// Wipe empties d but for its identity, as FLUSHALL does.
func (d *Disk) Wipe() { (&Replica{disk: d}).Promote() }
