package mailbox

import (
	"encoding/binary"
	"slices"

	"ramen/protocol"
	"ramen/store"
)

// A message that was replaced must not come back after a crash. If it waits when its successor is appended, that append kills it.
// If it was acked or has expired before, the store forgets it lazily, and a crash may bring it back (a leftover): so
// every append of its key kills it, too, until the store has forgotten it. So the store can have a replaced entry only together with
// a newer one of its key (an older release may have left both), and a load drops all but the newest. The dropped ones are forgotten
// before the newest is, since the forgets of a user survive a crash in order. SPEC 9.3.4.

// collapseKey is key and target: of two messages of a user with the same, the newer replaces the older.
type collapseKey struct {
	key    string
	device protocol.DeviceID
	where  string // by whereText
}

// collapseKey returns the key of e.
func (e *entry) collapseKey() collapseKey {
	return collapseKey{e.msg.CollapseKey, e.device, whereText(e.where)}
}

// whereText encodes where as a string that is equal only for equal maps. Each text has its length in front, since it may contain any
// character.
func whereText(where map[string]string) string {
	if len(where) == 0 {
		return ""
	}
	var few [8]string
	keys := few[:0]
	for k := range where {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	var room [256]byte
	b := room[:0]
	for _, k := range keys {
		for _, s := range [...]string{k, where[k]} {
			b = append(binary.AppendUvarint(b, uint64(len(s))), s...)
		}
	}
	return string(b)
}

// leftover is an entry with a collapse key that has left memory and that the store may still have.
type leftover struct {
	key collapseKey
	ref store.Ref
}

// addLeftover notes an entry that has left memory; the store forgets it with the next save.
func (b *Mailbox) addLeftover(key collapseKey, ref store.Ref) {
	l := b.makeLanes()
	if l.leftovers == nil {
		l.leftovers = make(map[collapseKey][]store.Ref)
	}
	l.leftovers[key] = append(l.leftovers[key], ref)
	d := b.makeDirty()
	d.leftovers = append(d.leftovers, leftover{key, ref})
}

// dropLeftover removes x: the store has forgotten it, or an append has killed it.
func (b *Mailbox) dropLeftover(x leftover) {
	if b.lanes == nil {
		return
	}
	refs := b.lanes.leftovers[x.key]
	i := slices.Index(refs, x.ref)
	switch {
	case i < 0:
	case len(refs) == 1:
		delete(b.lanes.leftovers, x.key)
	default:
		b.lanes.leftovers[x.key] = slices.Delete(refs, i, i+1)
	}
}

// carry has the step kill the leftovers of e's key.
func (s *Step) carry(e *entry) {
	l := s.box.lanes
	if e.msg.CollapseKey == "" || l == nil || len(l.leftovers) == 0 {
		return
	}
	key := e.collapseKey()
	if s.latestByKey[key] != nil {
		return // an earlier entry of the key in this write kills them
	}
	for _, ref := range l.leftovers[key] {
		s.carried = append(s.carried, leftover{key, ref})
	}
}

// dropReplaced returns the loaded entries without those that were replaced: all but the newest of each key.
func (b *Mailbox) dropReplaced(loaded []store.Entry) (left []store.Entry) {
	newest, keyed := newestOfKeys(loaded)
	if len(newest) == keyed {
		return loaded
	}
	for i := range loaded {
		k := &loaded[i]
		key := keyOf(k)
		if k.Message.CollapseKey == "" || newest[key] == k.Position {
			left = append(left, *k)
			continue
		}
		b.scope.Ledger.Loaded.Add(1)
		b.scope.Ledger.Ended[Collapsed].Add(1)
		ref := store.Ref{Priority: k.Message.Priority, Position: k.Position}
		x := b.makeDirty()
		x.forgets = append(x.forgets, ref)
		b.addLeftover(key, ref)
	}
	return left
}

// newestOfKeys returns the highest position of each key, and the number of entries with a key. Positions of a user grow over all lanes.
func newestOfKeys(all []store.Entry) (newest map[collapseKey]protocol.Position, keyed int) {
	for i := range all {
		k := &all[i]
		if k.Message.CollapseKey == "" {
			continue
		}
		if newest == nil {
			newest = make(map[collapseKey]protocol.Position)
		}
		keyed++
		if key := keyOf(k); newest[key].Less(k.Position) {
			newest[key] = k.Position
		}
	}
	return newest, keyed
}

func keyOf(k *store.Entry) collapseKey {
	return collapseKey{k.Message.CollapseKey, k.Device, whereText(k.Where)}
}
