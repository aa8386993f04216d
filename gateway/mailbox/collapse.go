package mailbox

import (
	"encoding/binary"
	"slices"

	"ramen/protocol"
	"ramen/store"
)

// What was replaced must not come back, whatever dies. An entry that is waiting when its successor is appended is killed by
// that append. One that has left before, by an ack or its time, is forgotten lazily, and a crash may bring it back: so
// whatever is appended of its key until the store has forgotten it kills it too. Then a store has an entry that was replaced
// only where a newer one of its key is beside it (an older version may have left that), and a load drops all but the newest:
// before anything newer of the mailbox is forgotten, since what is forgotten of one user survives a crash in order. SPEC 9.

// collapseKey is what makes two messages of a user replace each other: the key and the target.
type collapseKey struct {
	key    string
	device protocol.DeviceID
	where  string // by whereText
}

// collapseKey is what e is replaced by.
func (e *entry) collapseKey() collapseKey {
	return collapseKey{e.msg.CollapseKey, e.device, whereText(e.where)}
}

// whereText is where as one string: the same for the same pairs alone. Texts may contain any character, so each has its length
// before it.
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

// leftover is an entry with a key that has left memory, and that the store may still have.
type leftover struct {
	key collapseKey
	ref store.Ref
}

// addLeftover notes an entry of key that has left memory, and that the store forgets a little later.
func (b *Mailbox) addLeftover(key collapseKey, ref store.Ref) {
	l := b.makeLanes()
	if l.leftovers == nil {
		l.leftovers = make(map[collapseKey][]store.Ref)
	}
	l.leftovers[key] = append(l.leftovers[key], ref)
	d := b.makeDirty()
	d.leftovers = append(d.leftovers, leftover{key, ref})
}

// dropLeftover notes that the store has forgotten x, or that an append has killed it.
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

// carry has the step kill what the store may still have of e's key, and memory has not.
func (s *Step) carry(e *entry) {
	l := s.box.lanes
	if e.msg.CollapseKey == "" || l == nil || len(l.leftovers) == 0 {
		return
	}
	key := e.collapseKey()
	if s.latestByKey[key] != nil {
		return // what was added of the key before kills them, in this same write
	}
	for _, ref := range l.leftovers[key] {
		s.carried = append(s.carried, leftover{key, ref})
	}
}

// dropReplaced takes the entries out of what was loaded that were replaced: all but the newest of each key.
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

// newestOfKeys is the last position of each key, and how many entries have one. Positions of a user grow over all lanes.
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
